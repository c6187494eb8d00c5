from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from anndata import AnnData
from torch import Tensor
from torch_geometric.data import Batch, Data
from tqdm import tqdm

from stofm_pyg._files import locked, saving
from stofm_pyg.corpus.plan import FileHashes, check_share
from stofm_pyg.data.slices.reader import SliceReader, content_hash
from stofm_pyg.loader.subpatch_loader import LikeSizeSampler
from stofm_pyg.models._embed import embed_batch, embedding_size, mask_groups, part_size
from stofm_pyg.models._in_evaluation import in_evaluation
from stofm_pyg.models._part_file import part_tensors
from stofm_pyg.models._part_folder import Group, PartFolder
from stofm_pyg.models._slices import read_slice, slice_reader
from stofm_pyg.models._subpatches import check_slice, subpatches, ties_of
from stofm_pyg.models.cell_encoder.cache import hash_tensors
from stofm_pyg.models.read_out import ReadOut
from stofm_pyg.nn.node_type import cell_mask
from stofm_pyg.transforms.neighbors import nearest_neighbors

if TYPE_CHECKING:
    from stofm_pyg.models.stofm import SToFM

# Of one core (docs/scaling.md), for a word beforehand.
SECONDS_PER_CELL = 3e-4
ROWS_PER_BLOCK = 2**16

logger = logging.getLogger(__name__)


@torch.no_grad()
def embed_in_parts(
    model: SToFM,
    source: AnnData | str | os.PathLike,
    folder: str | os.PathLike,
    share: tuple[int, int] = (0, 1),
    cells_per_part: int | None = None,
    batch_size: int = 1,
    layers: str | None = None,
    readout: str | None = None,
    method: str | None = None,
    seed: int = 0,
    progress: bool = False,
    *,
    read_out: ReadOut | None = None,
    parts_per_group: int = 16,
    device: torch.device | str | None = None,
    cache: str | os.PathLike | None = None,
    **where,
) -> np.ndarray | None:
    r"""Embeds the slices of a source as :meth:`SToFM.embed` does, by way of a folder: in the memory of
    some subpatches, to go on after a break, and shared by processes on any number of machines.

    First the slices are cut into subpatches, which are written to the folder; one process does so, and
    others wait. Then groups of them are embedded, each to a file of its own, and the process that finds
    all of them there puts them together. What is there and whole is not made again, so that the same
    call goes on after a break.

    Args:
        model (SToFM): The model.
        source (AnnData or str or PathLike): Cells by genes, or a file.
        folder (str or PathLike): The folder, of this source, this model and these arguments alone; made
            if need be. Processes that share the work need one that all of them see.
        share (tuple[int, int], optional): :obj:`(k, n)` embeds the :math:`k`-th of :math:`n` shares,
            from 0 on. (default: :obj:`(0, 1)`)
        cells_per_part (int, optional): See :meth:`SToFM.embed`. (default: :obj:`None`)
        batch_size (int, optional): See :meth:`SToFM.embed`; halved where the memory of a GPU is too
            small. (default: :obj:`1`)
        layers (str, optional): See :meth:`SToFM.embed`. (default: :obj:`None`)
        readout (str, optional): See :meth:`SToFM.embed`. (default: :obj:`None`)
        method (str, optional): See :meth:`SToFM.embed`. (default: :obj:`None`)
        seed (int, optional): See :meth:`SToFM.embed`. (default: :obj:`0`)
        progress (bool, optional): Shows a progress bar. (default: :obj:`False`)
        read_out (ReadOut, optional): See :meth:`SToFM.embed`. (default: :obj:`None`)
        parts_per_group (int, optional): Subpatches that are read and embedded at a time.
            (default: :obj:`16`)
        device (torch.device or str, optional): See :meth:`SToFM.embed`. (default: :obj:`None`)
        cache (str or PathLike, optional): See :meth:`SToFM.embed`. (default: :obj:`None`)
        **where (optional): See :meth:`SToFM.slices`.

    Returns:
        The embeddings of the cells :math:`(N, C)` in their order, mapped from :obj:`embedding.npy` in
        the folder; :obj:`None` where other processes have not made theirs yet, or one of them has put
        all together.

    Raises:
        OSError: Nothing can be written to the folder.
        TypeError: The source is none.
        torch.OutOfMemoryError: A subpatch does not fit into the memory of the GPU.
        ValueError: The folder was begun with something else, or an argument is out of its range.

    Example:
        >>> embed_in_parts(model, "slice.h5ad", "parts").shape
        (1000000, 64)
    """
    if not isinstance(source, (AnnData, str, os.PathLike)):
        raise TypeError(
            f"Expected an AnnData or the path of a file or folder, got {type(source).__name__}; "
            f"'SToFM.embed' takes slices and several sources"
        )
    number, of = check_share(share)
    if parts_per_group < 1:
        raise ValueError(f"'parts_per_group' must be at least 1 (got {parts_per_group})")
    read_out = (model.read_out if read_out is None else read_out).changed(layers, readout)
    if method is None and model.graph != "official":
        method = model.settings.method
    wanted = model.settings.cells_per_part if cells_per_part is None else cells_per_part
    sizes = [part_size(wanted, each) for each in read_out.part_shares]
    reader = slice_reader(model, source, where)
    options = {"cells_per_part": wanted, "method": method, "seed": seed}
    options["parts_per_group"] = parts_per_group
    directory = Path(folder).expanduser()
    marks = {**_marks(model, reader, directory), **_flat("read_out", read_out.to_dict()), **options}
    kept = PartFolder(directory, marks)
    with in_evaluation(model, device):
        with locked(directory, wait=True):
            kept.begin()
            result = kept.result()
            if result is not None:
                return result
            _convert(model, reader, kept, sizes, method, seed, cache)
        groups = [
            group
            for place in range(len(reader.rows))
            for size in range(len(sizes))
            for group in kept.groups(place, size, parts_per_group)
        ]
        _embed_groups(model, kept, groups[number::of], read_out, seed, batch_size, progress)
    there = sum(kept.group_path(group).exists() for group in groups)
    if there < len(groups):
        logger.info("%d of %d groups of parts are embedded; others are at the rest", there, len(groups))
        return None
    with locked(directory, wait=True):
        if kept.result() is not None:
            return None
        return _join(model, kept, groups, read_out, reader.num_cells)


