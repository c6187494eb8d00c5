import importlib.util
import sys

import pandas as pd
import pytest

from stofm_pyg.data import read
from stofm_pyg.data.readers import xenium

HAS_PYARROW = importlib.util.find_spec("pyarrow") is not None


@pytest.mark.parametrize("options", [{"mtx": True}, {"controls": False}, {"parquet": True}])
def test_layouts(write, tissue, tmp_path, caplog, options):
    if options.get("parquet") and not HAS_PYARROW:
        pytest.skip("Parquet is written with pyarrow, which is not installed")
    with caplog.at_level("INFO", "stofm_pyg.data.readers"):
        adata = read(write("Xenium", tmp_path / "a", **options))
    tissue.check(adata, 1e-9)
    assert adata.obs_names[0] == "aaaa0-1" and adata.obs["cell_area"].iloc[2] == 22.5
    assert adata.var["gene_ids"].str.startswith("ENSG").all()
    assert ("3 control probes left out" in caplog.text) == options.get("controls", True)


def test_text_in_the_place_of_parquet(write, tissue, tmp_path, monkeypatch):
    folder = write("Xenium", tmp_path / "a")
    (folder / "cells.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(xenium, "find_spec", lambda name: None)
    tissue.check(read(folder))
    (folder / "cells.csv.gz").unlink()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"'cells.parquet'.*stofm-pyg\[readers\]"):
        read(folder)


def test_numbers_as_names(write, tissue, tmp_path):
    folder = write("Xenium", tmp_path / "a")
    table = pd.read_csv(folder / "cells.csv.gz")
    table["cell_id"] = range(1, 50)
    table.to_csv(folder / "cells.csv.gz", index=False)
    with pytest.raises(ValueError, match="49 of the 49 .* 'aaaa0-1'; the first position is of '1'"):
        read(folder)


def test_truncated(write, tmp_path):
    folder = write("Xenium", tmp_path / "a")
    path = folder / "cells.csv.gz"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"cells.csv.gz' \([\d,]+ bytes\) cannot be read"):
        read(folder)
