import json

import numpy as np
import pytest

from benchmarks import budget as module
from benchmarks.budget import FILE, Budget, seconds_of_step, trial_piece
from benchmarks.data import BenchmarkData
from benchmarks.methods.cellplm import CellPLM
from benchmarks.methods.pretrained import Pretrained
from benchmarks.methods.stofm import SToFMFitted, Untrained
from benchmarks.methods.with_neighbours import WithNeighbours
from benchmarks.rows import Row
from tests.models.fit_case import CONFIG, SETTINGS, make_tissue


class Timed:
    """A step of it takes half a second; what learns without steps has none."""

    trains, steps = True, None

    def __init__(self):
        self.trained = []

    def embed(self, data):
        self.trained.append((self.steps, [len(rows) for _, rows in data.rows]))
        self.info = {"steps": self.steps, "train_seconds": 0.5 * self.steps}


@pytest.fixture(scope="module")
def data():
    return BenchmarkData([make_tissue()], "domain", SETTINGS)


def rows_of(method):
    learned = Row(object(), settings={"method": "pca"})
    return {"timed": Row(method, settings={"method": "timed", "size": 3}), "pca": learned}


def test_seconds_become_steps_once(data, tmp_path):
    method = Timed()
    rows = rows_of(method)
    assert Budget(10, tmp_path).steps_of(rows, data) == {"timed": 20}
    # On the first slice alone, and the method is as it was.
    assert method.trained == [(module.TRIAL_STEPS, [100])] and method.steps is None
    assert Budget(10, tmp_path).steps_of(rows, data) == {"timed": 20} and len(method.trained) == 1
    # Whatever slices are kept out, the steps are the same; of another size they are not.
    rows["timed"].settings["unseen"] = True
    Budget(10, tmp_path).steps_of(rows, data)
    assert len(method.trained) == 1
    rows["timed"].settings["size"] = 4
    assert Budget(10, tmp_path).steps_of(rows, data) == {"timed": 20} and len(method.trained) == 2
    content = json.loads((tmp_path / FILE).read_text())
    assert content["seconds"] == 10 and list(content["steps"].values()) == [20, 20]
    # With the file, steps are those of another machine.
    content["steps"] = dict.fromkeys(content["steps"], 7)
    (tmp_path / FILE).write_text(json.dumps(content))
    assert Budget(10, tmp_path).steps_of(rows, data) == {"timed": 7}


def test_what_is_wrong_is_said(tmp_path):
    for seconds in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="--seconds must be positive and finite"):
            Budget(seconds, tmp_path)
    (tmp_path / FILE).write_text('{"seconds": 5, "steps": {"a": 3}}')
    with pytest.raises(ValueError, match=r"is of --seconds 5 \(got 6\); go on with those"):
        Budget(6, tmp_path)
    for text in ("{", "[]", '{"seconds": 5}', '{"seconds": 5, "steps": [1]}'):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(ValueError, match="is damaged .*; remove it"):
            Budget(5, tmp_path)


def test_the_piece_is_the_middle_of_the_first_slice(data, monkeypatch):
    monkeypatch.setattr(module, "TRIAL_CELLS", 30)
    piece = trial_piece(data)
    assert [len(rows) for _, rows in piece.rows] == [30]
    pos = np.asarray(make_tissue().obsm["spatial"])[:100]
    far = np.linalg.norm(pos - np.median(pos, axis=0), axis=1)
    kept = np.asarray(piece.sources[0].obsm["spatial"])
    assert np.linalg.norm(kept - np.median(pos, axis=0), axis=1).max() == np.sort(far)[29]


@pytest.mark.parametrize("made", [
    lambda: SToFMFitted("tiny", CONFIG, device="cpu", num_workers=0),
    lambda: CellPLM("tiny", "cpu"),
    lambda: WithNeighbours(CellPLM, "tiny", "cpu"),
])  # fmt: skip
def test_methods_train_the_steps_that_are_set(data, made, monkeypatch):
    monkeypatch.setattr(module, "TRIAL_STEPS", 5)
    method = made()
    assert method.trains and seconds_of_step(method, data) > 0
    assert method.steps is None and method.info["steps"] == 5
    method.steps = 3
    first = method.embed(data)
    assert method.info["steps"] == 3 and method.info["train_seconds"] > 0
    again = made()
    again.steps = 3
    np.testing.assert_array_equal(first[0], again.embed(data)[0])


def test_without_steps_there_is_nothing_to_set():
    assert not Untrained("tiny").trains and not CellPLM("tiny", "cpu", checkpoint="folder").trains
    assert Pretrained("tiny").trains
