from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from stofm_pyg.data.gene_index import GeneIndex
from stofm_pyg.data.gene_kind import GeneKind, gene_kind
from stofm_pyg.data.orthologues import Orthologues


@dataclass
class NameMatch:
    r"""The genes that a list of names stands for, see :meth:`match_names`."""

    names: list[str]
    #: The gene of each name; :obj:`None` where there is none.
    genes: list[str | None]
    naming: str
    species: str
    #: Mouse names that were mapped by a table of orthologues.
    by_table: list[str] = field(default_factory=list)
    #: Mouse symbols that were put in upper case, for want of an orthologue in a table.
    by_upper_case: list[str] = field(default_factory=list)

    @property
    def num_genes(self) -> int:
        r"""How many different genes were found."""
        return len({gene for gene in self.genes if gene is not None})


def match_names(
    names: list[str], index: GeneIndex, own: set[str], orthologues: Callable[[], Orthologues]
) -> NameMatch:
    r"""Finds the gene of each name; mouse names that the vocabulary does not have go through
    orthologues.

    An Ensembl id tells its species by itself. For a symbol, that is asked of all names together:
    :obj:`"T"` alone is a gene of either.

    Args:
        names (list of str): Symbols or Ensembl ids, with or without version.
        index (GeneIndex): The names of the vocabulary.
        own (set of str): The genes of the vocabulary, a name among which needs no orthologue.
        orthologues (callable): Returns the table; called when it is needed, as reading takes time.
    """
    kinds = [gene_kind(name) for name in names]
    naming = Counter(kind.naming for kind in kinds).most_common(1)
    species = Counter(kind.species for kind in kinds)
    match = NameMatch(
        names,
        genes=[],
        naming=naming[0][0] if naming else "symbol",
        species="mouse" if species["mouse"] > species["human"] else "human",
    )
    for name, kind in zip(names, kinds, strict=True):
        is_symbol = kind.naming == "symbol"
        mouse = match.species == "mouse" if is_symbol else kind.species == "mouse"
        if not kind.name or kind.name in own or not mouse:
            match.genes.append(index.find(kind.name) if kind.name else None)
        else:
            match.genes.append(_through_orthologues(name, kind, index, orthologues(), match))
    return match


def _through_orthologues(
    name: str, kind: GeneKind, index: GeneIndex, table: Orthologues, match: NameMatch
) -> str | None:
    candidates = table.find(kind.name)
    found = (index.find(candidate) for candidate in candidates)
    gene = next((gene for gene in found if gene is not None), None)
    if gene is not None:
        match.by_table.append(name)
    elif not candidates and kind.naming == "symbol":
        # A human gene mostly bears the name of its mouse gene in upper case.
        gene = index.find(kind.name)
        if gene is not None:
            match.by_upper_case.append(name)
    return gene
