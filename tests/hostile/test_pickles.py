"""Files that would run code, or take memory, when they are read."""

import pickle
import struct

import pytest
import torch

from stofm_pyg.data import GeneVocab
from stofm_pyg.data.genes.pickles import read_pickled_dict
from stofm_pyg.datasets._slice_cache import load_slices
from stofm_pyg.models.cell_encoder.files import read_proj
from stofm_pyg.models.official.checkpoint import read_official_checkpoint
from stofm_pyg.train import Checkpoints
from tests.hostile.memory import refused_within


class Evil:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


READERS = {
    "table": lambda path: read_pickled_dict(path, int),
    "pooling": lambda path: read_proj(path, 4),
    "official": read_official_checkpoint,
    "checkpoint": lambda path: Checkpoints(path.parent).load_newest(),
    "cache": lambda path: load_slices(path),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("archive", [False, True])
def test_nothing_is_run(reader, archive, tmp_path, caplog):
    path, mark = tmp_path / "step-00000001.pt", tmp_path / "run"
    content = {"gene": Evil(mark), "weight": torch.zeros(2, 4)}
    if archive:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    if reader == "cache":
        assert load_slices(path) is None and "is made again" in caplog.text
    else:
        with pytest.raises(ValueError, match="."):
            READERS[reader](path)
    assert not mark.exists()


def test_a_vocabulary_that_would_run_something(tmp_path):
    for name in ("token_dictionary.pkl", "gene_median_dictionary.pkl", "gene_name_id_dict.pkl"):
        (tmp_path / name).write_bytes(pickle.dumps({"a": Evil(tmp_path / "run")}))
    with pytest.raises(ValueError, match="refused: it tries to import '.*open'"):
        GeneVocab.from_geneformer(tmp_path)
    assert not (tmp_path / "run").exists()


def test_room_for_billions_of_notes(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x02}r" + struct.pack("<I", 2**31 - 2) + b".")
    assert read_pickled_dict(path, int) == {}
    path.write_bytes(b"\x80\x04\x8e" + struct.pack("<Q", 2**38) + b"abc.")
    assert "cannot be read" in refused_within(lambda: read_pickled_dict(path, int))


def test_a_table_that_unfolds(tmp_path):
    nested = ["lol"] * 10
    for _ in range(12):
        nested = [nested] * 10
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"gene": nested}))
    told = refused_within(lambda: read_pickled_dict(path, str))
    assert "expected strings and values of type str" in told
