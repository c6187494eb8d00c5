from dataclasses import dataclass

import torch

from stofm_pyg.data import GeneVocab
from stofm_pyg.models import CellEncoder
from stofm_pyg.models.cell_encoder.start import spread_embeddings


@dataclass(frozen=True)
class EncoderPreset:
    r"""The settings of the cell encoder that a benchmark adapts to its slices.

    Args:
        hidden_channels (int): Size of a token's state.
        num_layers (int): Number of layers.
        heads (int): Number of attention heads.
        out_channels (int): Size of a cell's embedding.
        max_length (int): The most tokens of a cell.
        num_steps (int): Steps of adaptation.
        max_tokens (int): Tokens of a step, of both views.
        lr (float): The peak learning rate.
        contrastive_weight (float): The weight of the contrastive loss.
        temperature (float): The temperature of the contrastive loss.
        num_features (int): The most principal components of embeddings that become features.
    """

    hidden_channels: int = 256
    num_layers: int = 1
    heads: int = 4
    out_channels: int = 256
    max_length: int = 256
    num_steps: int = 160
    max_tokens: int = 5000
    lr: float = 1e-3
    contrastive_weight: float = 1.0
    temperature: float = 0.2
    num_features: int = 50

    def make(self, vocab: GeneVocab) -> CellEncoder:
        r"""An encoder to adapt, whose weights come from torch's global generator."""
        encoder = CellEncoder(
            len(vocab),
            self.hidden_channels,
            self.num_layers,
            self.heads,
            2 * self.hidden_channels,
            self.max_length,
            self.out_channels,
            gene_head=True,
            vocab_fingerprint=vocab.fingerprint,
        )
        spread_embeddings(encoder)
        keep_angles(encoder)
        return encoder


@torch.no_grad()
def keep_angles(encoder: CellEncoder):
    r"""Begins with orthogonal genes, values, and poolings, so that an embedding keeps which genes a cell
    has.

    Attention that has learned nothing averages the genes of a cell. A chain of random matrices, as BERT
    begins with, squeezes most directions of that mean, and a short adaptation on few cells does not
    bring them back.

    Args:
        encoder (CellEncoder): The encoder, changed in place.
    """
    words = encoder.bert.get_input_embeddings()
    std = words.weight[1:].std()
    torch.nn.init.orthogonal_(words.weight)
    words.weight.mul_(std / words.weight[1:].std())  # Also where there are more genes than channels.
    words.weight[words.padding_idx] = 0.0
    for layer in encoder.bert.encoder.layer:
        torch.nn.init.orthogonal_(layer.attention.self.value.weight)
        torch.nn.init.orthogonal_(layer.attention.output.dense.weight)
    torch.nn.init.orthogonal_(encoder.proj.weight)
