r"""The official SToFM encoder from a checkout of its repository, with inputs as it wants them."""

import importlib
import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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
    r"""Makes an official :obj:`SToFMModel` with random weights and without dropout.

    The linear layers start as PyTorch's do, not nearly at zero, so that a wrong bias is seen.

    Args:
        checkout (str or Path): A checkout of the official repository, or its git directory.
        seed (int, optional): The seed of the weights. (default: :obj:`0`)
        **config: What :obj:`SToFMConfig` takes.
    """
    module = import_official(checkout)
    config = {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0} | config
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
    r"""The distances of a batch of subpatches of one size as the official code takes them: dense
    :math:`(B, n, n)`, :obj:`far` where there is no edge and zero on the diagonal."""
    size = data.num_nodes // data.num_graphs
    out = torch.full((data.num_graphs, size, size), far, device=data.edge_attr.device)
    source, target = data.edge_index
    out[target // size, target % size, source % size] = data.edge_attr.view(-1)
    node = torch.arange(size, device=out.device)
    out[:, node, node] = 0.0
    return out


def import_official(checkout: str | Path) -> ModuleType:
    r"""Imports :obj:`model/se2transformer.py` of a checkout or git directory, leaving no trace in
    :obj:`sys.modules` and :obj:`sys.path`.

    Raises:
        ValueError: If it is not there.
    """
    checkout = Path(checkout)
    if (checkout / FILE).is_file():
        return _import(checkout)
    with tempfile.TemporaryDirectory() as folder:
        _export(checkout, Path(folder))
        return _import(Path(folder))


def _export(git_dir: Path, folder: Path):
    command = ["git", f"--git-dir={git_dir}", "archive", "HEAD", str(FILE.parent)]
    try:
        archive = subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise ValueError(
            f"--official {git_dir} holds no {FILE} and is no git directory that does; give a checkout "
            f"of the SToFM repository"
        ) from error
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")


def _import(folder: Path) -> ModuleType:
    stubs = {}
    for name, values in STUBS.items():
        stubs[name] = ModuleType(name)
        vars(stubs[name]).update(values)
    with _modules_of_its_own(folder, stubs):
        return importlib.import_module("model.se2transformer")


@contextmanager
def _modules_of_its_own(folder: Path, stubs: dict[str, ModuleType]) -> Iterator[None]:
    taken = [name for name in sys.modules if name.split(".")[0] in ("model", "geneformer")]
    before = {name: sys.modules.pop(name) for name in taken}
    sys.modules.update(stubs)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.split(".")[0] in ("model", "geneformer")]:
            del sys.modules[name]
        sys.modules.update(before)
