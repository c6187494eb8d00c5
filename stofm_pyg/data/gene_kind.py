import re
from typing import NamedTuple

ENSEMBL = re.compile(r"(ENS(?:MUS)?G)(R?[0-9]{6,})(\.[0-9]+)?(_PAR_Y)?", re.IGNORECASE)
HUMAN_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9._-]+|C[0-9XY]+orf[0-9A-Z.-]+")
MOUSE_SYMBOL = re.compile(r"[A-Z][A-Za-z0-9._-]*[a-z][A-Za-z0-9._-]*|mt-[A-Z].*|[0-9].*Rik")


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
