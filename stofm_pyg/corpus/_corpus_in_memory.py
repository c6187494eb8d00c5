import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data
from tqdm import tqdm

from stofm_pyg.corpus._build_corpus import CellFeatures
from stofm_pyg.corpus.convert_slice import convert_slice, shard_tensors
from stofm_pyg.corpus.corpus import Corpus
from stofm_pyg.corpus.feature_store import FeatureStore
from stofm_pyg.corpus.plan import shard_key, shard_marks
from stofm_pyg.corpus.shard import Shard
from stofm_pyg.data import GeneVocab, SliceSettings
from stofm_pyg.data.genes.orthologues import Orthologues
from stofm_pyg.data.slices.cell_order import sort_cells
from stofm_pyg.data.slices.files import file_names, file_paths
from stofm_pyg.data.slices.reader import SliceReader, content_hash
from stofm_pyg.nn.node_type import cell_mask


def corpus_in_memory(
    readers: Sequence[SliceReader],
    settings: SliceSettings,
    vocab: GeneVocab | None = None,
    features: CellFeatures | None = None,
    orthologues: Orthologues | None = None,
    progress: bool = False,
) -> tuple[Corpus, FeatureStore | None]:
    r"""Converts slices as :meth:`build_corpus` does, and keeps them in memory.

    Args:
        readers (sequence of SliceReader): The sources.
        settings (SliceSettings): How slices are converted.
        vocab (GeneVocab, optional): The vocabulary of the tokens. (default: :obj:`None`)
        features (Features, optional): What makes features, in the place of tokens.
            (default: :obj:`None`)
        orthologues (Orthologues, optional): Mouse genes and their human genes. (default: :obj:`None`)
        progress (bool, optional): Shows a progress bar. (default: :obj:`False`)

    Returns:
        The corpus, and its features where they are not made of tokens.

    Raises:
        ValueError: A slice cannot be converted, or is there twice.
    """
    marks = shard_marks(settings, vocab, orthologues)
    store = None if features is None else FeatureStore(settings)
    obsm = getattr(features, "obsm", None)
    shards = []
    items = [(reader, prefix, name) for reader, prefix in _named(readers) for name in reader.rows]
    bar = tqdm(items, "Converting", leave=False, unit="slice", disable=not progress)
    for reader, prefix, name in bar:
        adata, rows = reader.read_by_name(name, obsm)
        tensors, report = convert_slice(adata, rows, settings, vocab, orthologues, name)
        key = shard_key(content_hash(adata), name, marks)
        several = len(reader.rows) > 1 or not prefix
        full = ":".join(part for part in (prefix, name if several else "") if part) or "slice"
        same = next((shard.name for shard in shards if shard.key == key), None)
        if same is not None:
            raise ValueError(f"The slice '{full}' is '{same}' once more; pass each slice once")
        shard = _shard(full, str(reader.path or ""), name, key, tensors, report, vocab)
        if features is not None:
            store.write(shard, features.encode(adata))
        shards.append(shard)
    return Corpus.in_memory(shards, settings, vocab, orthologues), store


def corpus_of_data(slices: Sequence[Data], settings: SliceSettings) -> tuple[Corpus, FeatureStore]:
    r"""Makes a corpus in memory of slices that are converted already, with their features.

    Args:
        slices (sequence of Data): The slices; virtual cells are made anew. Those without a graph stay
            so.
        settings (SliceSettings): How they were converted.

    Raises:
        ValueError: A slice has edges without distances, or features that are not finite.
    """
    store, shards = FeatureStore(settings), []
    marks = shard_marks(settings, None, None)
    for number, data in enumerate(slices):
        cells = cell_mask(data)
        data = data.clone()
        if data.get("cell_id") is None:
            data.cell_id = torch.where(cells, cells.cumsum(0) - 1, -1)
        data = sort_cells(data)
        cells = cell_mask(data)
        tensors, report = shard_tensors(data, settings)
        x = data.x[cells]
        digest = _digest({"pos": data.pos[cells], "x": x, "edges": tensors["edge_col"]})
        name = f"{number}:{data.get('name') or 'slice'}"
        shard = _shard(name, "", "", shard_key(digest, name, marks), tensors, report, None)
        store.write(shard, x)
        shards.append(shard)
    return Corpus.in_memory(shards, settings), store


def _shard(name, file, slice_name, key, tensors, report, vocab) -> Shard:
    entry = {"name": name, "file": file, "slice": slice_name, "key": key, "sha256": key, **report}
    return Shard(entry, tensors, None if vocab is None else vocab.fingerprint)


def _named(readers: Sequence[SliceReader]) -> list[tuple[SliceReader, str]]:
    # Files by their names, objects by their numbers where there are several.
    files = [reader.path for reader in readers if reader.path is not None]
    paths = iter(file_names(file_paths(files) if files else []))
    many = len(readers) > 1
    return [
        (reader, next(paths) if reader.path is not None else str(number) if many else "")
        for number, reader in enumerate(readers)
    ]


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in tensors.items():
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()
