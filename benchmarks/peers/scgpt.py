import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Dropout, Embedding, LayerNorm, LeakyReLU, Linear, Sequential

from benchmarks.peers._transformer import make_transformer
from benchmarks.peers.checkpoint import num_layers, size_of

# Where a cell has no value: at CLS and at padding, and where the value is to be predicted.
NO_VALUE, MASKED_VALUE = -2.0, -1.0
LARGEST_VALUE = 512.0


class ScGPTModel(torch.nn.Module):
    r"""The transformer of `"scGPT: toward building a foundation model for single-cell multi-omics using
    generative AI" <https://doi.org/10.1038/s41592-024-02201-0>`_: a token is the sum of the embeddings
    of a gene and of its binned value, and the state of the first token, CLS, is the cell.

    Args:
        num_tokens (int): The number of genes and special tokens.
        channels (int, optional): Size of a token's state. (default: :obj:`512`)
        num_layers (int, optional): Number of layers. (default: :obj:`12`)
        heads (int, optional): Number of attention heads. (default: :obj:`8`)
        ffn_channels (int, optional): Size of the feed-forward layers. (default: :obj:`512`)
        dropout (float, optional): Dropout in training. (default: :obj:`0.2`)

    Shapes:
        - **input:** genes and values of each cell :math:`(B, L)`, CLS first, and where they are
          padding :math:`(B, L)`
        - **output:** states :math:`(B, L, C)`
    """

    def __init__(
        self,
        num_tokens: int,
        channels: int = 512,
        num_layers: int = 12,
        heads: int = 8,
        ffn_channels: int = 512,
        dropout: float = 0.2,
    ):
        super().__init__()
        self.encoder = GeneEncoder(num_tokens, channels)
        self.value_encoder = ValueEncoder(channels, dropout)
        self.transformer_encoder = make_transformer(channels, num_layers, heads, ffn_channels, dropout)
        self.decoder = ValueDecoder(channels)
        self.mvc_decoder = CellValueDecoder(channels)

    @classmethod
    def like(cls, state: dict[str, Tensor], path: str, heads: int = 8) -> "ScGPTModel":
        r"""A model of the sizes of some weights, by our names."""
        layer = "transformer_encoder.layers."
        return cls(
            *(size_of(state, "encoder.embedding.weight", dim, path) for dim in (0, 1)),
            num_layers(state, layer),
            heads,
            size_of(state, f"{layer}0.linear1.weight", 0, path),
        )

    def forward(self, genes: Tensor, values: Tensor, padding: Tensor) -> Tensor:
        r"""Runs the forward pass of the module."""
        x = self.encoder(genes) + self.value_encoder(values)
        return self.transformer_encoder(x, src_key_padding_mask=padding)


class GeneEncoder(torch.nn.Module):
    r"""The embedding of a gene, normalised."""

    def __init__(self, num_tokens: int, channels: int):
        super().__init__()
        self.embedding = Embedding(num_tokens, channels)
        self.enc_norm = LayerNorm(channels)

    def forward(self, genes: Tensor) -> Tensor:
        r"""Runs the forward pass of the module."""
        return self.enc_norm(self.embedding(genes))


class ValueEncoder(torch.nn.Module):
    r"""The embedding of a value, a number, normalised."""

    def __init__(self, channels: int, dropout: float):
        super().__init__()
        self.linear1 = Linear(1, channels)
        self.linear2 = Linear(channels, channels)
        self.norm = LayerNorm(channels)
        self.dropout = Dropout(dropout)

    def forward(self, values: Tensor) -> Tensor:
        r"""Runs the forward pass of the module."""
        hidden = self.linear1(values.unsqueeze(-1).clamp(max=LARGEST_VALUE)).relu()
        return self.dropout(self.norm(self.linear2(hidden)))


class ValueDecoder(torch.nn.Module):
    r"""The value of a gene from the state of its token."""

    def __init__(self, channels: int):
        super().__init__()
        self.fc = Sequential(
            Linear(channels, channels), LeakyReLU(), Linear(channels, channels), LeakyReLU(),
            Linear(channels, 1),
        )  # fmt: skip

    def forward(self, states: Tensor) -> Tensor:
        r"""Runs the forward pass of the module."""
        return self.fc(states).squeeze(-1)


class CellValueDecoder(torch.nn.Module):
    r"""The value of a gene from the embeddings of the cell :math:`(B, C)` and of the gene
    :math:`(B, L, C)`, by a bilinear form."""

    def __init__(self, channels: int):
        super().__init__()
        self.gene2query = Linear(channels, channels)
        self.W = Linear(channels, channels, bias=False)

    def forward(self, cell: Tensor, genes: Tensor) -> Tensor:
        r"""Runs the forward pass of the module."""
        query = self.W(self.gene2query(genes).sigmoid())
        return (query @ cell.unsqueeze(-1)).squeeze(-1)


def embed_cells(model: ScGPTModel, genes: Tensor, values: Tensor, padding: Tensor) -> Tensor:
    r"""The embeddings of cells :math:`(B, C)`, of length one."""
    return F.normalize(model(genes, values, padding)[:, 0], dim=-1)


def to_our_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    r"""Published tensors by our names: query, key and value are one projection in both, which
    FlashAttention calls otherwise than PyTorch."""
    return {name.replace(".Wqkv.", ".in_proj_"): value for name, value in state.items()}
