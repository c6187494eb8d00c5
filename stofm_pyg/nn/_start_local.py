import torch

from stofm_pyg.nn.se2_transformer_conv import SE2TransformerConv
from stofm_pyg.nn.slice_encoder import SliceEncoder

# How much less, in logits, a cell at the radius counts than one at distance zero, for the first head.
NEAREST = 8.0
POINTS = 512


@torch.no_grad()
def start_local(encoder: SliceEncoder, radius: float):
    r"""Lets attention begin near each cell: the bias of head :math:`h` falls with the distance,

    .. math::
        g_h(d) \approx - s_h \, d / R, \qquad s_1 = 8, \ldots, s_H = 1

    with slopes :math:`s_h` that fall geometrically from head to head, as in `"ALiBi"
    <https://arxiv.org/abs/2108.12409>`_, and cells without an edge at :math:`-s_h - 1`. With random
    weights all cells of a subpatch count alike, and that neighbours matter must be found out first,
    which takes many hundreds of steps.

    Encoders with other operators stay as they are.

    Args:
        encoder (SliceEncoder): The encoder, changed in place.
        radius (float): The radius :math:`R` of the graph, in the unit of the positions.
    """
    if not 0 < radius < float("inf"):
        raise ValueError(f"'radius' must be positive and finite (got {radius})")
    conv = encoder.blocks[0].conv
    if not isinstance(conv, SE2TransformerConv):
        return
    like = conv.distance.mean
    slope = torch.logspace(0, 1, conv.heads, NEAREST, dtype=torch.float64).flip(0).to(like)
    distance = torch.linspace(0.0, radius, POINTS).to(like)
    conv.distance.fit(distance, -distance[:, None] * slope / radius, -slope - 1)
