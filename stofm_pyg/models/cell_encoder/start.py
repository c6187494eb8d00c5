import math

import torch
from torch import Tensor

from stofm_pyg.models.cell_encoder.gene_bag import GeneBag
from stofm_pyg.models.cell_encoder.model import CellEncoder

# Channels of a state: two of the constant, two of the rank, then what a cell is made of.
CONSTANT, RANK, SIGNAL = 0, 2, 4
# The root mean square of a cell's state, and the constants of norms and embeddings in units of states.
STATE, HEIGHT, LENGTH = 4.0, 300.0, 300.0


@torch.no_grad()
def spread_embeddings(encoder: CellEncoder, std: float = 0.1):
    r"""Begins with larger embeddings than BERT's, and with positions as sinusoids (`"Attention Is All
    You Need" <https://arxiv.org/abs/1706.03762>`_).

    A masked gene lies between its neighbours in rank, and which positions are neighbours would otherwise
    have to be learned for each. The loss of a small encoder falls much sooner in this way.

    Args:
        encoder (CellEncoder): The encoder, changed in place, with weights from torch's global generator.
        std (float, optional): The standard deviation of embeddings. (default: :obj:`0.1`)
    """
    embeddings = encoder.bert.embeddings
    words, positions = embeddings.word_embeddings, embeddings.position_embeddings.weight
    torch.nn.init.normal_(words.weight, std=std)
    if words.padding_idx is not None:
        words.weight[words.padding_idx] = 0.0
    num_positions, channels = positions.shape
    frequency = 1000 ** -(torch.arange(0, channels, 2) / channels)
    angle = torch.arange(num_positions)[:, None] * frequency
    waves = torch.cat([angle.sin(), angle.cos()], dim=1)[:, :channels]
    positions.copy_(std * 2**0.5 * waves)


@torch.no_grad()
def keep_angles(encoder: CellEncoder):
    r"""Begins with orthogonal genes, values, and poolings, so that an embedding keeps which genes a cell
    has. Embeddings of genes keep their standard deviation.

    Attention that has learned nothing averages the genes of a cell. A chain of random matrices, as BERT
    begins with, squeezes most directions of that mean, and a short adaptation on few cells does not
    bring them back.

    Args:
        encoder (CellEncoder): The encoder, changed in place, with weights from torch's global generator.
    """
    words = encoder.bert.embeddings.word_embeddings
    std = words.weight[1:].std()
    torch.nn.init.orthogonal_(words.weight)
    words.weight.mul_(std / words.weight[1:].std())  # Also where there are more genes than channels.
    if words.padding_idx is not None:
        words.weight[words.padding_idx] = 0.0
    for layer in encoder.bert.encoder.layer:
        torch.nn.init.orthogonal_(layer.attention.self.value.weight)
        torch.nn.init.orthogonal_(layer.attention.output.dense.weight)
    torch.nn.init.orthogonal_(encoder.proj.weight)


