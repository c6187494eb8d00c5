import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Dropout, Embedding, Linear

from benchmarks.peers._transformer import make_transformer
from benchmarks.peers.checkpoint import num_layers, size_of
from benchmarks.peers.padding import pad_rows, padding_of
from stofm_pyg.loader import TokenBatch
from stofm_pyg.loader.token_batch import IGNORED

# Tokens as they are published; genes come after the first 30.
MASK, PAD, CLS = 0, 1, 2
SPATIAL = 4
SPECIES = {"human": 5, "mouse": 6}
ASSAYS = {"merfish": 7, "cosmx": 8, "xenium": 9}
FIRST_GENE, NUM_CONTEXT = 30, 3
MORE_EMBEDDINGS = 5


class NicheformerModel(torch.nn.Module):
    r"""The transformer of `"Nicheformer: a foundation model for single-cell and spatial omics"
    <https://doi.org/10.1038/s41592-025-02814-z>`_ over the ranked genes of a cell, after three tokens
    that say of which species, assay and modality it is.

    Args:
        num_tokens (int): The number of tokens.
        channels (int, optional): Size of a token's state. (default: :obj:`512`)
        num_layers (int, optional): Number of layers. (default: :obj:`12`)
        heads (int, optional): Number of attention heads. (default: :obj:`16`)
        ffn_channels (int, optional): Size of the feed-forward layers. (default: :obj:`1024`)
        context_length (int, optional): The most tokens of a cell. (default: :obj:`1500`)
        dropout (float, optional): Dropout in training. (default: :obj:`0.0`)

    Shapes:
        - **input:** tokens :math:`(B, L)`, and where they are padding :math:`(B, L)`
        - **output:** states :math:`(B, L, C)`
    """

    def __init__(
        self,
        num_tokens: int,
        channels: int = 512,
        num_layers: int = 12,
        heads: int = 16,
        ffn_channels: int = 1024,
        context_length: int = 1500,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.embeddings = Embedding(num_tokens + MORE_EMBEDDINGS, channels, padding_idx=PAD)
        self.positional_embedding = Embedding(context_length, channels)
        self.dropout = Dropout(dropout)
        self.encoder = make_transformer(channels, num_layers, heads, ffn_channels, dropout, eps=1e-12)
        self.classifier_head = Linear(channels, num_tokens)

    @classmethod
    def like(cls, state: dict[str, Tensor], path: str, heads: int = 16) -> "NicheformerModel":
        r"""A model of the sizes of some published weights."""
        return cls(
            size_of(state, "classifier_head.weight", 0, path),
            size_of(state, "embeddings.weight", 1, path),
            num_layers(state, "encoder.layers."),
            heads,
            size_of(state, "encoder.layers.0.linear1.weight", 0, path),
            size_of(state, "positional_embedding.weight", 0, path),
        )

    @property
    def num_tokens(self) -> int:
        r"""The number of tokens."""
        return self.classifier_head.out_features

    @property
    def context_length(self) -> int:
        r"""The most tokens of a cell, those of the context included."""
        return self.positional_embedding.num_embeddings

    def forward(self, tokens: Tensor, padding: Tensor) -> Tensor:
        r"""Runs the forward pass of the module."""
        positions = self.positional_embedding.weight[: tokens.size(1)]
        x = self.dropout(self.embeddings(tokens) + positions)
        return self.encoder(x, src_key_padding_mask=padding)


class RankedGenes(torch.nn.Module):
    r"""The objective of Nicheformer, masked genes, and its embedding of a cell: the mean state of its
    genes, without the tokens of the context.

    Args:
        model (NicheformerModel): The model.
        species (str): :obj:`"human"` or :obj:`"mouse"`.
        assay (str): One of :obj:`ASSAYS`.

    Raises:
        ValueError: If the species or the assay is unknown.
    """

    def __init__(self, model: NicheformerModel, species: str, assay: str):
        super().__init__()
        for name, known in ((species, SPECIES), (assay, ASSAYS)):
            if name not in known:
                raise ValueError(f"Nicheformer has no token for '{name}'; known: {', '.join(known)}")
        self.model = model
        self.context = [SPECIES[species], ASSAYS[assay], SPATIAL]

    def forward(self, batch: TokenBatch) -> dict[str, Tensor]:
        r"""Returns the cross-entropy of the masked genes as :obj:`"loss"`, in nats."""
        states = self._states(batch)[0][:, NUM_CONTEXT:]
        labels = pad_rows(batch.labels, batch, IGNORED)
        asked = labels != IGNORED
        logits = self.model.classifier_head(states[asked])
        loss = F.cross_entropy(logits, labels[asked], reduction="sum")
        return {"loss": loss / asked.sum().clamp(min=1)}

    def embed(self, batch: TokenBatch) -> Tensor:
        r"""The embeddings of cells :math:`(B, C)`; a cell without genes has zeros."""
        states, padding = self._states(batch)
        genes = ~padding[:, NUM_CONTEXT:, None]
        return (states[:, NUM_CONTEXT:] * genes).sum(dim=1) / genes.sum(dim=1).clamp(min=1)

    def _states(self, batch: TokenBatch) -> tuple[Tensor, Tensor]:
        genes, padding = pad_rows(batch.tokens, batch, PAD), padding_of(batch)
        context = genes.new_tensor(self.context).expand(genes.size(0), -1)
        padding = F.pad(padding, (NUM_CONTEXT, 0))
        return self.model(torch.cat([context, genes], dim=1), padding), padding