def _marks(model: SToFM, reader: SliceReader, directory: Path) -> dict[str, Any]:
    # What the embedding depends on, by name.
    if reader.path is not None:
        source = FileHashes(directory / "files")(reader.path)
    else:
        hashes = {
            name: [content_hash(reader.read(name, model.features.obsm)), rows.tolist()]
            for name, rows in reader.rows.items()
        }
        source = hash_tensors({}, hashes)
    skipped = ("heads.", "features.")
    state = {k: v for k, v in model.state_dict().items() if not k.startswith(skipped)}
    return {
        "source": source,
        "model": hash_tensors(state, model.config),
        "features": model.features.fingerprint(),
        **_flat("settings", reader.settings.to_dict()),
    }


def _flat(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name}.{key}": value for key, value in values.items()}


def _convert(
    model: SToFM,
    reader: SliceReader,
    folder: PartFolder,
    sizes: Sequence[int],
    method: str | None,
    seed: int,
    cache: str | os.PathLike | None,
):
    # Cuts slices into subpatches of each size, as far as they are not there yet.
    todo = {}
    for place, name in enumerate(reader.rows):
        missing = [k for k in range(len(sizes)) if not folder.parts(place, k).is_whole()]
        if missing:
            todo[place, name] = missing
    cells = sum(len(reader.rows[name]) for _, name in todo)
    if cells > 0:
        logger.info(
            "%s cells are cut into subpatches first, which takes about %s on one core",
            f"{cells:,}", _words(cells * SECONDS_PER_CELL),
        )  # fmt: skip
    for (place, name), missing in todo.items():
        data = read_slice(model.features, reader, name, cache)
        check_slice(data, model.graph)
        cell_id = data.cell_id[cell_mask(data)]
        for k in missing:
            tensors = part_tensors(subpatches(data, model.graph, sizes[k], method, seed), cell_id)
            folder.parts(place, k).write(tensors)


def _words(seconds: float) -> str:
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} minutes"


