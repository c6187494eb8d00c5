import os

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from stofm_pyg.data.tokens.cell_tokens import CellTokens

CELLS = [[7, 3, 9], [], [7], [2, 2]]


def make(cells, fingerprint=None):
    lengths = torch.tensor([0] + [len(cell) for cell in cells])
    flat = torch.tensor([token for cell in cells for token in cell], dtype=torch.int32)
    return CellTokens(flat, lengths.cumsum(0), fingerprint)


def lists(tokens):
    return [tokens[i].tolist() for i in range(len(tokens))]


ragged = st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=5), max_size=8)


def test_what_it_holds():
    tokens = make(CELLS, "abc")
    assert tokens.tokens.dtype == torch.int32 and tokens.ptr.dtype == torch.int64
    assert tokens.num_cells == len(tokens) == 4
    assert tokens.lengths.tolist() == [3, 0, 1, 2]
    assert lists(tokens) == [cell.tolist() for cell in tokens] == CELLS
    assert str(tokens) == "CellTokens(num_cells=4, num_tokens=6)"
    empty = make([])
    assert len(empty) == 0 and list(empty) == [] and len(empty[[]]) == 0


def test_one_cell_is_a_view():
    tokens = make(CELLS)
    for index in (0, -4, np.int64(0)):
        assert tokens[index].tolist() == [7, 3, 9]
    assert tokens[0].data_ptr() == tokens.tokens.data_ptr()
    assert tokens[1:].tokens.data_ptr() == tokens.tokens[3:].data_ptr()
    for index in (4, -5):
        with pytest.raises(IndexError, match=f"no cell {index}: there are 4 cells"):
            tokens[index]


@given(cells=ragged, data=st.data())
def test_choosing_cells(cells, data):
    tokens = make(cells, "abc")
    part = data.draw(st.slices(len(cells)))
    assert lists(tokens[part]) == cells[part]
    index = data.draw(st.lists(st.integers(-len(cells), len(cells) - 1)) if cells else st.just([]))
    for chosen in (index, np.array(index, dtype=np.int32), torch.tensor(index, dtype=torch.int64)):
        assert lists(tokens[chosen]) == [cells[i] for i in index]
        assert tokens[chosen].fingerprint == "abc"
    mask = data.draw(st.lists(st.booleans(), min_size=len(cells), max_size=len(cells)))
    kept = [cell for cell, keep in zip(cells, mask, strict=True) if keep]
    assert lists(tokens[np.array(mask, dtype=bool)]) == kept


def test_wrong_choices():
    tokens = make(CELLS)
    with pytest.raises(IndexError, match="no cell 4"):
        tokens[[0, 4]]
    with pytest.raises(IndexError, match="no cell -5"):
        tokens[np.array([-5])]
    with pytest.raises(IndexError, match="mask of 3 for 4 cells"):
        tokens[[True, False, True]]
    for wrong in ([0.5], [[0, 1]], np.array([[0]])):
        with pytest.raises(TypeError, match="Cells are chosen by"):
            tokens[wrong]
    with pytest.raises(TypeError, match="Cells are chosen by"):
        tokens[True]


@given(cells=ragged, limit=st.integers(1, 6))
def test_truncate(cells, limit):
    tokens = make(cells, "abc")
    short = tokens.truncate(limit)
    assert lists(short) == [cell[:limit] for cell in cells]
    assert short.fingerprint == "abc"
    if all(len(cell) <= limit for cell in cells):
        assert short is tokens


def test_truncate_keeps_at_least_one():
    with pytest.raises(ValueError, match="'max_length' must be at least 1, got 0"):
        make(CELLS).truncate(0)


@given(parts=st.lists(ragged, min_size=1, max_size=4))
def test_concat(parts):
    joined = CellTokens.concat([make(part) for part in parts])
    assert lists(joined) == [cell for part in parts for cell in part]


def test_concat_keeps_vocabularies_apart():
    joined = CellTokens.concat([make(CELLS), make(CELLS, "abc")])
    assert joined.fingerprint == "abc"
    with pytest.raises(ValueError, match=r"different vocabularies \(abc, xyz\)"):
        CellTokens.concat([make(CELLS, "xyz"), make(CELLS, "abc")])
    with pytest.raises(ValueError, match="Nothing to join"):
        CellTokens.concat([])


@pytest.mark.parametrize("ptr", [[0, 3, 2, 6], [1, 6], [0, 5], [0, 7], []])
def test_pointers_that_do_not_fit(ptr):
    with pytest.raises(ValueError, match=r"'ptr' must rise from 0 to the number of tokens \(6\), got"):
        CellTokens(torch.zeros(6, dtype=torch.int32), torch.tensor(ptr, dtype=torch.int64))


def test_types_that_do_not_fit():
    ptr = torch.tensor([0, 1])
    assert CellTokens(torch.tensor([5]), ptr.int()).tokens.dtype == torch.int32
    with pytest.raises(TypeError, match="'tokens' must be .* integers, got torch.float32"):
        CellTokens(torch.tensor([1.0]), ptr)
    with pytest.raises(TypeError, match=r"'tokens' must be .* of shape \[1, 1\]"):
        CellTokens(torch.tensor([[1]]), ptr)
    with pytest.raises(ValueError, match=r"'tokens' holds values that do not fit .*\[4294967296\]"):
        CellTokens(torch.tensor([2**32]), ptr)


@pytest.mark.parametrize("fingerprint", [None, "abc"])
@pytest.mark.parametrize("cells", [CELLS, [], [[]]])
def test_save_and_load(cells, fingerprint, tmp_path):
    path = tmp_path / "new" / "cells.safetensors"
    make(cells, fingerprint).save(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["cells.safetensors"]
    loaded = CellTokens.load(str(path))
    assert lists(loaded) == cells and loaded.fingerprint == fingerprint
    assert loaded.tokens.dtype == torch.int32 and loaded.ptr.dtype == torch.int64
    loaded[::-1].save(path)  # Over the file that it is mapped from.
    assert lists(CellTokens.load(path)) == cells[::-1] and lists(loaded) == cells


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "cells.safetensors"
    make(CELLS).save(path)

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        make([[1]]).save(path)
    assert lists(CellTokens.load(path)) == CELLS
    assert len(list(tmp_path.iterdir())) == 1


def test_every_truncated_file_is_noticed(tmp_path):
    path = tmp_path / "cells.safetensors"
    make(CELLS).save(path)
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=rf"\({size:,} bytes\) cannot be read: .*Make it again"):
            CellTokens.load(path)


def test_other_files(tmp_path):
    path = tmp_path / "cells.safetensors"
    with pytest.raises(FileNotFoundError, match="no file '.*cells.safetensors'"):
        CellTokens.load(path)
    make(CELLS).save(path)
    tensors = load_file(path)
    ours = {"format": "stofm_pyg.CellTokens", "version": "1"}

    save_file(tensors, path)
    with pytest.raises(ValueError, match=r"holds \['ptr', 'tokens'\] and no tokens of cells"):
        CellTokens.load(path)
    save_file({"weight": tensors["ptr"]}, path, ours)
    with pytest.raises(ValueError, match=r"holds \['weight'\] and no tokens of cells"):
        CellTokens.load(path)
    save_file(tensors, path, ours | {"version": "2"})
    with pytest.raises(ValueError, match="has version '2' of the format.*reads version '1'"):
        CellTokens.load(path)
    save_file(tensors | {"ptr": tensors["ptr"] + 1}, path, ours)
    with pytest.raises(ValueError, match="cells.safetensors' is damaged: 'ptr' must rise from 0"):
        CellTokens.load(path)
