import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData

from stofm_pyg.data.errors import unknown_key
from stofm_pyg.data.genes.orthologues import Orthologues

ENSEMBL = re.compile(r"(ENS(?:MUS)?G)(R?[0-9]{6,})(\.[0-9]+)?(_PAR_Y)?", re.IGNORECASE)
HUMAN_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9._-]+|C[0-9XY]+orf[0-9A-Z.-]+")
MOUSE_SYMBOL = re.compile(r"[A-Z][A-Za-z0-9._-]*[a-z][A-Za-z0-9._-]*|mt-[A-Z].*|[0-9].*Rik")

# What Cell Ranger puts before the names of genes where a reference has several genomes.
GENOME = re.compile(
    r"((?:GRC[a-z]|hg|mm|rn|mRatBN|Rnor_|danRer|BDGP|Mmul_|Sscrofa)\d[\d.]*(?:\.p\d+)?)_+(?=[^_])"
)


def without_genome(names: Sequence[str]) -> tuple[list[str], list[str]]:
    r"""Returns names of genes without the genome that stands before them, as in :obj:`"GRCh38_TP53"` and
    :obj:`"mm10___Trp53"`, where it is one in all of them, and the genomes. Else names stay.

    Args:
        names (sequence of str): The names.
    """
    found = [GENOME.match(name) for name in names]
    if not found or not all(found):
        return list(names), []
    genomes = list(dict.fromkeys(match[1] for match in found))
    if len(genomes) > 1:
        return list(names), genomes
    return [name[match.end() :] for name, match in zip(names, found, strict=True)], genomes


class GeneKind(NamedTuple):
    r"""What the name of a gene looks like, see :meth:`gene_kind`."""

    #: The name; of an Ensembl id, without its version.
    name: str
    #: :obj:`"symbol"`, :obj:`"ensembl"` or :obj:`"ensembl with version"`.
    naming: str
    #: :obj:`"human"`, :obj:`"mouse"`, or :obj:`""` where the name does not tell.
    species: str


def gene_kind(name: str) -> GeneKind:
    r"""Returns what the name of a gene looks like.

    Ensembl ids tell their species. Human symbols are in upper case but for :obj:`"C1orf112"`, mouse
    symbols have lower-case letters (:obj:`"Gad1"`, :obj:`"mt-Nd1"`, :obj:`"0610009B22Rik"`).
    """
    name = name.strip()
    ensembl = ENSEMBL.fullmatch(name)
    if ensembl is not None:
        prefix, number, version, _ = ensembl.groups()
        naming = "ensembl" if version is None else "ensembl with version"
        species = "human" if prefix.upper() == "ENSG" else "mouse"
        return GeneKind((prefix + number).upper(), naming, species)
    if HUMAN_SYMBOL.fullmatch(name):
        return GeneKind(name, "symbol", "human")
    return GeneKind(name, "symbol", "mouse" if MOUSE_SYMBOL.fullmatch(name) else "")


class GeneIndex:
    r"""The genes of a vocabulary, found by any way to write their names.

    In this order: as it is written in the vocabulary; in another case (unless two genes differ by
    case alone); with dashes for the dots that R puts in their place (:obj:`"MT.CO1"`).

    Args:
        token_ids (dict): The genes and their token ids.
        medians (dict): The genes and their medians.
        symbols (dict): Symbols and their genes.
    """

    def __init__(
        self,
        token_ids: Mapping[str, int],
        medians: Mapping[str, float],
        symbols: Mapping[str, str],
    ):
        self.token_ids = token_ids
        self.medians = medians
        self.symbols = symbols
        self.exact = {**symbols, **{gene: gene for gene in token_ids}}
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
    names: list[str], index: GeneIndex, orthologues: Callable[[], Orthologues]
) -> NameMatch:
    r"""Finds the gene of each name; mouse names that are no gene of the vocabulary go through
    orthologues.

    An Ensembl id tells its species by itself. For a symbol, that is asked of all names together:
    :obj:`"T"` alone is a gene of either.

    Args:
        names (list of str): Symbols or Ensembl ids, with or without version or a genome before all.
        index (GeneIndex): The genes of the vocabulary.
        orthologues (callable): Returns the table; called when it is needed, as reading takes time.
    """
    kinds = [gene_kind(name) for name in without_genome(names)[0]]
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
        if not kind.name or kind.name in index.token_ids or not mouse:
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


def column_names(adata: AnnData, gene_key: str | None = None) -> dict[str, list[str]]:
    r"""Returns what the genes may be called: :obj:`adata.var_names` and each column of text in
    :obj:`adata.var`, or only the column that is asked for; a missing name is empty.

    Args:
        adata (AnnData): Cells by genes.
        gene_key (str, optional): A column of :obj:`adata.var`. (default: :obj:`None`)

    Raises:
        ValueError: There is no such column.
    """
    if gene_key is not None:
        if gene_key not in adata.var:
            raise unknown_key(
                gene_key, "adata.var", adata.var, "Leave 'gene_key' out for 'adata.var_names'."
            )
        return {f"adata.var[{gene_key!r}]": _as_text(adata.var[gene_key])}
    names = {"adata.var_names": _as_text(adata.var_names)}
    for key, column in adata.var.items():
        if not pd.api.types.is_numeric_dtype(column) and column.nunique() > 1:
            names[f"adata.var[{key!r}]"] = _as_text(column)
    return names


def _as_text(values: pd.Index | pd.Series) -> list[str]:
    missing = np.asarray(pd.isna(values))
    return ["" if gone else str(name).strip() for gone, name in zip(missing, values, strict=True)]
