from torch.nn import ModuleList, TransformerEncoder, TransformerEncoderLayer


def make_transformer(
    channels: int, num_layers: int, heads: int, ffn_channels: int, dropout: float, eps: float = 1e-5
) -> TransformerEncoder:
    r"""Returns the transformer of scGPT and of Nicheformer: layers with a ReLU that normalise after each
    part.

    Args:
        channels (int): Size of a token's state.
        num_layers (int): Number of layers.
        heads (int): Number of attention heads.
        ffn_channels (int): Size of the feed-forward layers.
        dropout (float): Dropout in training.
        eps (float, optional): What norms add to the variance. (default: :obj:`1e-5`)
    """
    layers = [
        TransformerEncoderLayer(
            channels, heads, ffn_channels, dropout, layer_norm_eps=eps, batch_first=True
        )
        for _ in range(num_layers)
    ]
    out = TransformerEncoder(layers[0], 1, enable_nested_tensor=False)
    # It would begin with copies of one layer.
    out.layers, out.num_layers = ModuleList(layers), num_layers
    return out
