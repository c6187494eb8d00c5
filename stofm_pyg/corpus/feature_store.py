import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch_geometric.data import Data

from stofm_pyg.corpus.shard import Shard, TensorsInMemory, is_as_written, open_safetensors
from stofm_pyg.corpus.shard_file import save_tensors
from stofm_pyg.data import SliceSettings
from stofm_pyg.data.slices.convert import add_virtual_cells
from stofm_pyg.nn.node_type import NodeType
from stofm_pyg.transforms.rings import ring_means

FORMAT, VERSION = "stofm_pyg.corpus.features", 2


class FeatureStore:
    r"""Keeps the features of the cells of shards, and what follows from them: clusters and virtual
    cells, made as :meth:`~stofm_pyg.data.slices.convert.build_data` makes them.

    Args:
        settings (SliceSettings): How slices are made.
        directory (str or PathLike, optional): The folder that keeps them; memory does without.
            (default: :obj:`None`)

    **Shapes**, for :math:`N` cells and :math:`V` virtual cells of a shard:
        - :obj:`x`: :math:`(N, F)` float32, :obj:`cluster`: :math:`(N)` int64, in the shard's order
        - :obj:`virtual_x`: :math:`(V, F)` float32, :obj:`virtual_pos`: :math:`(V, 2)` float64
        - :obj:`rings`: :math:`(N, R, F)` float32, the mean features of rings around each cell (see
          :meth:`~stofm_pyg.transforms.rings.ring_means`), of mean square one in each ring, kept apart
    """

    def __init__(self, settings: SliceSettings, directory: str | os.PathLike | None = None):
        self.settings = settings
        self.directory = None if directory is None else Path(directory).expanduser()
        self._memory: dict[str, TensorsInMemory] = {}

    def write(self, shard: Shard, x: Tensor):
        r"""Keeps the features of the cells of a shard.

        Args:
            shard (Shard): The slice.
            x (torch.Tensor): The features :math:`(N, F)`, in the order of
                :meth:`~stofm_pyg.data.slices.reader.SliceReader.read_by_name`.

        Raises:
            ValueError: There is not one row for each cell, or a value is not finite.
        """
        if x.dim() != 2 or x.size(0) != shard.num_cells:
            raise ValueError(
                f"Features of '{shard.name}' have shape {list(x.shape)}, expected [{shard.num_cells}, "
                f"F]: a row for each cell"
            )
        x = x.detach().to("cpu", torch.float32)
        finite = x.isfinite().all(dim=1)
        if not bool(finite.all()):
            raise ValueError(
                f"Features of {int((~finite).sum())} cells of '{shard.name}' are not finite, the first "
                f"in row {int((~finite).nonzero()[0])}; compute them again"
            )
        tensors = self._tensors(shard, x)
        if self.directory is None:
            self._memory[shard.key] = TensorsInMemory(tensors)
            return
        path = self._path(shard)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(path, tensors, FORMAT, VERSION, self._key(shard), with_digest=True)

    def write_rings(self, shard: Shard):
        r"""Keeps the mean features of rings around the cells of a shard, if they are not there yet.

        Raises:
            FileNotFoundError: There are no features of the shard.
        """
        if self._rings(shard, whole=True) is not None:
            return
        rings = ring_means(self.open(shard).get_tensor("x"), shard.pos)
        rings = rings / rings.square().mean(dim=(0, 2), keepdim=True).sqrt().clamp(min=1e-8)
        if self.directory is None:
            self._memory[shard.key]["rings"] = rings
        else:
            path = self._path(shard, "-rings")
            save_tensors(path, {"rings": rings}, FORMAT, VERSION, shard.key, with_digest=True)

    def open_rings(self, shard: Shard) -> Tensor:
        r"""Returns the mean features of rings around the cells of a shard, mapped from their file.

        Raises:
            FileNotFoundError: They are not there.
        """
        rings = self._rings(shard)
        if rings is None:
            raise FileNotFoundError(f"There are no rings of '{shard.name}'; write them first")
        return rings

    def _rings(self, shard: Shard, whole: bool = False) -> Tensor | None:
        if self.directory is None:
            return self._memory.get(shard.key, {}).get("rings")
        try:
            file = open_safetensors(self._path(shard, "-rings"), FORMAT, VERSION, shard.key)
            if whole and not is_as_written(file):
                return None
            rings = file.get_tensor("rings")
        except (FileNotFoundError, ValueError, SafetensorError):
            return None
        return rings if rings.size(0) == shard.num_cells else None

    def has(self, shard: Shard) -> bool:
        r"""Whether whole features of a shard are kept. Reads all of them."""
        try:
            file = self.open(shard)
            if self.directory is not None and not is_as_written(file):
                return False
            rows = [file.get_slice(name) for name in ("x", "cluster")]
            shapes = [getattr(row, "shape", None) or row.get_shape() for row in rows]
        except (FileNotFoundError, ValueError, SafetensorError):
            return False
        return [shape[0] for shape in shapes] == [shard.num_cells, shard.num_cells]

    def open(self, shard: Shard):
        r"""Opens the features of a shard.

        Raises:
            FileNotFoundError: They are not there.
            ValueError: They are truncated, damaged, or of something else.
        """
        if self.directory is not None:
            return open_safetensors(self._path(shard), FORMAT, VERSION, self._key(shard))
        if shard.key not in self._memory:
            raise FileNotFoundError(f"There are no features of '{shard.name}'; write them first")
        return self._memory[shard.key]

    def _path(self, shard: Shard, kind: str = "") -> Path:
        return self.directory / f"{shard.key}{kind}.safetensors"

    def _key(self, shard: Shard) -> str:
        # Clusters depend on more than their shard and the features.
        settings = self.settings
        if not settings.virtual_cells:
            return f"{shard.key} without virtual cells"
        return f"{shard.key} in {settings.max_clusters} clusters, alpha {settings.alpha}"

    def _tensors(self, shard: Shard, x: Tensor) -> dict[str, Tensor]:
        # Clusters are found in the order of names, as everywhere else.
        order = shard.order
        pos = torch.empty(shard.num_cells, 2, dtype=torch.float64)
        pos[order] = shard.pos
        data = Data(x=x, pos=pos)
        if self.settings.virtual_cells:
            data = add_virtual_cells(data, self.settings)
            virtual = data.node_type == NodeType.VIRTUAL
        else:
            data.cluster = torch.zeros(shard.num_cells, dtype=torch.int64)
            virtual = torch.zeros(shard.num_cells, dtype=torch.bool)
        return {
            "x": x[order].contiguous(),
            "cluster": data.cluster[~virtual][order].contiguous(),
            "virtual_x": data.x[virtual].contiguous(),
            "virtual_pos": data.pos[virtual].contiguous(),
        }

    def __repr__(self) -> str:
        where = "memory" if self.directory is None else f"'{self.directory}'"
        return f"{self.__class__.__name__}({where})"
