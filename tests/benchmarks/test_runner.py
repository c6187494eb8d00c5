import json

import pytest
from PIL import Image

from benchmarks.data_sets import DataSet
from benchmarks.runner import Unsuited, run_all, run_task
from benchmarks.tasks import TASKS, task
from tests.benchmarks.task_case import Counting, make_args
from tests.models.fit_case import make_tissue


@pytest.fixture(autouse=True)
def counting(monkeypatch):
    monkeypatch.setitem(TASKS, "counting", Counting)
    monkeypatch.setattr(Counting, "ran", [])


@pytest.fixture
def quick(monkeypatch):
    """Memory is not measured, which takes longer than these rows."""
    monkeypatch.setattr(task, "peak", lambda reset=False: 11.0)


def results_of(out):
    return json.loads((out / "results.json").read_text())


def test_each_row_with_each_seed(tmp_path, capsys, quick):
    assert run_task(make_args(tmp_path)) == 0
    # What sees no seed is run once.
    assert Counting.ran == [(0, 0), (1, 0), (1, 1)]
    results = results_of(tmp_path)
    runs = results["results"]
    assert [(run["method"], run["seed"], run["score"]) for run in runs] == [
        ("first", 0, 0.5), ("second", 0, 1.5), ("second", 1, 1.6),
    ]  # fmt: skip
    assert runs[2]["slices"]["b"] == {"score": 2.1, "error": -1.1} and runs[2]["more"] == [1]
    assert results["finished"] and results["hashes"] == ["content"] and results["versions"]["torch"]
    assert results["summary"]["second"]["score"] == {
        "mean": pytest.approx(1.55),
        "std": pytest.approx(0.05),
    }
    assert all(run["peak_mib"] == 11.0 for run in runs)
    with Image.open(tmp_path / "pictures" / "second-score.png") as picture:
        assert picture.getpixel((0, 0)) == (100, 0, 0)
    assert "| error ↓ |" in capsys.readouterr().out
    assert "Counted `by hand`." in (tmp_path / "results.md").read_text()


def test_it_goes_on_where_it_stopped(tmp_path, quick):
    with pytest.raises(ValueError, match="a row that breaks"):
        run_task(make_args(tmp_path, breaks=(1, 1)))
    assert Counting.ran == [(0, 0), (1, 0)] and not results_of(tmp_path)["finished"]
    run_task(make_args(tmp_path))
    assert Counting.ran == [(0, 0), (1, 0), (1, 1)]
    kept = results_of(tmp_path)["results"]
    run_task(make_args(tmp_path, runs=3, method="first,second,third"))
    # More seeds and rows are added; the rows of one seed stand together.
    assert Counting.ran[3:] == [(2, 0), (2, 1), (1, 2), (2, 2)]
    runs = results_of(tmp_path)["results"]
    assert [run["seed"] for run in runs] == [0, 0, 0, 1, 1, 2, 2]
    assert [run for run in runs if run["method"] == "second"][:2] == kept[1:]
    assert [run["method"] for run in runs[:3]] == ["first", "second", "third"]
    Counting.ran.clear()
    run_task(make_args(tmp_path, fresh=True, runs=1))
    assert Counting.ran == [(0, 0), (1, 0)] and len(results_of(tmp_path)["results"]) == 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"preset": "small"}, 'preset "tiny" there, "small" now'),
        ({"seed": 3}, "seed 0 there, 3 now"),
        ({"content": "other"}, r'hashes \["content"\] there, \["other"\] now'),
        ({"option": 2}, 'row \'first\' {"option": 1} there, {"option": 2} now'),
    ],
)
def test_other_settings_are_refused(tmp_path, changes, told, quick):
    run_task(make_args(tmp_path, runs=1))
    before = (tmp_path / "results.json").read_text()
    with pytest.raises(ValueError, match=f"holds a run with other settings: {told}.*--fresh"):
        run_task(make_args(tmp_path, runs=1, **changes))
    assert (tmp_path / "results.json").read_text() == before
    run_task(make_args(tmp_path, runs=1, fresh=True, **changes))


