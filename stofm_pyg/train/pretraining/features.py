import hashlib
import json
import os
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from stofm_pyg.corpus import Corpus, FeatureStore, Shard
from stofm_pyg.models.cell_encoder.feature_scale import FeatureScale
from stofm_pyg.models.cell_encoder.model import CellEncoder
from stofm_pyg.models.features import SpatialSignal, TokenFeatures

# So many cells tell mean and deviation of a channel to a percent.
CELLS_FOR_SCALE = 20_000


def encode_corpus(
    features: TokenFeatures,
    corpus: Corpus,
    directory: str | os.PathLike | None = None,
    *,
    share: tuple[int, int] = (0, 1),
    device: torch.device | str | None = None,
    progress: bool = False,
) -> FeatureStore:
    r"""Embeds all cells of a corpus once and keeps the embeddings, in a folder that is called after the
    weights of the encoder and the settings of the slices; what is there already is not computed again.

    Args:
        features (TokenFeatures): The encoder of cells.
        corpus (Corpus): The slices, with tokens.
        directory (str or PathLike, optional): Where that folder is; memory keeps them without.
            (default: :obj:`None`)
        share (tuple[int, int], optional): The number of this process and how many there are; each takes
            its share of the slices. (default: :obj:`(0, 1)`)
        device (torch.device or str, optional): Where to compute; if :obj:`None`, where the encoder is.
            (default: :obj:`None`)
        progress (bool, optional): Show a progress bar. (default: :obj:`False`)

    Raises:
        ValueError: The encoder is of another vocabulary than the corpus.
    """
    encoder = features.cell_encoder
    encoder.check_vocab(corpus.vocab)
    if device is not None:
        encoder.to(device)
    store = FeatureStore(corpus.settings, _folder(features, corpus, directory))
    rank, size = share
    mine = corpus.shards[rank::size]
    num_cells = sum(shard.num_cells for shard in mine)
    with tqdm(total=num_cells, desc="Encoding", unit="cell", disable=not progress) as bar:
        for shard in mine:
            if not store.has(shard):
                # In the order of names, as the model itself does it.
                tokens = shard.tokens()[shard.order.argsort()]
                store.write(shard, features.encode_tokens(tokens))
            bar.update(shard.num_cells)
    return store


def _folder(features, corpus: Corpus, directory: str | os.PathLike | None) -> Path | None:
    if directory is None:
        return None
    text = json.dumps([features.fingerprint(), corpus.settings.to_dict()], sort_keys=True)
    return Path(directory) / hashlib.sha256(text.encode()).hexdigest()[:16]


def fit_feature_scale(
    encoder: CellEncoder, corpus: Corpus, num_cells: int = CELLS_FOR_SCALE, seed: int = 0
) -> FeatureScale:
    r"""Fits the scale of an encoder, which has none yet, to random subpatches of a corpus, from each
    slice in proportion to its size. Features are scaled by what neighbours share of them
    (:class:`SpatialSignal`), as components of counts are.

    Args:
        encoder (CellEncoder): The encoder.
        corpus (Corpus): The slices.
        num_cells (int, optional): About how many cells. (default: :obj:`20_000`)
        seed (int, optional): The seed of the choice. (default: :obj:`0`)

    Raises:
        ValueError: The encoder has a scale already.
    """
    if encoder.scale is not None:
        raise ValueError(f"The encoder {encoder} has a scale already; set 'encoder.scale = None' first")
    generator = torch.Generator().manual_seed(seed)
    share = min(1.0, num_cells / max(1, corpus.num_cells))

    parts = []
    for shard in corpus.shards:
        chosen = some_parts(shard, share, generator)
        tokens = shard.tokens()[chosen].truncate(encoder.max_length)
        parts.append((encoder.encode(tokens), shard.pos[chosen]))
    scale = FeatureScale.fit(x for x, _ in parts)
    features = ((scale(x - x.mean(dim=0) + scale.mean), pos) for x, pos in parts)
    scale.weight *= torch.from_numpy(SpatialSignal(features).factor())
    return scale


def some_parts(shard: Shard, share: float, generator: torch.Generator) -> Tensor:
    r"""Returns the numbers of the cells of a random share of the subpatches of a slice, at least one, in
    their order."""
    count = max(1, round(share * shard.num_parts))
    chosen = torch.randperm(shard.num_parts, generator=generator)[:count].sort().values.tolist()
    ends = shard.part_ptr.tolist()
    return torch.cat([torch.arange(ends[part], ends[part + 1]) for part in chosen])


def some_cells(shard: Shard, share: float, generator: torch.Generator):
    r"""Returns the tokens of a random share of the cells of a slice, at least one, in their order."""
    count = max(1, round(share * shard.num_cells))
    chosen = torch.randperm(shard.num_cells, generator=generator)[:count].sort().values
    return shard.tokens()[chosen]
