import json

import matplotlib
import pytest

from tests.examples.examples_case import EXAMPLES

PATH = EXAMPLES / "quick_start.ipynb"


def read_cells():
    content = json.loads(PATH.read_text(encoding="utf-8"))
    assert content["nbformat"] == 4
    return content["cells"]


def test_outputs_are_cleared():
    cells = read_cells()
    assert len({cell["id"] for cell in cells}) == len(cells)
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 5
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_cells_run(monkeypatch, capsys):
    """Cell after cell in one namespace, smaller than as it stands."""
    monkeypatch.setattr(matplotlib, "interactive", lambda on: None)
    matplotlib.use("agg")
    names = {"__name__": "__main__"}
    for cell in read_cells():
        if cell["cell_type"] == "code":
            source = "".join(cell["source"]).replace("cells_per_slice=500", "cells_per_slice=120")
            source = source.replace('preset="tiny"', 'preset="tiny", config=SMALL, device="cpu"')
            names["SMALL"] = {"stage_1": {"max_steps": 4}}
            exec(compile(source, cell["id"], "exec"), names)
    adata = names["adata"]
    assert adata.n_obs == 240 and adata.obsm["X_stofm"].shape[0] == 240
    assert adata.obs["stofm_domain"].nunique() == 6
    assert -1 <= names["score"] <= 1
    assert f"adjusted Rand index: {names['score']:.2f}" in capsys.readouterr().out
    assert [ax.get_title() for ax in names["axes"]] == ["stofm_domain", "domain"]
    assert all(len(ax.collections) > 0 for ax in names["axes"])
    assert len(names["slices"]) == 2
    names["plt"].close("all")


def test_in_a_kernel():
    nbformat = pytest.importorskip("nbformat", reason="needs nbclient and ipykernel")
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient and ipykernel")
    pytest.importorskip("ipykernel", reason="needs nbclient and ipykernel")
    notebook = nbformat.read(PATH, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        cell.source = cell.source.replace("cells_per_slice=500", "cells_per_slice=120")
        cell.source = cell.source.replace(
            'preset="tiny"', 'preset="tiny", config={"stage_1": {"max_steps": 4}}'
        )
    notebook.metadata.kernelspec.name = "python3"
    client = nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3")
    client.execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    data = [output.get("data", {}) for cell in code for output in cell.outputs]
    assert sum("image/png" in item for item in data) == 1
    assert "src='data:image/png;base64," in data[-1]["text/html"]