@torch.no_grad()
def start_as_bag(encoder: CellEncoder, bag: GeneBag):
    r"""Begins with what a bag of genes knows: the embedding of each cell is, up to the length that it is
    divided by, its :class:`GeneBag` and one constant beside it.

    Embeddings of genes are their loadings. In the last layer, CLS attends to the genes with weights that
    fall with their rank, by a channel of the position embeddings that the keys read, and to itself as
    the sink; values and their output are the identity. All other layers add nothing at first, so that
    what is learned comes on top. Each normalisation gets a constant of a few hundred times the size of
    a state, and takes it away again: it then changes a state's length by less than 1e-5. A dropout of
    states would drop the constant, and is set to zero.

    Args:
        encoder (CellEncoder): The encoder, changed in place, with weights from torch's global generator.
        bag (GeneBag): The bag, of :meth:`max_components` or fewer.

    Raises:
        ValueError: If the encoder is too small, or of another vocabulary.
    """
    bert, config = encoder.bert, encoder.bert.config
    size, number = config.hidden_size, bag.loadings.size(1)
    if number > max_components(encoder) or bag.loadings.size(0) != config.vocab_size:
        raise ValueError(f"The encoder {encoder} is too small for {bag}, or of another vocabulary")
    config.hidden_dropout_prob = 0.0
    bert.embeddings.dropout.p = 0.0
    for layer in bert.encoder.layer:
        layer.attention.output.dropout.p = layer.output.dropout.p = 0.0

    basis = _zero_sum_basis(size - SIGNAL, number)  # Norms subtract a mean over channels.
    signal = slice(SIGNAL, size)
    words = bert.embeddings.word_embeddings.weight
    words.zero_()
    words[:, signal] = STATE * bag.loadings @ basis.t()
    positions = bert.embeddings.position_embeddings.weight
    positions.zero_()
    rank = torch.arange(positions.size(0) - 1)
    positions[0, RANK] = math.log(bag.sink)
    positions[1:, RANK] = -torch.log1p(rank / bag.reach)
    positions[:, RANK + 1] = -positions[:, RANK]
    height = HEIGHT * float((words + positions[-1]).norm(dim=1).max().clamp(min=STATE))
    constant = torch.zeros(size)
    constant[CONSTANT], constant[CONSTANT + 1] = height, -height

    bert.embeddings.token_type_embeddings.weight.zero_()
    bert.embeddings.token_type_embeddings.weight[0] = constant
    _as_identity(bert.embeddings.LayerNorm, constant)
    for layer in bert.encoder.layer:
        attention = layer.attention
        for linear in (attention.output.dense, layer.output.dense):
            linear.weight.zero_()
            linear.bias.copy_(constant)
        for linear in (attention.self.query, attention.self.key, attention.self.value):
            torch.nn.init.normal_(linear.weight, std=size**-0.5)
            linear.bias.zero_()
        torch.nn.init.normal_(layer.intermediate.dense.weight, std=size**-0.5)
        for norm in (attention.output.LayerNorm, layer.output.LayerNorm):
            _as_identity(norm, constant)

    attention = bert.encoder.layer[-1].attention
    first = torch.arange(0, size, attention.self.attention_head_size)  # A channel of each head.
    attention.self.query.weight.zero_()
    attention.self.query.bias[first] = attention.self.attention_head_size**0.5
    attention.self.key.weight[first] = 0.0
    attention.self.key.weight[first, RANK] = 1.0
    keeps = torch.eye(size)
    keeps[:SIGNAL] = 0.0
    attention.self.value.weight.copy_(keeps)
    attention.output.dense.weight.copy_(keeps)
    attention.output.dense.bias[signal] -= STATE * basis @ bag.center
    encoder.proj.weight.zero_()
    encoder.proj.bias.zero_()
    encoder.proj.weight[:number, signal] = basis.t()
    encoder.proj.bias[number] = STATE * LENGTH
    if encoder.gene_head is not None:
        # Logits of genes, products with large embeddings, begin small.
        torch.nn.init.normal_(encoder.gene_head.lin.weight, std=size**-0.5)
        encoder.gene_head.norm.weight.fill_(1 / float(words.norm(dim=1).max().clamp(min=1.0)))


def max_components(encoder: CellEncoder) -> int:
    r"""The most components of a :class:`GeneBag` that :meth:`start_as_bag` takes."""
    return min(encoder.bert.config.hidden_size - SIGNAL - 1, encoder.proj.out_features - 1)


def _as_identity(norm: torch.nn.LayerNorm, constant: Tensor):
    # Of a state with the constant, to the state without.
    norm.weight.fill_(float(constant.square().mean().sqrt()))
    norm.bias.copy_(-constant)


def _zero_sum_basis(size: int, number: int) -> Tensor:
    # Orthonormal columns [size, number] that sum to zero.
    start = torch.cat([torch.ones(size, 1), torch.randn(size, number)], dim=1)
    return torch.linalg.qr(start.double())[0][:, 1:].float()
