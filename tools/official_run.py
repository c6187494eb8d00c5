"""One recorded run of the official code, as the graphs that our layers take.

A run is a `.safetensors` file with its settings in a `.json` file beside it (`{"config": {...}}`, under
official names). It holds the padded batch (`in.*`), the weights of an official `SToFMForMaskedLM`
(`state.*`), what it returned (`out.*`), and the gradients of the sum of its two losses (`grad.*`).
`in.attn_bias` is the official distance matrix: 100 where there is no edge, 0 on the diagonal and for
CLS. Labels hold -100 where nothing is scored.
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch_geometric.data import Data

from stofm_pyg.models import from_official_heads, to_official_state
from stofm_pyg.models.official import load_encoder, make_activation
from stofm_pyg.models.official.checkpoint import official_model_state
from stofm_pyg.models.official.config import official_options
from stofm_pyg.models.official.names import head_names
from stofm_pyg.nn import NodeType, SliceEncoder
from stofm_pyg.train import MaskedCellModelling, PairwiseDistanceRecovery

FAR = 100.0
NOT_SCORED = -100


class OfficialRun:
    """Reads a run and checks its form; ValueError or FileNotFoundError say what is wrong with it."""

    def __init__(self, path):
        path = Path(path)
        self.config = _read_config(path.with_suffix(".json"))
        self.options = official_options(self.config)
        self.num_layers, self.heads = self.options["num_layers"], self.options["heads"]
        self.tensors = _read_tensors(path)
        self._check_form()
        self.valid = self.tensors["in.token_types"] != NodeType.PADDING
        self.valid_pairs = self.valid.unsqueeze(1) & self.valid.unsqueeze(2)
        self._check_distances()

    def part(self, prefix):
        """The tensors whose names start with `prefix`, without it."""
        return {k[len(prefix) :]: v for k, v in self.tensors.items() if k.startswith(prefix)}

    def nodes(self, name):
        """A padded tensor's rows of the nodes, in the order of `batch()`."""
        return self.tensors[name][self.valid]

    def pairs(self, name):
        """A padded tensor's rows of the pairs, in the order of `PairRepresentation.all_pairs`."""
        return self.tensors[name][self.valid_pairs]

    def batch(self, dtype=torch.float32):
        """The batch, without padding; features are masked already."""
        num_graphs, size = self.valid.shape
        node = torch.full((num_graphs, size), -1)
        node[self.valid] = torch.arange(int(self.valid.sum()))

        distance = self.tensors["in.attn_bias"]
        is_edge = (distance != 0) & (distance != FAR) & self.valid_pairs
        graph, row, col = (is_edge | self._unbiased).nonzero().t()

        pair_labels = self.tensors["in.pair_labels"]
        scored_graph, query, key = (pair_labels != NOT_SCORED).nonzero().t()
        labels = self.nodes("in.labels")
        mask = labels[:, 0] != NOT_SCORED
        return Data(
            x=self.nodes("in.token_embeddings").to(dtype),
            edge_index=torch.stack([node[graph, col], node[graph, row]]),
            edge_attr=distance[graph, row, col].unsqueeze(-1).to(dtype),
            batch=torch.arange(num_graphs).unsqueeze(-1).expand(-1, size)[self.valid],
            node_type=self.nodes("in.token_types"),
            mask=mask,
            target=labels[mask].to(dtype),
            pair_index=torch.stack([node[scored_graph, key], node[scored_graph, query]]),
            pair_distance=pair_labels[scored_graph, query, key].to(dtype),
        )

    def encoder(self, **kwargs):
        """Our encoder with the run's weights; `kwargs` are further arguments of it."""
        options = self.options | {"dropout": 0.0, "attention_dropout": 0.0}
        options["act"] = make_activation(options["act"])
        encoder = SliceEncoder(**options, **kwargs)
        pre_norm = self.options["pre_norm"]
        load_encoder(encoder, official_model_state(self.part("state."), self.num_layers, pre_norm))
        if self._unbiased.any():
            # The official code leaves out the bias of any two nodes whose distance is zero, although its
            # own input has "far" there; ours encodes a zero like any other distance.
            encoder.blocks[0].conv.distance.register_forward_hook(_no_bias_at_zero)
        return encoder

    def objectives(self):
        """Our objectives with the weights of the run's heads, by name."""
        heads = from_official_heads(self._heads("state."))
        channels, out_channels = self._head_sizes()
        objectives = {
            "mcm": MaskedCellModelling(channels, out_channels, "cosine"),
            "pdr": PairwiseDistanceRecovery(self.heads),
        }
        for name, objective in objectives.items():
            objective.load_state_dict(heads[name])
        return objectives

    def gradients(self, encoder, objectives):
        """Our gradients by the names in the run."""
        ours = to_official_state(_gradients(encoder), self.num_layers)
        out = {f"grad.model.{name}": value for name, value in ours.items()}
        for objective, names in head_names(self.part("state.")).items():
            ours = _gradients(objectives[objective])
            out |= {f"grad.{theirs}": ours[name] for name, theirs in names.items()}
        return out

    def _heads(self, prefix):
        return {k: v for k, v in self.part(prefix).items() if not k.startswith("model.")}

    def _head_sizes(self):
        weight = self.tensors["state.lm_head.2.weight"]
        return self.options["hidden_channels"], weight.size(0)

    def _check_form(self):
        outputs = [f"out.hidden.{layer}" for layer in range(self.num_layers + 1)]
        outputs += ["out.last_hidden_state", "out.pair_rep", "out.mcm_cosine_loss", "out.pdr_mse_loss"]
        inputs = ["token_embeddings", "attn_bias", "token_types", "labels", "pair_labels"]
        heads = [
            f"{head}.{layer}.{kind}"
            for head in ("lm_head", "pair_head")
            for layer in (0, 2)
            for kind in ("weight", "bias")
        ]
        wanted = [f"in.{name}" for name in inputs] + outputs + [f"state.{name}" for name in heads]
        missing = [name for name in wanted if name not in self.tensors]
        if missing:
            raise ValueError(f"The file lacks {', '.join(missing)}; is it a whole run?")
        for name, value in self.tensors.items():
            if value.is_floating_point() and not value.isfinite().all():
                raise ValueError(f"'{name}' holds NaN or infinity; nothing can be compared with that")

        num_graphs, size = _shape(self.tensors, "in.token_types", 2)
        channels, hidden = self.options["in_channels"], self.options["hidden_channels"]
        label_size, heads = self._head_sizes()[1], self.heads
        shapes = {
            "in.token_embeddings": (num_graphs, size, channels),
            "in.attn_bias": (num_graphs, size, size),
            "in.labels": (num_graphs, size, label_size),
            "in.pair_labels": (num_graphs, size, size),
            "out.pair_rep": (num_graphs, size, size, heads),
            "out.mcm_cosine_loss": (),
            "out.pdr_mse_loss": (),
            "state.lm_head.0.weight": (hidden, hidden),
            "state.lm_head.0.bias": (hidden,),
            "state.lm_head.2.weight": (label_size, hidden),
            "state.lm_head.2.bias": (label_size,),
            "state.pair_head.0.weight": (heads, heads),
            "state.pair_head.0.bias": (heads,),
            "state.pair_head.2.weight": (1, heads),
            "state.pair_head.2.bias": (1,),
        }
        shapes |= {name: (num_graphs, size, hidden) for name in outputs if "hidden" in name}
        for name, shape in shapes.items():
            if self.tensors[name].shape != shape:
                raise ValueError(
                    f"'{name}' must have shape {list(shape)} by the other tensors and the config (got "
                    f"{list(self.tensors[name].shape)})"
                )

    def _check_distances(self):
        distance, types = self.tensors["in.attn_bias"], self.tensors["in.token_types"]
        least, largest = int(types.min()), int(types.max())
        if least < 0 or largest > NodeType.PADDING:
            raise ValueError(f"'in.token_types' must lie in 0 to 3 (got {least} to {largest})")
        if not self.valid.any(dim=1).all():
            raise ValueError("'in.token_types' has a subpatch without any node, only padding")
        is_cls = types == NodeType.CLS
        is_zero = is_cls.unsqueeze(1) | is_cls.unsqueeze(2) | torch.eye(types.size(1), dtype=torch.bool)
        if (distance[is_zero & self.valid_pairs] != 0).any():
            raise ValueError("'in.attn_bias' must be 0 on the diagonal and for CLS")
        if (distance[self.valid_pairs] < 0).any():
            raise ValueError("'in.attn_bias' holds negative distances")
        self._unbiased = (distance == 0) & self.valid_pairs & ~is_zero


