import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from stofm_pyg.data.readers.assemble import assemble, controls
from stofm_pyg.data.readers.format import Tissue


def found(genes, cells=("a", "b"), scale=None, **columns):
    table = pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, 5.0], **columns}, index=["b", "a"])
    counts = sparse.csr_matrix(np.arange(2 * len(genes)).reshape(2, -1))
    return Tissue(counts, pd.Index(cells), pd.DataFrame(index=genes), table, ("x", "y"), scale)


def test_parts_are_put_together():
    adata = assemble(found(["G1", "G2"], scale=0.5, area=[7, 8]), "Some")
    assert adata.obsm["spatial"].tolist() == [[1.0, 2.5], [0.5, 1.5]]
    assert adata.obs.to_dict("list") == {"area": [8, 7]} and adata.obs_names.tolist() == ["a", "b"]
    assert adata.X.toarray().tolist() == [[0, 1], [2, 3]] and adata.X.nnz == 3
    assert adata.uns == {"spatial_unit": "micron", "spatial_format": "Some"}
    assert assemble(found(["G1", "G2"]), "Some").uns["spatial_unit"] == "unknown"


def test_controls():
    names = ["Blank-1", "BLANK_0180", "NegControlProbe_1", "NegControlCodeword_2", "NegPrb3",
             "Negative4", "SystemControl5", "FalseCode6", "antisense_PROKR2", "UnassignedCodeword_1",
             "DeprecatedCodeword_1", "Intergenic_Region_7"]  # fmt: skip
    genes = ["NEGR1", "BLNK", "NELL1", "SYS1", "FALZ", "INTS1", "UNC5A", "DEPP1", "GAPDH"]
    assert (controls(pd.Index(names)) == "control probe").all()
    assert (controls(pd.Index(genes)) == "").all()


@pytest.mark.parametrize(
    "genes, names, note",
    [
        (["GRCh38_TP53", "GRCh38_MT-CO1"], ["TP53", "MT-CO1"], "prefix 'GRCh38' of genes taken off"),
        (["GRCh38_TP53", "mm10___Trp53"], None, "several genomes (GRCh38, mm10) keep their"),
        (["GRCh38_TP53", "ALB"], None, None),
        (["TBCE", "TBCE"], ["TBCE", "TBCE-1"], "1 repeated names of genes got a number"),
    ],
)
def test_names_of_genes(genes, names, note):
    tissue = found(genes)
    assert assemble(tissue, "Some").var_names.tolist() == (names or genes)
    assert len(tissue.notes) == (note is not None) and all(note in told for told in tissue.notes)


def test_cells_without_a_position():
    with pytest.raises(ValueError, match="1 of the 2 cells .* first 'c'; .* of 'b'. Are both"):
        assemble(found(["G"], cells=["a", "c"]), "Some")
    with pytest.raises(ValueError, match="names the cell 'a' twice"):
        assemble(found(["G"], cells=["a", "a"]), "Some")


def test_nothing_is_left():
    with pytest.raises(ValueError, match="None of the 2 features in 'Some' is a gene: 2 control probes"):
        assemble(found(["Blank-1", "NegPrb2"]), "Some")
    empty = found(["G1"])
    empty.counts, empty.cells = empty.counts[:0], empty.cells[:0]
    with pytest.raises(ValueError, match="'Some' holds no cell: is it whole"):
        assemble(empty, "Some")
