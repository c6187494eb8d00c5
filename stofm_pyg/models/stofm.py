import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.data import Data
from tqdm import tqdm

from stofm_pyg._files import write_atomically
from stofm_pyg.loader import SpatialClusterData, SubpatchLoader
from stofm_pyg.nn import NodeType, SliceEncoder, SliceEncoderOutput
from stofm_pyg.transforms._positions import node_types

# As many passes over a subpatch, so that as many cells are masked at a time as in training.
NUM_MASKS = 10


class SToFM(torch.nn.Module):
    r"""The multi-scale model of the `"SToFM: a Multi-scale Foundation Model for Spatial
    Transcriptomics" <https://arxiv.org/abs/2507.11588>`_ paper: features of cells and virtual cells
    to embeddings of cells in their tissue.

    Args:
        in_channels (int): Size of a cell's features.
        hidden_channels (int, optional): Size of an embedding. (default: :obj:`256`)
        num_layers (int, optional): Number of layers. (default: :obj:`4`)
        conv (str, optional): The graph operator, by name. (default: :obj:`"SE2TransformerConv"`)
        **kwargs (optional): Additional arguments of :class:`stofm_pyg.nn.SliceEncoder`.

    Examples:
        >>> model = SToFM(in_channels=50, hidden_channels=64, num_layers=2)
        >>> slices = SyntheticTissue(num_slices=2)
        >>> z = model.embed(slices[0])  # [num_cells, 64], cells in order
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 256,
        num_layers: int = 4,
        conv: str = "SE2TransformerConv",
        **kwargs,
    ):
        super().__init__()
        if not isinstance(conv, str):
            raise TypeError(
                f"'conv' must be a name, so that the model can be saved (got {conv!r}); "
                f"'stofm_pyg.nn.SliceEncoder' takes classes and factories too"
            )
        self.config = {
            "in_channels": in_channels,
            "hidden_channels": hidden_channels,
            "num_layers": num_layers,
            "conv": conv,
            **kwargs,
        }
        self.mask_token = Parameter(torch.empty(in_channels))
        self.encoder = SliceEncoder(in_channels, hidden_channels, num_layers, conv, **kwargs)
        self.reset_parameters()

    def reset_parameters(self):
        r"""Resets all learnable parameters of the module."""
        torch.nn.init.zeros_(self.mask_token)
        self.encoder.reset_parameters()

    def forward(self, data: Data) -> SliceEncoderOutput:
        r"""Encodes a batch of subpatches.

        Args:
            data (Data): With :obj:`x`, :obj:`edge_index`, :obj:`edge_attr` and optionally
                :obj:`node_type`, :obj:`batch`, and :obj:`mask` :math:`(N)`, the cells whose features
                are replaced by the mask vector.
        """
        x = data.x
        if x.size(-1) != self.mask_token.numel():
            raise ValueError(
                f"The model takes {self.mask_token.numel()} features a cell (got {x.size(-1)}); make "
                f"the features as those that it was trained on, or make a model with "
                f"'in_channels={x.size(-1)}'"
            )
        if data.get("mask") is not None:
            x = torch.where(data.mask.unsqueeze(-1), self.mask_token, x)
        return self.encoder(
            x, data.edge_index, data.edge_attr, data.get("batch"), data.get("node_type")
        )

    @torch.no_grad()
    def embed(
        self,
        slices: Data | Sequence[Data],
        cells_per_part: int = 1000,
        batch_size: int = 1,
        layers: str = "last",
        readout: str = "cell",
        method: str = "metis",
        seed: int = 0,
        progress: bool = False,
    ) -> Tensor | list[Tensor]:
        r"""Embeds whole slices, subpatch by subpatch.

        Args:
            slices (Data or sequence of Data): The slices, with graph and virtual cells.
            cells_per_part (int, optional): Cells in a subpatch. (default: :obj:`1000`)
            batch_size (int, optional): Subpatches in a batch. (default: :obj:`1`)
            layers (str, optional): :obj:`"last"`, or :obj:`"all"`: the output of every layer, side by
                side. (default: :obj:`"last"`)
            readout (str, optional): :obj:`"cell"`, a cell in its surroundings, or :obj:`"context"`, its
                surroundings alone: each cell is embedded while it is masked as in masked cell
                modelling, a tenth of the cells at a time. Cell types want the first, tissue domains
                the second, at ten times the cost. (default: :obj:`"cell"`)
            method (str, optional): How to partition; see :class:`SpatialClusterData`.
                (default: :obj:`"metis"`)
            seed (int, optional): The seed of the partition and of the masks. (default: :obj:`0`)
            progress (bool, optional): Show a progress bar. (default: :obj:`False`)

        Returns:
            The embeddings of the cells of each slice in the order of the slice, on the CPU:
            :math:`(N_{cells}, C)` or :math:`(N_{cells}, L \cdot C)`.
        """
        if layers not in ("last", "all"):
            raise ValueError(f"'layers' must be 'last' or 'all' (got '{layers}')")
        if readout not in ("cell", "context"):
            raise ValueError(f"'readout' must be 'cell' or 'context' (got '{readout}')")
        single = isinstance(slices, Data)
        was_training = self.training
        self.eval()
        out = []
        try:
            for data in tqdm([slices] if single else slices, "Embedding", disable=not progress):
                generator = torch.Generator().manual_seed(seed)
                parts, num_cells = _partition(data, cells_per_part, method, seed)
                size = self.encoder.hidden_channels
                size *= self.encoder.num_layers if layers == "all" else 1
                z = torch.empty(num_cells, size)
                for batch in SubpatchLoader(parts, batch_size):
                    for mask, rows in self._read_out(batch, layers, readout, generator):
                        z[batch.row[mask]] = rows
                out.append(z)
        finally:
            self.train(was_training)
        return out[0] if single else out

    def _read_out(self, batch: Data, layers: str, readout: str, generator: torch.Generator):
        # Yields which nodes were embedded, and their embeddings; every cell once.
        is_cell = batch.node_type == NodeType.CELL
        masks = [is_cell]
        if readout == "context":
            group = torch.full((batch.num_nodes,), -1)
            group[is_cell] = torch.randperm(int(is_cell.sum()), generator=generator) % NUM_MASKS
            masks = [group == k for k in range(min(NUM_MASKS, int(is_cell.sum())))]
        for mask in masks:
            batch.mask = mask if readout == "context" else None
            output = self(batch.clone().to(self.mask_token.device))
            states = output.hidden_states[1:] if layers == "all" else [output.x]
            yield mask, torch.cat([x[mask.to(x.device)] for x in states], dim=-1).cpu()

    def save_pretrained(self, directory: str | Path):
        r"""Writes :obj:`model.safetensors` and :obj:`config.json` to a directory, each as a whole."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        state = {key: value.detach().cpu().contiguous() for key, value in self.state_dict().items()}
        write_atomically(directory / "model.safetensors", lambda path: save_file(state, path))
        config = json.dumps(self.config, indent=2) + "\n"
        write_atomically(directory / "config.json", lambda path: path.write_text(config))

    @classmethod
    def from_pretrained(cls, directory: str | Path) -> "SToFM":
        r"""Reads a model that :meth:`save_pretrained` wrote; every weight must be there and be used."""
        directory = Path(directory)
        for name in ("config.json", "model.safetensors"):
            if not (directory / name).is_file():
                raise FileNotFoundError(
                    f"'{directory}' has no '{name}'; pass a directory that 'save_pretrained' wrote"
                )
        model = cls(**json.loads((directory / "config.json").read_text()))
        model.load_state_dict(load_file(directory / "model.safetensors"))
        return model

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.encoder})"


def _partition(
    data: Data, cells_per_part: int, method: str, seed: int
) -> tuple[SpatialClusterData, int]:
    # 'row' leads back to the order of the slice, which 'cell_id' (a row of the AnnData) need not.
    node_type = node_types(data)
    is_cell = node_type == NodeType.CELL
    row = torch.full((data.num_nodes,), -1)
    row[is_cell] = torch.arange(int(is_cell.sum()))
    data = Data(
        x=data.x, pos=data.pos, edge_index=data.edge_index, edge_attr=data.edge_attr,
        node_type=node_type, row=row,
    )  # fmt: skip
    parts = SpatialClusterData(data, cells_per_part, method=method, seed=seed)
    return parts, int(is_cell.sum())
