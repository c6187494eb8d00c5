import subprocess
import sys

import pytest
import torch
from torch_geometric.data import Batch, Data

from benchmarks.speed.official_model import import_official, official_distances, official_encoder
from tests.benchmarks.speed.official_checkout import write_checkout

SIZE = {
    "num_hidden_layers": 2,
    "embedding_dim": 8,
    "ffn_embedding_dim": 8,
    "num_attention_heads": 2,
    "gaussian_hidden_dim": 4,
    "input_dim": 8,
}


@pytest.fixture
def checkout(tmp_path):
    return write_checkout(tmp_path / "checkout")


def git(folder, *args):
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, "-C", str(folder), *args], check=True, capture_output=True)


def test_nothing_of_the_import_stays(checkout):
    sys.modules["model"] = mine = type(sys)("model")
    try:
        path, modules = list(sys.path), set(sys.modules)
        module = import_official(checkout)
        assert sys.path == path
        assert {name for name in set(sys.modules) - modules if name.startswith("geneformer")} == set()
        assert sys.modules["model"] is mine
        assert "model.se2transformer" not in sys.modules
    finally:
        del sys.modules["model"]
    assert module.__file__ == str(checkout / "model" / "se2transformer.py")


def test_two_checkouts_do_not_mix(checkout, tmp_path):
    other = write_checkout(tmp_path / "other", scale=2.0)
    assert [import_official(folder).SCALE for folder in (checkout, other, checkout)] == [1, 2, 1]


def test_a_git_directory(checkout):
    git(checkout, "init", "-q")
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "model")
    (checkout / "model" / "se2transformer.py").unlink()
    assert import_official(checkout / ".git").SCALE == 1


def test_a_folder_without_the_code(tmp_path):
    with pytest.raises(ValueError, match=f"--official {tmp_path} holds no .*give a checkout"):
        import_official(tmp_path)


def test_weights_depend_on_the_seed_alone(checkout):
    a, b, c = (official_encoder(checkout, seed, **SIZE).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["gaussian.means.weight"], c["gaussian.means.weight"])
    assert a["gaussian.linear.weight"].item() == 1
    assert a["gaussian.linear.bias"].item() == 0
    assert 0 <= a["gaussian.stds.weight"].min() and a["gaussian.stds.weight"].max() <= 3

    before = torch.get_rng_state()
    official_encoder(checkout, 5, **SIZE)
    assert torch.equal(torch.get_rng_state(), before)


def test_distances_as_a_dense_matrix():
    first = Data(
        edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]),
        edge_attr=torch.tensor([[0.5], [0.5], [2.0], [2.0]]),
        num_nodes=3,
    )
    second = Data(
        edge_index=torch.tensor([[0, 2], [2, 0]]), edge_attr=torch.tensor([[1.5], [1.5]]), num_nodes=3
    )
    assert official_distances(Batch.from_data_list([first, second])).tolist() == [
        [[0, 0.5, 100], [0.5, 0, 2], [100, 2, 0]],
        [[0, 100, 1.5], [100, 0, 100], [1.5, 100, 0]],
    ]
