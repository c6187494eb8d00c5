import logging
from pathlib import Path

import pytest

from stofm_pyg.train.pretraining.run import PretrainRun, held_out_names
from tests.train.pretrain_case import make_config


def test_slices_are_dealt(corpus, tmp_path):
    run = PretrainRun(corpus, make_config(held_out=[corpus.names[1]]), tmp_path)
    assert run.held_out.names == [corpus.names[1]]
    assert run.train.names == [corpus.names[0], corpus.names[2]]
    none = PretrainRun(corpus, make_config(held_out=0), tmp_path)
    assert len(none.held_out) == 0 and none.train.names == corpus.names
    assert run.first and run.share == (0, 1) and not run.sharded and run.any(True) and not run.any(False)


def test_a_number_means_the_last_ones(corpus):
    assert held_out_names(corpus, 2) == corpus.names[1:]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (0, r"got 0 of 3 slices"),
        (3, r"got 3 of 3 slices"),
        ([], "names 0 of 3 slices"),
        (["tissue:0", "tissue:1", "tissue:2"], "names 3 of 3 slices"),
    ],
)
def test_nothing_to_train_or_test_on(corpus, wanted, words):
    wanted = corpus.names if isinstance(wanted, list) and len(wanted) == 3 else wanted
    with pytest.raises(ValueError, match=words):
        held_out_names(corpus, wanted)


def test_an_unknown_slice(corpus):
    with pytest.raises((KeyError, ValueError), match="nowhere"):
        held_out_names(corpus, ["nowhere"])


def test_another_run_is_noticed(corpus, tmp_path):
    run = PretrainRun(corpus, make_config(), tmp_path)
    run.check(run.marks(), tmp_path)
    other = PretrainRun(corpus, make_config(stage_1={"lr": 0.5}, seed=1), tmp_path)
    with pytest.raises(ValueError, match=r"another run \(.*stage_1.lr 0.01 -> 0.5, .*seed 0 -> 1\)"):
        other.check(run.marks(), Path("here"))
    other = PretrainRun(corpus, make_config(), tmp_path, began_with={"cell_encoder": "abc"})
    with pytest.raises(ValueError, match=r"another run \(cell_encoder None -> abc\)"):
        other.check(run.marks(), Path("here"))
    less = PretrainRun(corpus.select(corpus.names[:2]), make_config(), tmp_path)
    with pytest.raises(ValueError, match="another run .corpus "):
        less.check(run.marks(), Path("here"))
    assert logging.getLogger("stofm_pyg").level == logging.NOTSET
