import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from stofm_pyg.data.column_names import column_names


def make():
    var = pd.DataFrame(
        {
            "gene_ids": ["ENSG1", None, " ENSG3 "],
            "kind": pd.Categorical(["b", "a", "b"]),
            "length": [1, 2, 3],
            "genome": ["GRCh38"] * 3,
        },
        index=["A", "B", "C"],
    )
    return AnnData(np.ones((2, 3)), var=var)


def test_var_names_and_columns_of_text():
    assert column_names(make()) == {
        "adata.var_names": ["A", "B", "C"],
        "adata.var['gene_ids']": ["ENSG1", "", "ENSG3"],
        "adata.var['kind']": ["b", "a", "b"],
    }


def test_one_column():
    assert column_names(make(), "length") == {"adata.var['length']": ["1", "2", "3"]}


def test_unknown_column():
    with pytest.raises(ValueError, match="Did you mean 'gene_ids'"):
        column_names(make(), "gene_id")