def _embed_groups(
    model: SToFM,
    folder: PartFolder,
    groups: Sequence[Group],
    read_out: ReadOut,
    seed: int,
    batch_size: int,
    progress: bool,
):
    # Each to its file, as far as they are not there yet.
    cells, width = [group.last - group.first for group in groups], embedding_size(model, read_out)
    todo = [group for group in groups if not _is_there(folder, group, width)]
    passes = len(read_out.part_shares)
    left = sum(group.last - group.first for group in todo)
    ties = ties_of(model.graph)
    with tqdm(
        total=sum(cells) // passes, initial=(sum(cells) - left) // passes, desc="Embedding",
        unit="cell", disable=not progress,
    ) as bar:  # fmt: skip
        for group in todo:
            parts = folder.parts(group.slice, group.share).read(group.start, group.end, ties)
            masked = None
            if read_out.readout == "context":
                own = [int(cell_mask(part).sum()) for part in parts]
                masked = mask_groups(own, seed, group.start)
            z, batch_size = _embed_parts(model, parts, read_out, masked, batch_size)
            folder.write_group(group, z)
            left -= z.size(0)
            bar.update((sum(cells) - left) // passes - bar.n)


def _is_there(folder: PartFolder, group: Group, width: int) -> bool:
    z = folder.read_group(group)
    return z is not None and list(z.shape) == [group.last - group.first, width]


def _embed_parts(
    model: SToFM, parts: Sequence[Data], read_out: ReadOut, masked: Tensor | None, batch_size: int
) -> tuple[Tensor, int]:
    # The embeddings of the cells, and how many subpatches fit into a batch.
    sizes = torch.tensor([part.num_nodes for part in parts])
    num_cells = sum(int(cell_mask(part).sum()) for part in parts)
    while True:
        z = torch.zeros(num_cells, embedding_size(model, read_out))
        try:
            for numbers in LikeSizeSampler(sizes, batch_size):
                batch = Batch.from_data_list([parts[number] for number in numbers])
                for mask, rows in embed_batch(model, batch, read_out, masked):
                    z[batch.row[mask]] = rows
            return z, batch_size
        except torch.OutOfMemoryError as error:
            if batch_size == 1:
                raise torch.OutOfMemoryError(
                    f"The memory of the GPU is too small for a part of {int(sizes.max())} nodes; pass a "
                    f"smaller 'cells_per_part', and another folder"
                ) from error
        batch_size //= 2
        torch.cuda.empty_cache()


def _join(
    model: SToFM, folder: PartFolder, groups: Sequence[Group], read_out: ReadOut, num_cells: int
) -> np.ndarray | None:
    # The embeddings of all cells, in the order of the source.
    size = embedding_size(model, read_out)
    for group in groups:
        if not _is_there(folder, group, size):
            folder.group_path(group).unlink(missing_ok=True)
            return None
    width = size + (model.mask_token.numel() if read_out.own_features else 0)

    def fill(out: np.ndarray):
        for group in groups:
            cell_id = folder.parts(group.slice, group.share).tensor("cell_id")
            rows = cell_id[group.first : group.last].numpy()
            out[rows, :size] += folder.read_group(group).numpy()
        if len(read_out.part_shares) > 1:
            for block in _blocks(num_cells):
                out[block, :size] /= len(read_out.part_shares)
        for place in sorted({group.slice for group in groups}):
            _finish(folder, place, read_out, size, out)

    return folder.write_result((num_cells, width), fill)


def _finish(folder: PartFolder, place: int, read_out: ReadOut, size: int, out: np.ndarray):
    # What follows the average over parts: that over neighbours, and the features of a cell.
    parts = folder.parts(place, 0)
    row, cell_id = parts.tensor("row"), parts.tensor("cell_id")
    if read_out.own_features:
        x = parts.tensor("x")
        for block in _blocks(row.numel()):
            out[cell_id[block].numpy(), size:] = x[block].numpy()
    if read_out.num_neighbors == 0 or row.numel() == 1:
        return
    # In the order of the slice, by which equally near ones are told apart.
    order = torch.empty_like(row)
    order[row] = torch.arange(row.numel())
    cell_id, pos = cell_id[order], parts.tensor("pos")[order]
    near = nearest_neighbors(pos, read_out.num_neighbors)
    with saving(folder.directory) as scratch:
        path = scratch / "averaged.npy"
        averaged = np.lib.format.open_memmap(path, "w+", np.float32, (row.numel(), size))
        for block in _blocks(row.numel()):
            z = torch.from_numpy(out[cell_id[block].numpy(), :size])
            around = torch.from_numpy(out[cell_id[near[block]].view(-1).numpy(), :size])
            around = around.view(*near[block].shape, size).sum(dim=1)
            averaged[block] = ((z + around) / (1 + near.size(1))).numpy()
        for block in _blocks(row.numel()):
            out[cell_id[block].numpy(), :size] = averaged[block]


def _blocks(number: int) -> Iterator[slice]:
    for start in range(0, number, ROWS_PER_BLOCK):
        yield slice(start, min(start + ROWS_PER_BLOCK, number))
