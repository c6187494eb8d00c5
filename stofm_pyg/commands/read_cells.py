from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from stofm_pyg.data import CellTokens, GeneVocab, RankValueTokenizer
from stofm_pyg.data.genes.orthologues import Orthologues


def read_vocab(vocab: str, slices: Sequence[str], layer: str | None = None) -> GeneVocab:
    r"""Reads the vocabulary that a command line names.

    Args:
        vocab (str): A file that :meth:`GeneVocab.save` wrote, the folder or hub id of a Geneformer, or
            :obj:`"slices"` to make one of the slices.
        slices (sequence of str): The h5ad files.
        layer (str, optional): The layer of the raw counts. (default: :obj:`None`)
    """
    if vocab == "slices":
        return GeneVocab.from_slices(slices, layer=layer)
    if Path(vocab).expanduser().is_file():
        return GeneVocab.load(vocab)
    return GeneVocab.from_geneformer(vocab)


def read_cells(
    slices: Sequence[str],
    vocab: GeneVocab,
    max_length: int,
    layer: str | None = None,
    orthologues: str | None = None,
) -> CellTokens:
    r"""Returns the tokens of the cells of all slices, in their order.

    Args:
        slices (sequence of str): The h5ad files.
        vocab (GeneVocab): The vocabulary.
        max_length (int): The largest number of tokens of a cell.
        layer (str, optional): The layer of the raw counts. (default: :obj:`None`)
        orthologues (str, optional): A table of mouse genes and their human genes.
            (default: :obj:`None`)
    """
    table = Orthologues.read(orthologues) if orthologues is not None else None
    tokenizer = RankValueTokenizer(vocab, max_length)
    parts = []
    for path in tqdm(slices, desc="tokens", unit="slice"):
        mapping = vocab.map(path, layer=layer, orthologues=table)
        parts.append(tokenizer(path, layer, mapping=mapping))
    return CellTokens.concat(parts)
