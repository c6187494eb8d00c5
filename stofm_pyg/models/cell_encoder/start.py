import torch

from stofm_pyg.models.cell_encoder.model import CellEncoder


@torch.no_grad()
def spread_embeddings(encoder: CellEncoder, std: float = 0.1):
    r"""Begins with larger embeddings than BERT's, and with positions as sinusoids (`"Attention Is All
    You Need" <https://arxiv.org/abs/1706.03762>`_).

    A masked gene lies between its neighbours in rank, and which positions are neighbours would otherwise
    have to be learned for each. The loss of a small encoder falls much sooner in this way.

    Args:
        encoder (CellEncoder): The encoder, changed in place.
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