def run_encoder(encoder, batch):
    return encoder(batch.x, batch.edge_index, batch.edge_attr, batch.batch, batch.node_type)


def largest_error(actual, expected):
    """The largest difference, relative to the largest expected value; infinite where that is zero and
    the actual one is not."""
    if actual.shape != expected.shape:
        raise ValueError(f"Shapes {list(actual.shape)} and {list(expected.shape)} do not compare")
    actual, expected = actual.detach().double(), expected.detach().double()
    difference, scale = float((actual - expected).abs().max()), float(expected.abs().max())
    if difference == 0:
        return 0.0
    return difference / scale if scale > 0 else float("inf")


def _gradients(module):
    return {
        name: torch.zeros_like(value) if value.grad is None else value.grad
        for name, value in module.named_parameters()
    }


def _no_bias_at_zero(module, args, out):
    return out.masked_fill(args[0].reshape(-1, 1) == 0, 0.0)


def _read_config(path):
    if not path.is_file():
        raise FileNotFoundError(f"There is no '{path}', which should hold the config of the run")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"'{path}' is not a JSON file ({error})") from error
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise ValueError(f"'{path}' must hold the settings under the key 'config'")
    return config["config"]


def _read_tensors(path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no file '{path}'")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"'{path}' is not a whole safetensors file ({error})") from error


def _shape(tensors, name, dimensions):
    shape = tensors[name].shape
    if len(shape) != dimensions or 0 in shape:
        raise ValueError(f"'{name}' must have {dimensions} dimensions, none empty (got {list(shape)})")
    return shape
