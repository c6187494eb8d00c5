from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import ConcatDataset, Sampler
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from stofm_pyg._seeds import draws_for
from stofm_pyg.loader.spatial_cluster_data import SpatialClusterData


class LikeSizeSampler(Sampler):
    r"""Batches of subpatches of like size, so that dense attention pads little.

    Args:
        sizes (torch.Tensor): The number of nodes of each subpatch :math:`(P)`.
        batch_size (int): The number of subpatches in a batch.
        shuffle (bool, optional): Shuffle the order of batches, and of subpatches of equal size, anew
            at every pass. (default: :obj:`False`)
        seed (int, optional): The seed of the shuffles. (default: :obj:`0`)

    Raises:
        ValueError: A batch has not one subpatch at least.
    """

    def __init__(self, sizes: torch.Tensor, batch_size: int, shuffle: bool = False, seed: int = 0):
        if batch_size < 1:
            raise ValueError(f"'batch_size' must be at least 1 (got {batch_size})")
        self.sizes = sizes
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.generator = torch.Generator().manual_seed(seed)

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.arange(self.sizes.numel())
        if self.shuffle:
            order = torch.randperm(self.sizes.numel(), generator=self.generator)
        order = order[self.sizes[order].argsort(stable=True)]
        batches = order.split(self.batch_size)
        if self.shuffle:
            shuffled = torch.randperm(len(batches), generator=self.generator)
            batches = [batches[i] for i in shuffled.tolist()]
        return iter([batch.tolist() for batch in batches])

    def __len__(self) -> int:
        return -(-self.sizes.numel() // self.batch_size)


class _Subpatches(ConcatDataset):
    # The subpatches of slices; what transforms with a seed draw for one follows from it and the pass.
    def __getitem__(self, index: int | tuple[int, int]) -> Data:
        if not isinstance(index, tuple):
            return super().__getitem__(index)
        with draws_for(*index):
            return super().__getitem__(index[0])


class _CountedPasses(Sampler):
    # Batches with the number of the pass, which counts on when a slice gets another loader.
    def __init__(self, sampler: LikeSizeSampler, slices: Sequence[SpatialClusterData]):
        self.sampler = sampler
        self.slices = slices

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        draw = max(parts.passes for parts in self.slices)
        for parts in self.slices:
            parts.passes = draw + 1
        for batch in self.sampler:
            yield [(index, draw) for index in batch]

    def __len__(self) -> int:
        return len(self.sampler)


class SubpatchLoader(DataLoader):
    r"""Loads the subpatches of one or many slices as PyG batches, those of like size together.

    What transforms with a seed draw follows from it, the subpatch and the pass, and so is another at
    each pass and the same for any :obj:`num_workers`.

    Args:
        slices (SpatialClusterData or sequence of them): The partitioned slices.
        batch_size (int, optional): The number of subpatches in a batch. (default: :obj:`1`)
        shuffle (bool, optional): Shuffle anew at every pass. (default: :obj:`False`)
        seed (int, optional): The seed of the shuffles. (default: :obj:`0`)
        **kwargs (optional): Additional arguments of :class:`torch_geometric.loader.DataLoader`, such
            as :obj:`num_workers`.

    Raises:
        TypeError: A slice is not partitioned.
        ValueError: There are no slices, or a batch has not one subpatch at least.
    """

    def __init__(
        self,
        slices: SpatialClusterData | Sequence[SpatialClusterData],
        batch_size: int = 1,
        shuffle: bool = False,
        seed: int = 0,
        follow_batch: list[str] | None = None,
        **kwargs,
    ):
        slices = [slices] if isinstance(slices, SpatialClusterData) else list(slices)
        if not slices:
            raise ValueError("No slices to load; pass at least one 'SpatialClusterData'")
        for parts in slices:
            if not isinstance(parts, SpatialClusterData):
                raise TypeError(
                    f"Expected 'SpatialClusterData', got {type(parts).__name__}; partition each slice "
                    f"by 'SpatialClusterData(data)'"
                )
        widths = {parts.data.x.size(-1) for parts in slices if parts.data.x is not None}
        if len(widths) > 1:
            raise ValueError(
                f"The slices have {' and '.join(map(str, sorted(widths)))} features, and make no "
                f"batch; compute them together"
            )
        sampler = LikeSizeSampler(torch.cat([s.sizes for s in slices]), batch_size, shuffle, seed)
        # A loader draws a seed for its workers; from torch's global generator unless given its own.
        kwargs.setdefault("generator", torch.Generator().manual_seed(seed))
        super().__init__(
            _Subpatches(slices),
            batch_sampler=_CountedPasses(sampler, slices),
            follow_batch=follow_batch,
            **kwargs,
        )
