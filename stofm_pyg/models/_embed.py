from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data
from tqdm import tqdm

from stofm_pyg._seeds import mixed_seed
from stofm_pyg.loader import SubpatchLoader
from stofm_pyg.models._subpatches import check_slice, subpatches
from stofm_pyg.models.read_out import ReadOut
from stofm_pyg.nn.node_type import NodeType, cell_mask
from stofm_pyg.transforms.neighbors import nearest_neighbors

# As many passes over a subpatch, so that as many cells are masked at a time as in training.
NUM_MASKS = 10


def embed_slice(
    model: torch.nn.Module,
    data: Data,
    read_out: ReadOut,
    cells_per_part: int,
    batch_size: int = 1,
    method: str | None = None,
    seed: int = 0,
    bar: tqdm | None = None,
) -> Tensor:
    r"""Embeds the cells of a slice :math:`(N, C)`, subpatch by subpatch.

    Args:
        model (torch.nn.Module): A :class:`SToFM`, in evaluation mode.
        data (Data): The slice, not changed.
        read_out (ReadOut): What becomes the embedding.
        cells_per_part (int): Cells in a subpatch.
        batch_size (int, optional): Subpatches in a batch; changes nothing but time and memory.
            (default: :obj:`1`)
        method (str, optional): How to partition. (default: :obj:`None`)
        seed (int, optional): The seed of the partition and of the masks. (default: :obj:`0`)
        bar (tqdm, optional): Told how many cells are done. (default: :obj:`None`)
    """
    check_slice(data, model.graph)
    is_cell, told, done = cell_mask(data), 0, 0
    total = torch.zeros(int(is_cell.sum()), embedding_size(model, read_out))
    for share in read_out.part_shares:
        parts = subpatches(data, model.graph, part_size(cells_per_part, share), method, seed)
        sizes = parts.partition.partptr.diff().tolist()
        group = None
        if read_out.readout == "context":
            group = torch.empty(total.size(0), dtype=torch.long)
            group[parts.data.row] = mask_groups(sizes, seed)
        for batch in SubpatchLoader(parts, batch_size):
            for mask, rows in embed_batch(model, batch, read_out, group):
                total[batch.row[mask]] += rows
            done += int((batch.node_type == NodeType.CELL).sum())
            if bar is not None:
                bar.update(done // len(read_out.part_shares) - told)
                told = done // len(read_out.part_shares)
    z = total / len(read_out.part_shares)
    if read_out.num_neighbors > 0 and z.size(0) > 1:
        near = nearest_neighbors(data.pos[is_cell], read_out.num_neighbors)
        z = (z + z[near].sum(dim=1)) / (1 + near.size(1))
    if read_out.own_features:
        z = torch.cat([z, data.x[is_cell].float()], dim=1)
    return z


def embedding_size(model: torch.nn.Module, read_out: ReadOut) -> int:
    r"""The size of what a model embeds a cell to, without its own features."""
    return model.encoder.hidden_channels * (model.encoder.num_layers if read_out.layers == "all" else 1)


def part_size(cells_per_part: int, share: float) -> int:
    r"""The cells in a subpatch of a share of the wanted size.

    Raises:
        ValueError: The wanted size is not positive.
    """
    if cells_per_part < 1:
        raise ValueError(f"'cells_per_part' must be at least 1 (got {cells_per_part})")
    return max(1, round(share * cells_per_part))


def mask_groups(sizes: Sequence[int], seed: int, first: int = 0) -> Tensor:
    r"""Which cells of some subpatches are masked together, one subpatch after another; follows from the
    seed and the subpatch alone, not from the batch.

    Args:
        sizes (sequence of int): The number of cells of each subpatch.
        seed (int): The seed.
        first (int, optional): The number of the first one of them. (default: :obj:`0`)
    """
    groups = [torch.empty(0, dtype=torch.long)]
    for number, size in enumerate(sizes, start=first):
        generator = torch.Generator().manual_seed(mixed_seed([seed, number]))
        groups.append(torch.randperm(size, generator=generator) % NUM_MASKS)
    return torch.cat(groups)


def embed_batch(
    model: torch.nn.Module, batch: Data, read_out: ReadOut, group: Tensor | None
) -> Iterator[tuple[Tensor, Tensor]]:
    r"""Embeds the cells of a batch of subpatches, each once: yields which nodes were embedded
    :math:`(N)`, and their embeddings.

    Args:
        model (torch.nn.Module): A :class:`SToFM`, in evaluation mode.
        batch (Data): The batch; :obj:`row` leads from a cell to its entry of :obj:`group`.
        read_out (ReadOut): What becomes the embedding.
        group (torch.Tensor): Which cells are masked together; :obj:`None` if none are.
    """
    is_cell = batch.node_type == NodeType.CELL
    masks = [is_cell]
    if group is not None:
        of_node = torch.full((batch.num_nodes,), -1)
        of_node[is_cell] = group[batch.row[is_cell]]
        masks = [of_node == k for k in range(NUM_MASKS)]
    for mask in masks:
        if not mask.any():
            continue
        batch.mask = mask if group is not None else None
        output = model(batch.clone().to(model.mask_token.device))
        states = output.hidden_states[1:] if read_out.layers == "all" else [output.x]
        yield mask, torch.cat([x[mask.to(x.device)] for x in states], dim=-1).float().cpu()
