from collections.abc import Iterable, Mapping


class GeneIndex:
    r"""Finds the gene of a vocabulary by any way to write its name.

    In this order: as it is written in the vocabulary; in another case (unless two genes differ by
    case alone); with dashes for the dots that R puts in their place (:obj:`"MT.CO1"`).

    Args:
        genes (iterable of str): The names of the genes.
        symbols (dict): Symbols and their genes.
    """

    def __init__(self, genes: Iterable[str], symbols: Mapping[str, str]):
        self.exact = {**symbols, **{gene: gene for gene in genes}}
        self.caseless: dict[str, str | None] = {}
        for name, gene in self.exact.items():
            if self.caseless.setdefault(name.lower(), gene) != gene:
                self.caseless[name.lower()] = None

    def find(self, name: str) -> str | None:
        r"""Returns the gene of a name, or :obj:`None`."""
        gene = self.exact.get(name)
        if gene is None:
            gene = self.caseless.get(name.lower())
        if gene is None and "." in name:
            gene = self.caseless.get(name.lower().replace(".", "-"))
        return gene
