import torch
from torch import Tensor

# The official name of each module of the encoder, by ours. Query, key and value are one module here.
LAYER_MODULES = {
    "conv.lin_out": "self_attn.out_proj",
    "norm1": "self_attn_layer_norm",
    "lin1": "fc1",
    "lin2": "fc2",
    "norm2": "final_layer_norm",
}
DISTANCE = {
    "weight": "linear.weight",
    "bias": "linear.bias",
    "mean": "means.weight",
    "std": "stds.weight",
    "mlp.0.weight": "proj.0.weight",
    "mlp.0.bias": "proj.0.bias",
    "mlp.2.weight": "proj.2.weight",
    "mlp.2.bias": "proj.2.bias",
}


def from_official_state(official: dict[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    r"""Translates the tensors of an official :obj:`SToFMModel` (weights, or gradients of them) to the
    names of :class:`~stofm_pyg.nn.SliceEncoder`.

    Every tensor must be used; :obj:`encoder.final_layer_norm`, which the official code makes with
    :obj:`pre_layernorm` but never calls, is dropped.

    Args:
        official (dict[str, torch.Tensor]): Tensors by official name, without a :obj:`model.` prefix.
        num_layers (int): The number of layers.

    Raises:
        ValueError: If a tensor is missing or left over; the message names them.
    """
    official = {k: v for k, v in official.items() if not k.startswith("encoder.final_layer_norm.")}
    names: dict[str, list[str]] = {
        "lin_in.weight": ["embedding_layer.weight"],
        "lin_in.bias": ["embedding_layer.bias"],
        "node_type_emb.weight": ["token_type_embeddings.weight"],
    }
    for ours, theirs in DISTANCE.items():
        names[f"blocks.0.conv.distance.{ours}"] = [f"gaussian.{theirs}"]
    for layer in range(num_layers):
        prefix = f"encoder.layers.{layer}."
        for kind in ("weight", "bias"):
            names[f"blocks.{layer}.conv.lin_qkv.{kind}"] = [
                f"{prefix}self_attn.{part}_proj.{kind}" for part in "qkv"
            ]
            for ours, theirs in LAYER_MODULES.items():
                names[f"blocks.{layer}.{ours}.{kind}"] = [f"{prefix}{theirs}.{kind}"]

    wanted = {name for parts in names.values() for name in parts}
    missing, unexpected = sorted(wanted - official.keys()), sorted(official.keys() - wanted)
    if missing or unexpected:
        raise ValueError(
            f"Not the weights of an official SToFM model with {num_layers} layers: missing {missing}, "
            f"unexpected {unexpected}"
        )
    out = {ours: torch.cat([official[name] for name in parts]) for ours, parts in names.items()}
    for ours in DISTANCE:
        if not ours.startswith("mlp"):
            key = f"blocks.0.conv.distance.{ours}"
            out[key] = out[key].flatten()
    return out
