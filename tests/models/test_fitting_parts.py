import logging

import pytest
import torch

import stofm_pyg.models.stofm
from stofm_pyg.models.fitting_parts import FEWEST_CELLS, FittingParts
from tests.models.fit_case import fitted, make_tissue


def memory_for(most, calls):
    """Runs out of memory where a batch holds more than so many cells."""

    def function(cells_per_part, batch_size):
        calls.append((cells_per_part, batch_size))
        if cells_per_part * batch_size > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return cells_per_part

    return function


def test_batches_shrink_before_parts(caplog):
    parts, calls = FittingParts(1000, 4), []
    assert parts.run(memory_for(300, calls)) == 250
    assert calls == [(1000, 4), (1000, 2), (1000, 1), (500, 1), (250, 1)]
    (record,) = caplog.records
    assert "too small for parts of 1000 cells" in record.message
    assert "cells_per_part=250" in record.message
    # The next slice begins with what did fit, and nothing is said again.
    assert parts.run(memory_for(300, calls)) == 250 and calls[-2:] == [(250, 1), (250, 1)]
    assert len(caplog.records) == 1


def test_a_smaller_batch_says_nothing(caplog):
    assert FittingParts(1000, 4).run(memory_for(2000, [])) == 1000
    assert caplog.records == []


def test_nothing_fits():
    parts, calls = FittingParts(120, 1), []
    with pytest.raises(torch.OutOfMemoryError):
        parts.run(memory_for(10, calls))
    assert calls == [(120, 1), (60, 1), (FEWEST_CELLS, 1)]


def test_other_errors_are_raised_at_once():
    calls = []

    def function(cells_per_part, batch_size):
        calls.append(cells_per_part)
        raise RuntimeError("of another kind")

    with pytest.raises(RuntimeError, match="of another kind"):
        FittingParts(1000, 2).run(function)
    assert calls == [1000]


def test_embeddings_are_those_of_the_parts_that_fit(monkeypatch, caplog, capfd):
    tissue, model, real = make_tissue(1, 300), fitted(), stofm_pyg.models.stofm.embed_slice
    small = model.embed(tissue, cells_per_part=75, key_added=None)
    tried = []

    def embed_slice(model, data, read_out, cells_per_part, *args, **options):
        tried.append(cells_per_part)
        out = real(model, data, read_out, cells_per_part, *args, **options)
        if cells_per_part > 80:  # After all is done, so that the bar has gone on.
            raise torch.OutOfMemoryError("CUDA out of memory")
        return out

    monkeypatch.setattr(stofm_pyg.models.stofm, "embed_slice", embed_slice)
    capfd.readouterr()
    with caplog.at_level(logging.WARNING):
        out = model.embed(tissue, cells_per_part=300, key_added=None, progress=True)
    assert tried == [300, 150, 75] and torch.equal(out, small)
    assert [record.message for record in caplog.records if "cells_per_part=75" in record.message]
    bar = capfd.readouterr().err.strip().split("\r")[-1]
    assert bar.startswith("Embedding: 100%") and " 300/300 " in bar
