import anndata
import pytest
from PIL import Image

from stofm_pyg.cli import main
from stofm_pyg.commands.pictures import PICTURES, Drawn
from stofm_pyg.data import SliceSettings
from stofm_pyg.models import SToFM
from tests.models.fit_case import make_tissue


def plot(*args):
    return main(["plot", *map(str, args)])


@pytest.fixture(scope="module")
def found(files, tmp_path_factory):
    """A file with embeddings and domains."""
    adata, model = make_tissue(), SToFM.from_pretrained(files.model)
    model.embed(adata)
    model.domains(adata, n=3)
    path = tmp_path_factory.mktemp("found") / "found.h5ad"
    adata.write_h5ad(path)
    return path


def test_all_that_can_be_drawn(files, found, tmp_path):
    out = tmp_path / "new" / "pictures"
    assert plot(found, "--out", out, "--truth", "domain", "--model", files.model) == 0
    expected = {"domains", "truth", "confusion", "umap", "composition", "markers", "attention", "pair"}
    assert {path.name for path in out.iterdir()} == {f"{name}.png" for name in expected}
    for path in out.iterdir():
        with Image.open(path) as picture:
            assert min(picture.size) > 200 and len(picture.convert("RGB").getcolors(10**6)) > 20


def test_named_ones(files, found, tmp_path):
    what = "graph,virtual_cells,subpatches"
    args = ["--what", what, "--format", "svg", "--radius", 2.5, "--max-clusters", 8, "--num-features", 5]
    assert plot(found, "--out", tmp_path / "a", *args) == 0
    args = ["--what", what, "--format", "svg", "--model", files.model]
    assert plot(found, "--out", tmp_path / "b", *args) == 0
    for name in what.split(","):
        for folder in "ab":
            assert "</svg>" in (tmp_path / folder / f"{name}.svg").read_text()
    graphs = [(tmp_path / folder / "graph.svg").read_text() for folder in "ab"]
    assert abs(graphs[0].count("<path") - graphs[1].count("<path")) < 5


def test_curves_of_a_run(files, tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path / "run" / "tensorboard" / "stage_1")) as writer:
        for step in range(5):
            writer.add_scalar("train/loss", 1.0 / (1 + step), step)
    assert plot(files.tissue, "--out", tmp_path, "--run", tmp_path / "run", "--what", "curves") == 0
    assert (tmp_path / "curves.png").stat().st_size > 5000


def test_html(found, tmp_path):
    pytest.importorskip("bokeh", reason="bokeh comes with the extra 'html'")
    assert plot(found, "--out", tmp_path, "--what", "html") == 0
    assert "stofm_domain" in (tmp_path / "html.html").read_text()


def test_what_is_compared_with_the_truth():
    adata = make_tissue()
    drawn = Drawn(adata, SliceSettings(), {}, truth="domain")
    assert drawn.predicted == "stofm_domain"
    adata.obs["stofm_cell_type"] = adata.obs["cell_type"]
    drawn.truth = "cell_type"
    assert drawn.predicted == "stofm_cell_type" and PICTURES["truth"].lacks(drawn) is None
    drawn.prediction = "other"
    assert drawn.predicted == "other"
    assert PICTURES["truth"].lacks(drawn) == "no column 'other' in obs"


def test_without_slices(tmp_path):
    adata = make_tissue()
    del adata.obs["slice"]
    adata = adata[:100].copy()
    adata.obs["stofm_domain"] = adata.obs["domain"]
    adata.write_h5ad(tmp_path / "one.h5ad")
    assert plot(tmp_path / "one.h5ad", "--out", tmp_path, "--what", "domains") == 0
    drawn = Drawn(anndata.read_h5ad(tmp_path / "one.h5ad"), SliceSettings(), {})
    assert drawn.where == {"slice_key": None, "spatial_key": "spatial", "microns_per_unit": None}
    drawn.adata.uns["spatial_unit"] = "micron"
    assert drawn.where["microns_per_unit"] == 1.0


def test_bad_input(files, found, tmp_path, capsys):
    (tmp_path / "domains.png").write_bytes(b"mine")
    for args, words in (
        (
            [found, "--out", tmp_path, "--what", "domain"],
            "--what domain: there is no such picture; known: domains",
        ),
        (
            [files.tissue, "--out", tmp_path],
            "has nothing to draw (domains: no column 'stofm_domain' in obs",
        ),
        ([files.tissue, "--out", tmp_path, "--what", "umap"], "draw umap (no 'X_stofm' in obsm)"),
        (
            [found, "--out", tmp_path, "--what", "attention,curves"],
            "attention (no --model), curves (no --run)",
        ),
        ([found, "--out", tmp_path, "--what", "domains"], "is there already"),
        ([found, "--out", found], "is a file; name a folder"),
    ):
        assert plot(*args) == 2
        error = capsys.readouterr().err
        assert words in error and "Traceback" not in error
    assert (tmp_path / "domains.png").read_bytes() == b"mine"
    assert plot(found, "--out", tmp_path, "--what", "domains", "--overwrite") == 0
    assert (tmp_path / "domains.png").read_bytes() != b"mine"
