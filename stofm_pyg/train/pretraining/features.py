import os
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from stofm_pyg.corpus import Corpus, Shard, has_features, write_features
from stofm_pyg.models.cell_encoder.feature_scale import FeatureScale
from stofm_pyg.models.cell_encoder.model import CellEncoder

# So many cells tell mean and deviation of a channel to a percent.
CELLS_FOR_SCALE = 20_000


def encode_corpus(
    encoder: CellEncoder,
    corpus: Corpus,
    directory: str | os.PathLike,
    *,
    center: bool = False,
    share: tuple[int, int] = (0, 1),
    device: torch.device | str | None = None,
    progress: bool = False,
) -> Path:
    r"""Embeds all cells of a corpus once and keeps the embeddings in a folder that is called after the
    weights of the encoder; what is there already is not computed again.

    Args:
        encoder (CellEncoder): The encoder.
        corpus (Corpus): The slices.
        directory (str or PathLike): Where that folder is.
        center (bool, optional): Subtract from the embeddings of each slice their mean.
            (default: :obj:`False`)
        share (tuple[int, int], optional): The number of this process and how many there are; each takes
            its share of the slices. (default: :obj:`(0, 1)`)
        device (torch.device or str, optional): Where to compute; if :obj:`None`, where the encoder is.
            (default: :obj:`None`)
        progress (bool, optional): Show a progress bar. (default: :obj:`False`)

    Returns:
        The folder, for :class:`~stofm_pyg.corpus.CorpusDataset`.

    Raises:
        ValueError: The encoder is of another vocabulary than the corpus.
    """
    encoder.check_vocab(corpus.vocab)
    folder = Path(directory) / (encoder.fingerprint()[:16] + ("-centered" if center else ""))
    rank, size = share
    mine = corpus.shards[rank::size]
    num_cells = sum(shard.num_cells for shard in mine)
    with tqdm(total=num_cells, desc="encode", unit="cell", disable=not progress) as bar:
        for shard in mine:
            if not has_features(shard, folder):
                tokens = shard.tokens().truncate(encoder.max_length)
                write_features(shard, encoder.encode(tokens, device=device), folder, center)
            bar.update(shard.num_cells)
    return folder


def fit_feature_scale(
    encoder: CellEncoder, corpus: Corpus, num_cells: int = CELLS_FOR_SCALE, seed: int = 0
) -> FeatureScale:
    r"""Fits the scale of an encoder, which has none yet, to random cells of a corpus, from each slice in
    proportion to its size.

    Args:
        encoder (CellEncoder): The encoder.
        corpus (Corpus): The slices.
        num_cells (int, optional): About how many cells. (default: :obj:`20_000`)
        seed (int, optional): The seed of the choice. (default: :obj:`0`)
    """
    if encoder.scale is not None:
        raise ValueError(f"The encoder {encoder} has a scale already; set 'encoder.scale = None' first")
    generator = torch.Generator().manual_seed(seed)
    share = min(1.0, num_cells / max(1, corpus.num_cells))

    def embeddings() -> Iterator[Tensor]:
        for shard in corpus.shards:
            yield encoder.encode(some_cells(shard, share, generator).truncate(encoder.max_length))

    return FeatureScale.fit(embeddings())


def some_cells(shard: Shard, share: float, generator: torch.Generator):
    r"""Returns the tokens of a random share of the cells of a slice, at least one, in their order."""
    count = max(1, round(share * shard.num_cells))
    chosen = torch.randperm(shard.num_cells, generator=generator)[:count].sort().values
    return shard.tokens()[chosen]
