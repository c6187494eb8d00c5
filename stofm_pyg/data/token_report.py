from dataclasses import dataclass


@dataclass(frozen=True)
class TokenReport:
    r"""What became of the cells and genes in :class:`~stofm_pyg.data.RankValueTokenizer`.

    Args:
        num_cells (int): The number of cells.
        num_genes (int): The number of genes of the vocabulary that were found.
        num_columns (int): The number of columns that they were found in.
        num_without_genes (int): The number of cells without a count of any of these genes.
        num_truncated (int): The number of cells that had more tokens than the limit.
        max_length (int): The limit.
        median_length (float): The median number of tokens of a cell.
        mapping (str): The report of :meth:`GeneVocab.map <stofm_pyg.data.GeneVocab.map>`.
    """

    num_cells: int
    num_genes: int
    num_columns: int
    num_without_genes: int
    num_truncated: int
    max_length: int
    median_length: float
    mapping: str

    def __str__(self) -> str:
        return (
            f"{self.num_cells:,} cells, {self.num_genes:,} genes of the vocabulary in "
            f"{self.num_columns:,} columns; {self.num_without_genes:,} cells have none of these genes, "
            f"{self.num_truncated:,} truncated at {self.max_length:,} tokens, median length "
            f"{self.median_length:g}. {self.mapping}"
        )
