import json
from collections.abc import Sequence
from pathlib import Path

import torch
from anndata import AnnData
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.data import Data
from tqdm import tqdm

from stofm_pyg._files import write_atomically
from stofm_pyg.data import GeneVocab, Keys
from stofm_pyg.loader import SubpatchLoader
from stofm_pyg.models._subpatches import subpatches
from stofm_pyg.models.cell_encoder.model import CellEncoder
from stofm_pyg.models.official._activation import make_activation
from stofm_pyg.models.official._load import load_official
from stofm_pyg.models.official.config import read_official_config
from stofm_pyg.models.slices_from_counts import slices_from_counts
from stofm_pyg.nn import NodeType, SliceEncoder, SliceEncoderOutput
from stofm_pyg.nn._checks import check_nodes

# As many passes over a subpatch, so that as many cells are masked at a time as in training.
NUM_MASKS = 10
# Where a saved model keeps its cell encoder, and its vocabulary in there.
CELL_ENCODER, VOCAB = "cell_encoder", "vocab.json.gz"


class SToFM(torch.nn.Module):
    r"""The multi-scale model of the `"SToFM: a Multi-scale Foundation Model for Spatial
    Transcriptomics" <https://arxiv.org/abs/2507.11588>`_ paper: features of cells and virtual cells
    to embeddings of cells in their tissue.

    Args:
        in_channels (int): Size of a cell's features.
        hidden_channels (int, optional): Size of an embedding. (default: :obj:`256`)
        num_layers (int, optional): Number of layers. (default: :obj:`4`)
        conv (str, optional): The graph operator, by name. (default: :obj:`"SE2TransformerConv"`)
        graph (str, optional): How :meth:`embed` ties the nodes of a subpatch: :obj:`"radius"`, by the
            slice's own edges, or :obj:`"official"`, as the official code does, which official weights
            need (see :class:`~stofm_pyg.transforms.OfficialGraph`). (default: :obj:`"radius"`)
        center (bool, optional): Whether :meth:`embed_anndata` subtracts from the embeddings of a
            slice's cells their mean, as in the slices that the model was trained on. What slices of
            different technologies differ by is gone then. (default: :obj:`False`)
        **kwargs (optional): Additional arguments of :class:`stofm_pyg.nn.SliceEncoder`; :obj:`act` may
            also be a name of :obj:`transformers.activations`.

    Examples:
        >>> model = SToFM(in_channels=50, hidden_channels=64, num_layers=2)
        >>> slices = SyntheticTissue(num_slices=2)
        >>> z = model.embed(slices[0])  # [num_cells, 64], cells in order
    """

    graphs = ("radius", "official")

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 256,
        num_layers: int = 4,
        conv: str = "SE2TransformerConv",
        graph: str = "radius",
        center: bool = False,
        **kwargs,
    ):
        super().__init__()
        if not isinstance(conv, str):
            raise TypeError(
                f"'conv' must be a name, so that the model can be saved (got {conv!r}); "
                f"'stofm_pyg.nn.SliceEncoder' takes classes and factories too"
            )
        if graph not in self.graphs:
            raise ValueError(f"Unknown graph '{graph}'; known: {', '.join(self.graphs)}")
        self.graph = graph
        self.center = center
        self.config = {
            "in_channels": in_channels,
            "hidden_channels": hidden_channels,
            "num_layers": num_layers,
            "conv": conv,
            "graph": graph,
            "center": center,
            **kwargs,
        }
        if isinstance(kwargs.get("act"), str):
            kwargs["act"] = make_activation(kwargs["act"])
        self.cell_encoder: CellEncoder | None = None
        self.vocab: GeneVocab | None = None
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
        mask = check_nodes("mask", data.get("mask"), x.size(0))
        if mask is not None:
            x = torch.where(mask.unsqueeze(-1), self.mask_token, x)
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
        method: str | None = None,
        seed: int = 0,
        progress: bool = False,
    ) -> Tensor | list[Tensor]:
        r"""Embeds whole slices, subpatch by subpatch.

        Args:
            slices (Data or sequence of Data): The slices, with graph and virtual cells. With
                :obj:`graph="official"`, in the official unit; their edges do not matter, and CLS is
                added.
            cells_per_part (int, optional): Cells in a subpatch. (default: :obj:`1000`)
            batch_size (int, optional): Subpatches in a batch. (default: :obj:`1`)
            layers (str, optional): :obj:`"last"`, or :obj:`"all"`: the output of every layer, side by
                side. (default: :obj:`"last"`)
            readout (str, optional): :obj:`"cell"`, a cell in its surroundings, or :obj:`"context"`, its
                surroundings alone: each cell is embedded while it is masked as in masked cell
                modelling, a tenth of the cells at a time. Cell types want the first, tissue domains
                the second, at ten times the cost. (default: :obj:`"cell"`)
            method (str, optional): How to partition; see :class:`SpatialClusterData`. Without,
                :obj:`"metis"`, or :obj:`"grid"` with :obj:`graph="official"`. (default: :obj:`None`)
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
                parts, num_cells = subpatches(data, self.graph, cells_per_part, method, seed)
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
        r"""Writes :obj:`model.safetensors` and :obj:`config.json` to a directory, each as a whole; the
        cell encoder and its vocabulary, if there are any, to :obj:`cell_encoder` in it."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        if self.cell_encoder is not None:
            self.cell_encoder.save_pretrained(directory / CELL_ENCODER)
            if self.vocab is not None:
                self.vocab.save(directory / CELL_ENCODER / VOCAB)
        state = {
            key: value.detach().cpu().contiguous()
            for key, value in self.state_dict().items()
            if not key.startswith("cell_encoder.")
        }
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
        if (directory / CELL_ENCODER).is_dir():
            vocab = directory / CELL_ENCODER / VOCAB
            model.set_cell_encoder(
                CellEncoder.from_pretrained(directory / CELL_ENCODER),
                GeneVocab.load(vocab) if vocab.is_file() else None,
            )
        return model

    @classmethod
    def from_official(
        cls,
        config: str | Path,
        weights: str | Path,
        cell_encoder_dir: str | Path | None = None,
        vocab: GeneVocab | None = None,
    ) -> "SToFM":
        r"""Builds a model with the weights that the authors of the paper published, which gives their
        embeddings.

        The official input is rebuilt: squares, CLS and edges by :meth:`embed`, units and the number of
        clusters by :meth:`embed_anndata`. What differs is what is random there too: the Leiden clusters
        behind the virtual cells.

        The vector that stands for a masked cell is the official one, too.

        Args:
            config (str or Path): The official :obj:`config.json`, or the directory that holds it.
            weights (str or Path): The official :obj:`se2transformer.pth`, or the checkpoint of an
                official :obj:`SToFMForMaskedLM`, whose heads :meth:`official_heads` reads.
            cell_encoder_dir (str or Path, optional): The directory with the official :obj:`cell_bert`
                and :obj:`cell_proj.bin`. Without, features are the user's. (default: :obj:`None`)
            vocab (GeneVocab, optional): Geneformer's vocabulary, for raw counts.
                (default: :obj:`None`)

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If a weight is missing, left over or of another shape than the config says; the
                message names them.

        Examples:
            >>> vocab = GeneVocab.from_geneformer("Geneformer/geneformer")
            >>> model = SToFM.from_official("config.json", "se2transformer.pth", "cell_encoder", vocab)
            >>> z = model.embed_anndata("slice.h5ad")  # [num_cells, 256]
        """
        model = cls(**read_official_config(config), graph="official")
        load_official(model, weights)
        if cell_encoder_dir is not None:
            model.set_cell_encoder(CellEncoder.from_official(cell_encoder_dir), vocab)
        return model.eval()

    def set_cell_encoder(self, cell_encoder: CellEncoder, vocab: GeneVocab | None = None):
        r"""Puts a cell encoder before the model, so that it takes raw counts; both are saved with it.

        Args:
            cell_encoder (CellEncoder): The encoder, of as many channels as the model takes.
            vocab (GeneVocab, optional): Its vocabulary. (default: :obj:`None`)

        Raises:
            ValueError: If encoder, vocabulary and model do not fit.
        """
        if cell_encoder.out_channels != self.mask_token.numel():
            raise ValueError(
                f"The cell encoder makes {cell_encoder.out_channels} features a cell, the model takes "
                f"{self.mask_token.numel()}; take those that were trained together"
            )
        if vocab is not None:
            cell_encoder.check_vocab(vocab)
        self.cell_encoder, self.vocab = cell_encoder, vocab

    def embed_anndata(
        self,
        adata: AnnData | str | Path,
        *,
        slice_key: str | None = None,
        spatial_key: str = Keys.SPATIAL,
        layer: str | None = None,
        cache: str | Path | None = None,
        **kwargs,
    ) -> Tensor:
        r"""Embeds the cells of an AnnData from its raw counts, in one call.

        Args:
            adata (AnnData or str or Path): Cells by genes, or an h5ad file; not changed.
            slice_key (str, optional): The column of :obj:`adata.obs` that tells slices apart; without,
                all cells are one slice. (default: :obj:`None`)
            spatial_key (str, optional): The key in :obj:`adata.obsm` of the positions.
                (default: :obj:`"spatial"`)
            layer (str, optional): The layer that holds raw counts. (default: :obj:`None`)
            cache (str or Path, optional): A directory that keeps embeddings of the cell encoder.
                (default: :obj:`None`)
            **kwargs (optional): Additional arguments of :meth:`embed`.

        Returns:
            The embeddings :math:`(N_{cells}, C)` in the order of the AnnData, on the CPU.

        Raises:
            ValueError: If the model has no cell encoder or vocabulary, or the counts do not suit them.
        """
        if self.cell_encoder is None or self.vocab is None:
            raise ValueError(
                "The model has no cell encoder with a vocabulary and takes no counts; give it both by "
                "'set_cell_encoder', or make features yourself and pass slices to 'embed'"
            )
        slices = slices_from_counts(
            adata, self.vocab, self.cell_encoder, slice_key=slice_key, layer=layer, graph=self.graph,
            center=self.center, cache=cache, progress=kwargs.get("progress", False),
            spatial_key=spatial_key,
        )  # fmt: skip
        parts = self.embed(slices, **kwargs)
        z = torch.empty(sum(map(len, parts)), parts[0].size(1))
        for data, part in zip(slices, parts, strict=True):
            z[data.cell_id[data.node_type == NodeType.CELL]] = part
        return z

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.encoder})"
