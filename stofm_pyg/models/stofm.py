from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, cast, overload

import torch
from anndata import AnnData
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.data import Batch, Data
from tqdm import tqdm

from stofm_pyg.data import GeneVocab, Keys, SliceSettings
from stofm_pyg.models._describe_model import describe_model
from stofm_pyg.models._embed import embed_slice
from stofm_pyg.models._in_evaluation import in_evaluation
from stofm_pyg.models._predict import find_domains, predict_labels
from stofm_pyg.models._slices import embed_sources, model_slices
from stofm_pyg.models.cell_encoder.model import CellEncoder
from stofm_pyg.models.domains import Domains
from stofm_pyg.models.features import Features, TokenFeatures
from stofm_pyg.models.fitting_parts import FittingParts
from stofm_pyg.models.made_alike import check_made_alike
from stofm_pyg.models.official._activation import make_activation
from stofm_pyg.models.official._load import load_official
from stofm_pyg.models.official.config import read_official_config
from stofm_pyg.models.pretrained import Pretrained
from stofm_pyg.models.read_out import ReadOut
from stofm_pyg.nn import SliceEncoder, SliceEncoderOutput
from stofm_pyg.nn.node_type import cell_mask

# The official code stops at 200 clusters, and mostly gets about as many.
OFFICIAL: dict[str, Any] = {"unit": "official", "radius": None, "max_clusters": 200}
Source: TypeAlias = AnnData | str | os.PathLike


