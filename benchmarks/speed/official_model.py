r"""The official SToFM encoder from a checkout of its repository, with inputs as it wants them."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor
from torch_geometric.data import Data

FILE = Path("model", "se2transformer.py")
# What the official code imports of Geneformer for its tokeniser, which the encoder does not use.
STUBS = {
    "geneformer": {"DataCollatorForCellClassification": object},
    "geneformer.collator_for_classification": {"PrecollatorForGeneAndCellClassification": object},
    "geneformer.pretrainer": {"token_dictionary": {}},
}


def official_encoder(checkout: str | Path, seed: int = 0, **config: object) -> torch.nn.Module:
    r"""Makes an official :obj:`SToFMModel` from what :obj:`SToFMConfig` takes, without dropout; random
    linear layers start as PyTorch's do, not nearly at zero, so that a wrong bias is seen."""
    module = import_official(Path(checkout))
    config |= dict.fromkeys(("dropout", "attention_dropout", "activation_dropout"), 0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = module.SToFMModel(module.SToFMConfig(**config))
        for part in model.modules():
            if isinstance(part, torch.nn.Linear) and part is not model.gaussian.linear:
                part.reset_parameters()
        model.gaussian.means.weight.data.uniform_(0, 3)
        model.gaussian.stds.weight.data.uniform_(0, 3)
        model.gaussian.linear.weight.data.fill_(1.0)
        model.gaussian.linear.bias.data.zero_()
    return model


def official_distances(data: Data, far: float = 100.0) -> Tensor:
    r"""The distances of subpatches of one size as the official code takes them: dense
    :math:`(B, n, n)`, :obj:`far` where there is no edge and zero on the diagonal."""
    batch = data.get("batch")
    number = 1 if batch is None else int(batch[-1]) + 1
    size, (source, target) = data.num_nodes // number, data.edge_index
    out = torch.full((number, size, size), far, device=data.edge_attr.device)
    out[target // size, target % size, source % size] = data.edge_attr.view(-1)
    out.diagonal(dim1=1, dim2=2).zero_()
    return out


def import_official(checkout: Path) -> ModuleType:
    r"""Imports :obj:`model/se2transformer.py` of a checkout, leaving no trace in :obj:`sys`."""
    if not (checkout / FILE).is_file():
        raise ValueError(f"--official {checkout} has no {FILE}; give a checkout of the SToFM repository")
    sys.path.insert(0, str(checkout))
    for name, values in STUBS.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(values)
    try:
        return importlib.import_module("model.se2transformer")
    finally:
        sys.path.remove(str(checkout))
        for name in [name for name in sys.modules if name.split(".")[0] in ("model", "geneformer")]:
            del sys.modules[name]
