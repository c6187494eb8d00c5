"""The equations of the official model as plainly as they can be written, on padded dense tensors: what
single precision makes of a recorded run when nobody takes care of rounding."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from stofm_pyg.nn import NodeType, SliceEncoder
from tools.official_run import NOT_SCORED, OfficialRun


def plain_numbers(run: OfficialRun, seed: int) -> dict[str, Tensor]:
    """The outputs, losses and gradients of a run in single precision, without padding; `seed` draws the
    order in which the nodes are summed up.

    On one thread, as threads would cut long sums into short ones, which round less.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _numbers(run, seed)
    finally:
        torch.set_num_threads(threads)


def _numbers(run: OfficialRun, seed: int) -> dict[str, Tensor]:
    encoder, objectives = run.encoder(), run.objectives()
    size = run.valid.size(1)
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    back = order.argsort()

    def shuffled(name):
        value = run.tensors[f"in.{name}"][:, order]
        return value[:, :, order] if name in ("attn_bias", "pair_labels") else value

    x, distance, types = (shuffled(k) for k in ("token_embeddings", "attn_bias", "token_types"))
    states, pair = _encode(encoder, x.float(), distance.float(), types.long())
    labels, pair_labels = shuffled("labels"), shuffled("pair_labels")
    scored = labels[..., 0] != NOT_SCORED
    prediction = objectives["mcm"].head(states[-1][scored])
    mcm = 1 - F.cosine_similarity(prediction, labels[scored], dim=-1).mean()
    scored = pair_labels != NOT_SCORED
    pdr = F.mse_loss(objectives["pdr"].head(pair[scored]).view(-1), pair_labels[scored])
    (mcm + pdr).backward()

    out = {f"out.hidden.{layer}": state[:, back][run.valid] for layer, state in enumerate(states)}
    out["out.last_hidden_state"] = out[f"out.hidden.{len(states) - 1}"]
    out["out.pair_rep"] = pair[:, back][:, :, back][run.valid_pairs]
    out["out.mcm_cosine_loss"], out["out.pdr_mse_loss"] = mcm, pdr
    out |= run.gradients(encoder, objectives)
    return {name: value.detach() for name, value in out.items()}


def _encode(encoder: SliceEncoder, x: Tensor, distance: Tensor, types: Tensor):
    x = encoder.lin_in(x) + encoder.node_type_emb(types)
    is_padding = (types == NodeType.PADDING).view(x.size(0), 1, 1, -1)
    logits = _encode_distances(encoder.blocks[0].conv.distance, distance).permute(0, 3, 1, 2)
    states = [x]
    for block in encoder.blocks:
        h = block.norm1(x) if block.pre_norm else x
        qkv = block.conv.lin_qkv(h).unflatten(-1, (3, encoder.heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        logits = logits + query * query.size(-1) ** -0.5 @ key.transpose(-1, -2)
        alpha = logits.masked_fill(is_padding, -math.inf).softmax(dim=-1)
        x = x + block.conv.lin_out((alpha @ value).transpose(1, 2).flatten(2))
        x = x if block.pre_norm else block.norm1(x)
        h = block.norm2(x) if block.pre_norm else x
        x = x + block.lin2(block.act(block.lin1(h)))
        x = x if block.pre_norm else block.norm2(x)
        states.append(x)
    return states, logits.permute(0, 2, 3, 1)


def _encode_distances(encode: torch.nn.Module, distance: Tensor) -> Tensor:
    std = encode.std.abs() + 1e-5
    # As a matrix product, whose gradient is one long sum over all pairs, as it is in the official code.
    scaled = F.linear(distance.unsqueeze(-1), encode.weight.view(1, 1), encode.bias)
    basis = torch.exp(-0.5 * ((scaled - encode.mean) / std) ** 2) / (math.sqrt(2 * math.pi) * std)
    first, _, second = encode.mlp
    out = second(first(basis).relu())
    return out.masked_fill((distance == 0).unsqueeze(-1), 0.0)
