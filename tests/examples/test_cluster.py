"""The files for clusters: two tasks of an array, and two machines, as processes on this one."""

import copy
import json
import os
import socket
import subprocess
import sys

import anndata
import numpy as np
import pytest
import torch

from stofm_pyg.cli import main
from stofm_pyg.corpus import Corpus, build_corpus
from stofm_pyg.data import GeneVocab, SliceSettings
from stofm_pyg.models import SToFM
from tests.examples.examples_case import EXAMPLES
from tests.forked_stofm import forked_stofm
from tests.models.fit_case import fitted, make_tissue
from tests.train.pretrain_case import CONFIG, make_corpus

CLUSTER = EXAMPLES / "cluster"
FILES = ("corpus_build.sbatch", "embed.sbatch", "embed_parts.sbatch", "machines.sbatch", "launch.sh")
ENVIRONMENT = {
    "ACCELERATE": f"{sys.executable} -m accelerate.commands.accelerate_cli",
    "PYTHONPATH": str(EXAMPLES.parent),
    "OMP_NUM_THREADS": "1",
    "SLURM_CPUS_PER_TASK": "1",
}


@pytest.fixture(scope="module")
def stofm(tmp_path_factory):
    with forked_stofm(tmp_path_factory.mktemp("stofm")) as words:
        yield words


def run_two(name, environments, *args):
    """Runs a file twice at a time; both must end well."""
    children = [
        subprocess.Popen(
            ["bash", str(CLUSTER / name), *map(str, args)],
            env={**os.environ, **ENVIRONMENT, **environment},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for environment in environments
    ]  # fmt: skip
    try:
        said = [child.communicate(timeout=300)[0] for child in children]
        assert [child.returncode for child in children] == [0, 0], said
        return said
    finally:
        for child in children:
            child.kill()
            child.wait()


def tasks(stofm, number=2):
    count = str(number)
    return [
        {"STOFM": stofm, "SLURM_ARRAY_TASK_ID": str(i), "SLURM_ARRAY_TASK_COUNT": count}
        for i in range(number)
    ]


def write_slices(folder):
    folder.mkdir()
    tissue = make_tissue(3, 90)
    for name in tissue.obs["slice"].unique():
        tissue[tissue.obs["slice"] == name].write_h5ad(folder / f"{name}.h5ad")
    return sorted(folder.glob("*.h5ad"))


@pytest.mark.parametrize("name", FILES)
def test_syntax(name):
    subprocess.run(["bash", "-n", str(CLUSTER / name)], check=True)
    text = (CLUSTER / name).read_text(encoding="utf-8")
    assert "set -euo pipefail" in text and ("#SBATCH --time=" in text) == name.endswith(".sbatch")


def test_the_page_names_all_files():
    assert sorted(path.name for path in CLUSTER.iterdir()) == sorted([*FILES, "README.md"])
    page = (CLUSTER / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in FILES)


def test_two_tasks_make_the_corpus_of_one(stofm, tmp_path):
    files = write_slices(tmp_path / "slices")
    run_two("corpus_build.sbatch", tasks(stofm), tmp_path / "slices", tmp_path / "corpus", "slices",
            "--cells-per-part", "30")  # fmt: skip
    vocab = GeneVocab.from_slices([anndata.read_h5ad(path) for path in files])
    one = build_corpus(files, tmp_path / "one", vocab, SliceSettings(cells_per_part=30))
    two = Corpus(tmp_path / "corpus")
    assert two.num_cells == one.num_cells == 270
    assert [shard.path.name for shard in two.shards] == [shard.path.name for shard in one.shards]


def test_two_tasks_embed_each_file_once(stofm, tmp_path):
    files, model = write_slices(tmp_path / "slices"), fitted()
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / files[0].name).write_text("of before")
    run_two("embed.sbatch", tasks(stofm), tmp_path / "model", tmp_path / "slices", tmp_path / "out",
            "--device", "cpu")  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [path.name for path in files]
    assert (tmp_path / "out" / files[0].name).read_text() == "of before"
    for path in files[1:]:
        actual = anndata.read_h5ad(tmp_path / "out" / path.name).obsm["X_stofm"]
        expected = model.embed(anndata.read_h5ad(path), key_added=None)
        assert np.abs(actual - expected.numpy()).max() <= 1e-5


def test_two_tasks_embed_one_slice(stofm, tmp_path):
    tissue, model = make_tissue(3, 90), copy.copy(fitted())
    model.settings = model.settings.replace(cells_per_part=3)
    tissue.write_h5ad(tmp_path / "tissue.h5ad")
    model.save_pretrained(tmp_path / "model")
    places = [tmp_path / name for name in ("model", "tissue.h5ad", "parts", "out.h5ad")]
    said = run_two("embed_parts.sbatch", tasks(stofm), *places, "--device", "cpu")
    assert sum("has the embedding in obsm['X_stofm']" in words for words in said) == 1
    assert len(list((tmp_path / "parts" / "groups").iterdir())) == 6
    actual = anndata.read_h5ad(tmp_path / "out.h5ad").obsm["X_stofm"]
    assert np.abs(actual - model.embed(tissue, key_added=None).numpy()).max() <= 1e-5


def test_two_machines_pretrain_as_one(tmp_path):
    make_corpus(tmp_path)
    config = {**CONFIG, "adaptation": {"num_steps": 1, "max_tokens": 256}}
    for part in ("cell_encoder", "model"):
        config[part] = {**config[part], "dropout": 0.0}
    (tmp_path / "config.json").write_text(json.dumps(config))
    words = ["pretrain", "--corpus", tmp_path / "corpus", "--preset", "tiny", "--config",
             tmp_path / "config.json", "--workers", "0"]  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    machines = [{"MACHINES": "2", "MACHINE": str(i), "MAIN_PORT": port} for i in range(2)]
    run_two("launch.sh", machines, *words, "--out", tmp_path / "two")
    assert main([*map(str, words), "--device", "cpu", "--out", str(tmp_path / "one")]) == 0
    one, two = (SToFM.from_pretrained(tmp_path / name).state_dict() for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, weight in one.items():
        assert torch.allclose(weight, two[name], atol=1e-3), name