def test_damaged_results_are_an_error(tmp_path, quick):
    (tmp_path / "results.json").write_text('{"results": [')
    with pytest.raises(ValueError, match="is damaged or no file of this benchmark; pass --fresh"):
        run_task(make_args(tmp_path))
    run_task(make_args(tmp_path, fresh=True))


def test_options_that_do_not_go_with_a_task(tmp_path, quick):
    with pytest.raises(ValueError, match="--runs must be at least 1"):
        run_task(make_args(tmp_path, runs=0))
    with pytest.raises(ValueError, match="--jobs must be at least 1"):
        run_task(make_args(tmp_path, jobs=0))
    with pytest.raises(ValueError, match="divides no cells; leave out --split"):
        run_task(make_args(tmp_path, split="within"))
    with pytest.raises(Unsuited, match="the label does not suit"):
        run_task(make_args(tmp_path, label="unsuited"))


def test_a_score_that_is_missing_is_an_error(tmp_path, monkeypatch, quick):
    monkeypatch.setattr(Counting, "metrics", ("score", "recall"))
    with pytest.raises(ValueError, match="gave no 'recall' but .*'error', 'score'"):
        run_task(make_args(tmp_path))


class Labelled(Counting):
    name = "labelled"

    def prepare(self):
        raise ValueError("'cell_type' is not in 'adata.obs'")


def test_all_tasks_on_several_data_sets(tmp_path, monkeypatch, capsys, quick):
    for name in list(TASKS):
        monkeypatch.delitem(TASKS, name)
    monkeypatch.setitem(TASKS, "counting", Counting)
    monkeypatch.setitem(TASKS, "labelled", Labelled)
    sets = [DataSet("one"), DataSet("two", tasks=("counting",)), DataSet("three", tasks=("labelled",))]
    assert run_all(make_args(tmp_path, task="all"), sets) == 0
    assert results_of(tmp_path / "one" / "counting")["finished"]
    assert results_of(tmp_path / "two" / "counting")["finished"]
    assert not (tmp_path / "one" / "labelled" / "results.json").exists()
    out = capsys.readouterr().out
    assert out.count("left out: 'cell_type' is not in 'adata.obs'") == 2
    page = (tmp_path / "report.md").read_text()
    assert "## counting: one" in page and "## counting: two" in page
    with pytest.raises(ValueError, match="No task was run to its end"):
        run_all(make_args(tmp_path / "c", task="all"), sets[2:])


def test_a_row_that_breaks_does_not_take_other_tasks_with_it(tmp_path, monkeypatch, capsys, quick):
    class Breaking(Counting):
        name = "breaking"

        def run_row(self, row, seed):
            raise ValueError("no such luck")

    for name in list(TASKS):
        monkeypatch.delitem(TASKS, name)
    monkeypatch.setitem(TASKS, "breaking", Breaking)
    monkeypatch.setitem(TASKS, "counting", Counting)
    assert run_all(make_args(tmp_path, task="all"), [DataSet("generated")]) == 2
    assert "error: no such luck" in capsys.readouterr().err
    assert results_of(tmp_path / "counting")["finished"]


def test_rows_side_by_side_give_the_same(tmp_path):
    make_tissue().write_h5ad(tmp_path / "tissue.h5ad")
    options = {"task": "segmentation", "data": [str(tmp_path / "tissue.h5ad")], "runs": 1}
    options["method"] = "pca,coordinates"
    assert run_task(make_args(tmp_path / "one", **options)) == 0
    assert run_task(make_args(tmp_path / "two", jobs=2, **options)) == 0
    one, two = (results_of(tmp_path / name) for name in ("one", "two"))
    timed = ("seconds", "peak_mib")
    for a, b in zip(one["results"], two["results"], strict=True):
        assert {k: v for k, v in a.items() if k not in timed} == {
            k: v for k, v in b.items() if k not in timed
        }
        assert b["peak_mib"] is None or b["peak_mib"] > 10
    assert len(list((tmp_path / "two" / "pictures").iterdir())) == 6
