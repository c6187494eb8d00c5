from collections.abc import Iterable

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
HEADS = {"mcm": "lm_head", "pdr": "pair_head"}
# Made by the official code with 'pre_layernorm', but never called.
UNUSED = ("encoder.final_layer_norm.weight", "encoder.final_layer_norm.bias")


def encoder_names(num_layers: int) -> dict[str, list[str]]:
    r"""The official names of every tensor of a :class:`~stofm_pyg.nn.SliceEncoder`, by ours; several
    where theirs lie one below the other in ours."""
    names = {
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
    return names


def head_names(given: Iterable[str]) -> dict[str, dict[str, str]]:
    r"""For each objective of whose head there is a tensor among the given official names, the official
    names of all its tensors, by ours."""
    given = list(given)
    return {
        objective: {
            f"head.lins.{ours}.{kind}": f"{head}.{theirs}.{kind}"
            for ours, theirs in enumerate((0, 2))
            for kind in ("weight", "bias")
        }
        for objective, head in HEADS.items()
        if any(name.startswith(f"{head}.") for name in given)
    }


def check_names(given: Iterable[str], wanted: Iterable[str], what: str):
    r"""Raises unless the names are those that are wanted; the message says which are not."""
    given, wanted = set(given), set(wanted)
    if given != wanted:
        raise ValueError(
            f"Not the weights of {what}: missing {sorted(wanted - given)}, "
            f"unexpected {sorted(given - wanted)}"
        )