class SToFM(Pretrained, torch.nn.Module):
    r"""The multi-scale model of the `"SToFM: a Multi-scale Foundation Model for Spatial
    Transcriptomics" <https://arxiv.org/abs/2507.11588>`_ paper: cells and virtual cells of a slice to
    embeddings of cells in their tissue.

    A model holds all that it takes to embed a slice as it was trained: :obj:`features`, what it sees of
    a cell; :obj:`settings`, how slices are made; and :obj:`read_out`, what becomes the embedding.
    :meth:`fit` makes one from slices.

    Args:
        in_channels (int): Size of a cell's features.
        hidden_channels (int, optional): Size of an embedding. (default: :obj:`256`)
        num_layers (int, optional): Number of layers. (default: :obj:`4`)
        conv (str, optional): The graph operator, by name. (default: :obj:`"SE2TransformerConv"`)
        graph (str, optional): How :meth:`embed` ties the nodes of a subpatch: :obj:`"radius"`, by the
            slice's own edges, or :obj:`"official"`, as the official code does, which official weights
            need (see :class:`~stofm_pyg.transforms.OfficialGraph`). (default: :obj:`"radius"`)
        **kwargs (optional): Additional arguments of :class:`stofm_pyg.nn.SliceEncoder`; :obj:`act` may
            also be a name of :obj:`transformers.activations`.

    Raises:
        TypeError: The operator is not given by its name.
        ValueError: The kind of graph is unknown.

    Examples:
        >>> model = SToFM.fit(adata, slice_key="slice")
        >>> model.embed(adata).obsm["X_stofm"].shape
        (3190, 64)
    """

    graphs = ("radius", "official")

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 256,
        num_layers: int = 4,
        conv: str = "SE2TransformerConv",
        graph: str = "radius",
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
        self.config = {
            "in_channels": in_channels,
            "hidden_channels": hidden_channels,
            "num_layers": num_layers,
            "conv": conv,
            "graph": graph,
            **kwargs,
        }
        if isinstance(kwargs.get("act"), str):
            kwargs["act"] = make_activation(kwargs["act"])
        #: What the model sees of a cell; :obj:`None` where that is the caller's.
        self.features: Features | None = None
        #: How slices are made.
        self.settings = SliceSettings(**(OFFICIAL if graph == "official" else {}))
        #: What becomes the embedding.
        self.read_out = ReadOut()
        #: The tissue domains that :meth:`domains` found.
        self.found_domains: Domains | None = None
        #: How many slices and cells it was fitted to, where that is known.
        self.fitted_to: dict[str, int] | None = None
        #: What :meth:`finetune` learned, by label.
        self.heads = torch.nn.ModuleDict()
        self.mask_token = Parameter(torch.empty(in_channels))
        self.encoder = SliceEncoder(in_channels, hidden_channels, num_layers, conv, **kwargs)
        self.reset_parameters()

    def reset_parameters(self):
        r"""Resets all learnable parameters of mask vector and encoder."""
        torch.nn.init.zeros_(self.mask_token)
        self.encoder.reset_parameters()

    def forward(self, data: Data) -> SliceEncoderOutput:
        r"""Encodes a batch of subpatches.

        Args:
            data (Data): With :obj:`x` :math:`(N, F)`, :obj:`edge_index`, :obj:`edge_attr` and optionally
                :obj:`node_type`, :obj:`batch`, and :obj:`mask` :math:`(N)`, the cells whose features
                are replaced by the mask vector.
        """
        x = data.x.to(self.mask_token.dtype)
        if x.size(-1) != self.mask_token.numel():
            raise ValueError(
                f"The model takes {self.mask_token.numel()} features a cell (got {x.size(-1)}); make "
                f"the features as those that it was trained on, or make a model with "
                f"'in_channels={x.size(-1)}'"
            )
        mask = data.get("mask")
        if mask is not None:
            if mask.dim() != 1 or mask.numel() != x.size(0):
                raise ValueError(
                    f"'mask' must have shape [{x.size(0)}] (got {list(mask.shape)}): one value a node"
                )
            x = torch.where(mask.unsqueeze(-1), self.mask_token, x)
        return self.encoder(x, data.edge_index, data.edge_attr, data.get("batch"), data.get("node_type"))

    @classmethod
    def fit(cls, data: Source | Data | Sequence[Source | Data], **kwargs) -> SToFM:
        r"""Trains a model on slices, without labels; see :meth:`stofm_pyg.train.fit` for the arguments.

        Example:
            >>> model = SToFM.fit("brain.h5ad", slice_key="section", out="run")
            >>> model.save_pretrained("my_model")
        """
        from stofm_pyg.train import fit

        return fit(data, **kwargs)

    def slices(self, data: Source, cache: str | os.PathLike | None = None, **where) -> list[Data]:
        r"""Converts an AnnData or file to the slices that :meth:`embed` takes, made as those that the
        model was fitted to.

        Args:
            data (AnnData or str or PathLike): Cells by genes, or an h5ad file; not changed.
            cache (str or PathLike, optional): A folder that keeps embeddings of a cell encoder.
                (default: :obj:`None`)
            **where (optional): Where things are found, if not where they were in :meth:`fit`:
                :obj:`slice_key`, :obj:`spatial_key`, :obj:`layer`, :obj:`microns_per_unit` (see
                :class:`~stofm_pyg.data.SliceSettings`).

        Raises:
            ValueError: The model has no features of its own, or the slice does not have what they are
                made of.
        """
        return list(model_slices(self, data, cache, where))

    # For who reads it; to mypy an AnnData and a Data may be anything.
    @overload
    def embed(self, data: str | os.PathLike, *args: Any, **kwargs: Any) -> Tensor: ...
    @overload
    def embed(self, data: AnnData, *args: Any, key_added: None, **kwargs: Any) -> Tensor: ...
    @overload
    def embed(self, data: AnnData, *args: Any, key_added: str = ..., **kwargs: Any) -> AnnData: ...
    @overload
    def embed(self, data: Data, *args: Any, **kwargs: Any) -> Tensor: ...
    @overload
    def embed(  # type: ignore[overload-cannot-match]
        self, data: Sequence, *args: Any, **kwargs: Any
    ) -> list[Any]: ...
    @torch.no_grad()  # type: ignore[misc]
    def embed(
        self,
        data: Source | Data | Sequence[Source | Data],
        cells_per_part: int | None = None,
        batch_size: int = 1,
        layers: str | None = None,
        readout: str | None = None,
        method: str | None = None,
        seed: int = 0,
        progress: bool = False,
        *,
        read_out: ReadOut | None = None,
        key_added: str | None = Keys.EMBEDDING,
        device: torch.device | str | None = None,
        cache: str | os.PathLike | None = None,
        **where,
    ) -> AnnData | Tensor | list[AnnData | Tensor]:
        r"""Embeds whole slices, subpatch by subpatch. What is too large for memory, should go on after a
        break, or is shared by processes, is embedded by :meth:`~stofm_pyg.models.embed_in_parts`.

        Args:
            data (AnnData, str, PathLike, Data or sequence of them): Cells by genes, an h5ad file, or
                slices with graph and virtual cells. Slices for :obj:`graph="official"` are in the
                official unit; their edges do not matter, and CLS is added.
            cells_per_part (int, optional): Cells in a subpatch; those of :obj:`settings` without.
                (default: :obj:`None`)
            batch_size (int, optional): Subpatches in a batch; changes nothing but time and memory.
                (default: :obj:`1`)
            layers (str, optional): Another :obj:`layers` than that of :obj:`read_out`, see
                :class:`ReadOut`. (default: :obj:`None`)
            readout (str, optional): Another :obj:`readout`: :obj:`"cell"` or :obj:`"context"`.
                (default: :obj:`None`)
            method (str, optional): How to partition; that of :obj:`settings` without, or :obj:`"grid"`
                with :obj:`graph="official"`. (default: :obj:`None`)
            seed (int, optional): The seed of the partition and of the masks. (default: :obj:`0`)
            progress (bool, optional): Show a progress bar. (default: :obj:`False`)
            read_out (ReadOut, optional): Another read-out than the model's. (default: :obj:`None`)
            key_added (str, optional): The key in :obj:`adata.obsm` of the embedding; if :obj:`None`, it
                is returned as for a file. (default: :obj:`"X_stofm"`)
            device (torch.device or str, optional): Where to compute; where the model is, without.
                (default: :obj:`None`)
            cache (str or PathLike, optional): A folder that keeps embeddings of a cell encoder.
                (default: :obj:`None`)
            **where (optional): See :meth:`slices`.

        Returns:
            An AnnData with :obj:`obsm[key_added]`, the one that was given; for a file and for slices the
            embeddings of the cells :math:`(N_{cells}, C)` in their order, on the CPU; a list for
            several.

        Raises:
            ValueError: Slices were made in another way than those that the model was trained on, or have
                features that are not finite.
        """
        several = isinstance(data, Iterable) and not isinstance(data, (AnnData, str, os.PathLike, Data))
        read_out = (self.read_out if read_out is None else read_out).changed(layers, readout)
        if method is None and self.graph != "official":
            method = self.settings.method
        size = self.settings.cells_per_part if cells_per_part is None else cells_per_part
        parts = FittingParts(size, batch_size)

        def embedded(item: Data) -> Tensor:
            options = {"method": method, "seed": seed, "bar": bar}
            return parts.run(partial(embed_slice, self, item, read_out, **options), bar)

        def one(item: Source | Data) -> AnnData | Tensor:
            if isinstance(item, Batch):
                raise TypeError("Expected slices, got a Batch of them; pass 'batch.to_data_list()'")
            if isinstance(item, Data):
                item = check_made_alike(self, item, where)
                bar.total += int(cell_mask(item).sum())
                return embedded(item)
            return embed_sources(self, item, embedded, key_added, cache, where, bar)

        with (
            in_evaluation(self, device),
            tqdm(total=0, desc="Embedding", unit="cell", disable=not progress) as bar,
        ):
            return [one(item) for item in cast(Iterable[Any], data)] if several else one(data)

    def embed_anndata(self, data: Source, **kwargs) -> Tensor:
        r"""The embeddings that :meth:`embed` would write, as a tensor :math:`(N, C)` in the order of the
        cells; the AnnData is not changed. The arguments are those of :meth:`embed`."""
        return self.embed(data, key_added=None, **kwargs)

    def domains(
        self,
        data: AnnData | Sequence[AnnData],
        n: int | None = None,
        resolution: float | None = None,
        key_added: str = Keys.DOMAIN,
        seed: int = 0,
        **kwargs,
    ) -> Domains:
        r"""Finds tissue domains that all slices share, without labels, and writes them to
        :obj:`adata.obs[key_added]`. They are nested: fewer ones are joins of more, see
        :class:`Domains`. The model keeps them, and :meth:`predict` finds them in other slices.

        Args:
            data (AnnData or sequence of AnnData): The slices.
            n (int, optional): The number of domains. (default: :obj:`None`)
            resolution (float, optional): The resolution of Leiden, which then chooses the number;
                without both, it is that at which halves of the cells agree most. (default: :obj:`None`)
            key_added (str, optional): The column of :obj:`adata.obs`.
                (default: :obj:`"stofm_domain"`)
            seed (int, optional): The seed. (default: :obj:`0`)
            **kwargs (optional): Arguments of :meth:`embed`.
        """
        return find_domains(self, data, n, resolution, key_added, seed, kwargs)

    def finetune(self, data: Source | Sequence[Source], label: str, **kwargs) -> SToFM:
        r"""Learns a label of cells; see :meth:`stofm_pyg.train.finetune` for the arguments."""
        from stofm_pyg.train import finetune

        return finetune(self, data, label, **kwargs)

    def predict(
        self, data: AnnData, label: str | None = None, key_added: str | None = None, **kwargs
    ) -> AnnData:
        r"""Names the class of each cell by what :meth:`finetune` learned, or its tissue domain by what
        :meth:`domains` found.

        Args:
            data (AnnData): Cells by genes.
            label (str, optional): The label, or :obj:`"domains"`; not needed if there is only one.
                (default: :obj:`None`)
            key_added (str, optional): The column of :obj:`adata.obs`; :obj:`"stofm_"` and the label
                without, of a label :obj:`"domain"` with :obj:`"_label"`. (default: :obj:`None`)
            **kwargs (optional): Arguments of :meth:`embed`.

        Returns:
            The AnnData, with the class in :obj:`obs[key_added]` and, of a label, the probability of each
            class in :obj:`obsm[key_added + "_probability"]`.

        Raises:
            ValueError: There is no such label.
        """
        return predict_labels(self, data, label, key_added, kwargs)

    @classmethod
    def from_official(
        cls,
        config: str | os.PathLike,
        weights: str | os.PathLike,
        cell_encoder_dir: str | os.PathLike | None = None,
        vocab: GeneVocab | None = None,
    ) -> SToFM:
        r"""Builds a model with the weights that the authors of the paper published, which gives their
        embeddings.

        The official input is rebuilt: squares, CLS and edges, units and the number of clusters. What
        differs is what is random there too: the Leiden clusters behind the virtual cells. The vector
        that stands for a masked cell is the official one, too.

        Args:
            config (str or PathLike): The official :obj:`config.json`, or the directory that holds it.
            weights (str or PathLike): The official :obj:`se2transformer.pth`, or the checkpoint of an
                official :obj:`SToFMForMaskedLM`, whose heads :meth:`official_heads` reads.
            cell_encoder_dir (str or PathLike, optional): The directory with the official
                :obj:`cell_bert` and :obj:`cell_proj.bin`. Without, features are the user's.
                (default: :obj:`None`)
            vocab (GeneVocab, optional): Geneformer's vocabulary, for raw counts.
                (default: :obj:`None`)

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If a weight is missing, left over or of another shape than the config says; the
                message names them.

        Examples:
            >>> vocab = GeneVocab.from_geneformer("Geneformer/geneformer")
            >>> model = SToFM.from_official("config.json", "se2transformer.pth", "cell_encoder", vocab)
            >>> z = model.embed("slice.h5ad")  # [num_cells, 256]
        """
        model = cls(**read_official_config(Path(config)), graph="official")
        load_official(model, Path(weights))
        if cell_encoder_dir is not None:
            model.set_cell_encoder(CellEncoder.from_official(cell_encoder_dir), vocab)
        return model.eval()

    def set_cell_encoder(self, cell_encoder: CellEncoder, vocab: GeneVocab | None = None, **kwargs):
        r"""Lets the model take raw counts by way of a cell encoder, which is saved with it.

        Args:
            cell_encoder (CellEncoder): The encoder, of as many channels as the model takes.
            vocab (GeneVocab, optional): Its vocabulary. (default: :obj:`None`)
            **kwargs (optional): Additional arguments of :class:`TokenFeatures`.

        Raises:
            ValueError: If encoder, vocabulary and model do not fit.
        """
        if cell_encoder.out_channels != self.mask_token.numel():
            raise ValueError(
                f"The cell encoder makes {cell_encoder.out_channels} features a cell, the model takes "
                f"{self.mask_token.numel()}; take those that were trained together"
            )
        self.features = TokenFeatures(cell_encoder, vocab, **kwargs)

    @property
    def cell_encoder(self) -> CellEncoder | None:
        r"""The cell encoder, if the model sees cells by one."""
        return getattr(self.features, "cell_encoder", None)

    @property
    def vocab(self) -> GeneVocab | None:
        r"""The vocabulary of the cell encoder."""
        return getattr(self.features, "vocab", None)

    def __repr__(self) -> str:
        return describe_model(self)
