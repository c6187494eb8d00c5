import re
from collections.abc import Mapping

from torch import Tensor
from torch.nn import Identity, LayerNorm, Module, ModuleList

from benchmarks.peers.cellplm.count_decoder import CountDecoder
from benchmarks.peers.cellplm.embedder import CellEmbedder
from benchmarks.peers.cellplm.flow_attention import FlowLayer
from benchmarks.peers.cellplm.mixture_latent import MixtureLatent
from benchmarks.peers.checkpoint import num_layers, size_of


class CellPLMModel(Module):
    r"""The model of CellPLM.

    Args:
        num_genes (int): The number of genes.
        channels (int, optional): Size of a cell's state. (default: :obj:`1024`)
        num_layers (int, optional): Number of layers. (default: :obj:`4`)
        heads (int, optional): Number of attention heads. (default: :obj:`8`)
        latent_channels (int, optional): Size of an embedding. (default: :obj:`512`)
        latent_hidden (int, optional): Size of the hidden layer before it. (default: :obj:`512`)
        num_clusters (int, optional): Number of Gaussians of its prior. (default: :obj:`16`)
        decoder_channels (int, optional): Size of the decoder's layers. (default: :obj:`1024`)
        decoder_layers (int, optional): Their number. (default: :obj:`2`)
        covariates (mapping, optional): See :class:`CountDecoder`. (default: :obj:`None`)
        dropout (float, optional): Dropout in training. (default: :obj:`0.2`)
        positions (bool, optional): Whether a cell's position is part of its input.
            (default: :obj:`False`)

    Shapes:
        - **input:** the counts :math:`(N, G)` of the cells of one slice, and their positions in a unit
          square :math:`(N, 2)`
        - **output:** embeddings :math:`(N, Z)`
    """

    def __init__(
        self,
        num_genes: int,
        channels: int = 1024,
        num_layers: int = 4,
        heads: int = 8,
        latent_channels: int = 512,
        latent_hidden: int = 512,
        num_clusters: int = 16,
        decoder_channels: int = 1024,
        decoder_layers: int = 2,
        covariates: Mapping[str, int] | None = None,
        dropout: float = 0.2,
        positions: bool = False,
    ):
        super().__init__()
        self.embedder = CellEmbedder(num_genes, channels, dropout, positions)
        self.encoder = Layers([FlowLayer(channels, heads, dropout) for _ in range(num_layers)])
        self.pre_latent_norm = Norm(channels)
        latent = MixtureLatent(channels, latent_channels, latent_hidden, num_clusters)
        self.latent = Layers([Identity(), latent])  # As published, after a place for another one.
        self.decoder = CountDecoder(
            latent_channels, decoder_channels, num_genes, decoder_layers, covariates or {}, dropout
        )

    @classmethod
    def like(
        cls, state: dict[str, Tensor], path: str, heads: int = 8, positions: bool = False
    ) -> "CellPLMModel":
        r"""A model of the sizes of some published weights."""

        def size(name: str, dim: int) -> int:
            return size_of(state, name, dim, path)

        pattern = re.compile(r"decoder\.covariate_layers\.0\.(\w+)\.0\.weight")
        covariates = {
            match[1]: size(match[0], 0) for match in map(pattern.fullmatch, state) if match
        }
        inference = "latent.layers.1.inference."
        return cls(
            size("embedder.feat_enc.emb", 0),
            size("embedder.feat_enc.emb", 1),
            num_layers(state, "encoder.layers."),
            heads,
            size(f"{inference}y_mu.weight", 0),
            size(f"{inference}inference_qzyx.0.weight", 0),
            size(f"{inference}y_mu.weight", 1),
            size("decoder.layers.0.0.weight", 0),
            num_layers(state, "decoder.layers.") + 1,
            covariates,
            positions=positions,
        )

    def states(self, counts: Tensor, pos: Tensor) -> Tensor:
        r"""The states of cells :math:`(N, C)` before the latent space."""
        x = self.embedder(counts, pos)
        for layer in self.encoder.layers:
            x = layer(x)
        return self.pre_latent_norm.norm(x)

    @property
    def mixture(self) -> MixtureLatent:
        r"""The latent space."""
        return self.latent.layers[1]

    def forward(self, counts: Tensor, pos: Tensor) -> Tensor:
        r"""Runs the forward pass of the module."""
        return self.mixture.embed(self.states(counts, pos))


class Layers(Module):
    r"""Some layers, under the name that they have in published weights."""

    def __init__(self, layers: list[Module]):
        super().__init__()
        self.layers = ModuleList(layers)


class Norm(Module):
    r"""A norm, under the name that it has in published weights."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = LayerNorm(channels)
