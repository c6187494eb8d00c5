import numpy as np
import pytest

from benchmarks.rows import Row
from benchmarks.splits import cell_labels
from benchmarks.tasks import clustering
from benchmarks.tasks.clustering import Clustering
from tests.benchmarks.task_case import make_args
from tests.models.fit_case import make_tissue


class Told:
    """A method that gives what it was told."""

    def __init__(self, x):
        self.x = x

    def embed(self, data, seed=0, without=None):
        return self.x


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    path = tmp_path_factory.mktemp("tissue") / "tissue.h5ad"
    make_tissue().write_h5ad(path)
    return str(path)


def made(tissue, **changes):
    task = Clustering(make_args(None, task="clustering", data=[tissue], **changes))
    task.prepare()
    return task


def embedding(task, noise, shift=0.0):
    # Classes apart, slices where they are told.
    rng = np.random.default_rng(0)
    labels = [cell_labels(item, task.label) for item in task.data.slices]
    codes = [10 * np.eye(len(task.data.classes))[label] for label in labels]
    return [x + noise * rng.normal(size=x.shape) + shift * i for i, x in enumerate(codes)]


def test_an_embedding_that_tells_the_labels(tissue):
    task = made(tissue)
    assert (task.label, task.metrics[-1]) == ("domain", "ilisi")
    result = task.one_run(Row(Told(embedding(task, 0.5))), seed=0)
    assert result["ari"] == result["nmi"] == result["ari_kmeans"] == result["ari_stable"] == 1.0
    assert result["silhouette"] > 0.8 and result["ilisi"] > 0.7
    assert result["extras"] == {"classes": 3, "clusters": 3, "stable_clusters": 3, "agreement": 1.0}
    near = result["scores"]["slice0"]["coherence"]
    label = cell_labels(task.data.slices[0], "domain")
    pos = task.data.slices[0].pos[:100].numpy()
    order = np.linalg.norm(pos[:, None] - pos[None], axis=2).argsort(axis=1)[:, 1:7]
    assert near == pytest.approx((label[order] == label[:, None]).mean(), abs=0.01)


def test_noise_tells_nothing_and_slices_apart_do_not_mix(tissue):
    task = made(tissue)
    rng = np.random.default_rng(0)
    result = task.one_run(Row(Told([rng.normal(size=(100, 5)) for _ in range(2)])), seed=0)
    assert abs(result["ari"]) < 0.1 and abs(result["silhouette"]) < 0.1
    assert result["ilisi"] > 0.8
    result = task.one_run(Row(Told(embedding(task, 0.5, shift=100.0))), seed=0)
    assert result["ilisi"] == pytest.approx(0.0, abs=1e-6)


def test_cells_that_were_not_clustered_go_with_the_nearest(tissue, monkeypatch):
    monkeypatch.setattr(clustering, "MAX_CELLS", 90)
    monkeypatch.setattr(clustering, "MAX_PAIRS", 60)
    task = made(tissue)
    result = task.one_run(Row(Told(embedding(task, 0.5))), seed=1)
    assert result["ari"] > 0.8 and result["ari_kmeans"] == 1.0 and result["silhouette"] > 0.8


def test_one_slice_has_no_mixing(tissue, tmp_path):
    adata = make_tissue(1)
    adata.obs["cell_type"] = adata.obs["domain"].where(adata.obs_names != adata.obs_names[0])
    del adata.obs["domain"]
    adata.write_h5ad(tmp_path / "one.h5ad")
    task = made(str(tmp_path / "one.h5ad"))
    assert task.label == "cell_type" and "ilisi" not in task.metrics and "iLISI" not in task.notes()
    result = task.one_run(Row(Told(embedding(task, 0.1))), seed=0)
    assert result["ari"] == 1.0 and "ilisi" not in result["scores"]["slice0"]


def test_pictures(tissue, tmp_path):
    task = made(tissue)
    result = task.one_run(Row(Told(embedding(task, 0.5))), seed=0)
    task.draw("told", result, tmp_path)
    assert (tmp_path / "told-clusters.png").read_bytes().startswith(b"\x89PNG")


def test_a_label_of_one_class(tissue):
    adata = make_tissue()
    adata.obs["domain"] = "everywhere"
    with pytest.raises(ValueError, match="'nowhere'"):
        made(tissue, label="nowhere")
