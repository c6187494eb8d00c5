import anndata
import numpy as np
import pytest
from scipy import sparse

from stofm_pyg.commands.read_cells import read_cells, read_vocab
from stofm_pyg.data import GeneVocab


def write(path, names, counts):
    adata = anndata.AnnData(sparse.csr_matrix(np.array(counts, dtype="float32")))
    adata.var_names = names
    adata.write_h5ad(path)
    return str(path)


def test_slices_come_in_their_order(tmp_path):
    one = write(tmp_path / "a.h5ad", ["A", "B"], [[3, 1], [0, 2]])
    two = write(tmp_path / "b.h5ad", ["B", "C"], [[1, 5]])
    vocab = read_vocab("slices", [one, two])
    a, b, c = (vocab.token_ids[gene] for gene in "ABC")
    cells = read_cells([two, one], vocab, 10)
    assert [set(cells[i].tolist()) - {vocab.cls_token_id} for i in range(3)] == [{b, c}, {a, b}, {b}]
    assert cells.fingerprint == vocab.fingerprint
    assert read_cells([two], vocab, 2).lengths.tolist() == [2]


def test_a_saved_vocabulary(tmp_path):
    one = write(tmp_path / "a.h5ad", ["A", "B"], [[3, 1], [0, 2]])
    GeneVocab.from_slices([one]).save(tmp_path / "v.json")
    assert read_vocab(str(tmp_path / "v.json"), []) == GeneVocab.from_slices([one])


def test_orthologues(tmp_path):
    human = {"ENSG00000000001": 2, "ENSG00000000002": 3}
    vocab = GeneVocab(human, dict.fromkeys(human, 1.0))
    mouse = ["ENSMUSG00000000011", "ENSMUSG00000000012"]
    path = write(tmp_path / "m.h5ad", mouse, [[1, 4]])
    (tmp_path / "table.csv").write_text(
        "mouse,human\n" + "".join(f"{m},{h}\n" for m, h in zip(mouse, human, strict=True))
    )
    cells = read_cells([path], vocab, 10, orthologues=str(tmp_path / "table.csv"))
    assert cells.tokens.tolist() == [vocab.cls_token_id, 3, 2]


def test_neither_file_nor_folder(tmp_path):
    with pytest.raises((FileNotFoundError, ValueError)):
        read_vocab(str(tmp_path), [])
