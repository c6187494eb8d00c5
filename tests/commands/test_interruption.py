"""Ctrl-C and SIGTERM, wherever they hit."""

import os
import signal
import threading

import anndata
import pytest

from stofm_pyg import train
from stofm_pyg.cli import main
from stofm_pyg.commands.interruption import EXIT_TERMINATED, Terminated, ended_by_sigterm
from stofm_pyg.commands.stop import Stop
from stofm_pyg.models import SToFM


@pytest.fixture(autouse=True)
def as_in_a_terminal():
    """What runs in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_one_is_noted(number, status):
    before = signal.getsignal(number)
    with Stop() as stop:
        assert not stop() and stop.status == 143
        os.kill(os.getpid(), number)
        assert stop() and stop.status == status
    assert signal.getsignal(number) is before


def test_the_second_ctrl_c_does_not_wait():
    with Stop() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert stop.status == 130


def test_told_to_end():
    assert EXIT_TERMINATED == train.EXIT_TERMINATED
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), ended_by_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
    thread = threading.Thread(target=lambda: ended_by_sigterm().__enter__())
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("number", "status", "words"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "told to end")],
)
def test_while_a_file_is_written(files, tmp_path, monkeypatch, capsys, number, status, words):
    write = anndata.AnnData.write_h5ad

    def hit(self, path, **kwargs):
        write(self, path)
        os.kill(os.getpid(), number)

    monkeypatch.setattr(SToFM, "embed", lambda self, adata, **kwargs: adata)
    monkeypatch.setattr(anndata.AnnData, "write_h5ad", hit)
    out = tmp_path / "out.h5ad"
    assert main(["embed", str(files.model), str(files.tissue), "--out", str(out)]) == status
    assert capsys.readouterr().err.strip().splitlines()[-1] == words
    assert list(tmp_path.iterdir()) == []
