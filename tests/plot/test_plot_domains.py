import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from torch_geometric.data import Batch, Data

from stofm_pyg.data import Keys
from stofm_pyg.plot import class_colors, plot_confusion, plot_domains, plot_truth_and_prediction
from tests.plot.plot_case import PNG, POS, dots, legend_texts, piece, scale_bar, small_tissue


@pytest.mark.parametrize(("num_slices", "shape"), [(1, (1, 1)), (3, (1, 3)), (7, (3, 3))])
def test_domains(tmp_path, figures, num_slices, shape):
    slices = [piece(f"slice {number}") for number in range(num_slices)]
    for given_slice in slices:
        del given_slice["truth"]
    plot_domains(slices, str(tmp_path / "domains.png"))
    assert (tmp_path / "domains.png").read_bytes()[:8] == PNG
    axes = figures[0].axes
    assert [ax.get_title() for ax in axes] == [f"slice {number}" for number in range(num_slices)]
    assert axes[0].get_gridspec().get_geometry() == shape
    found = dots(axes[-1])
    for pos, value in zip(POS.tolist(), [0, 2, 2, 1, 1], strict=True):
        assert found[tuple(pos)][:4] == tuple(class_colors(3)[value])
    assert legend_texts(figures[0].legends[0]) == ["a", "b", "c"]


def test_legend_does_not_cover_panels(tmp_path, figures):
    classes = [f"a class with a long name {number}" for number in range(25)]
    plot_domains([piece(classes=classes), piece("s2", classes=classes)], tmp_path / "domains.png")
    (figure,) = figures
    legend = figure.legends[0].get_window_extent()
    for ax in figure.axes:
        assert ax.get_window_extent().width > 250 and ax.get_window_extent().x1 <= legend.x0
    longest = max(legend_texts(figure.legends[0]), key=len)
    assert len(longest) == 24 and "…" in longest


@pytest.mark.parametrize(("name", "start"), [("a.pdf", b"%PDF"), ("a.svg", b"<?xml")])
def test_other_formats(tmp_path, name, start):
    plot_domains([piece()], tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)


def test_a_full_disk_leaves_the_old_picture(tmp_path, monkeypatch):
    path = tmp_path / "confusion.png"
    plot_confusion([[1]], ["a"], path)
    before = path.read_bytes()

    def full(self, part, **kwargs):
        part.write_bytes(PNG)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    for draw in (
        lambda: plot_confusion([[2]], ["a"], path),
        lambda: plot_domains([piece()], tmp_path / "domains.png"),
        lambda: plot_truth_and_prediction([piece()], tmp_path / "both.png"),
    ):
        with pytest.raises(OSError, match="No space left"):
            draw()
    assert [file.name for file in tmp_path.iterdir()] == ["confusion.png"]
    assert path.read_bytes() == before


def test_bad_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder '.*absent' for the picture 'a.png'"):
        plot_domains([piece()], tmp_path / "absent" / "a.png")
    with pytest.raises(ValueError, match="a.jpeg' does not end in .png, .pdf or .svg"):
        plot_confusion([[1]], ["a"], tmp_path / "a.jpeg")


def test_bad_slices(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(ValueError, match="no slice to draw; pass at least one"):
        plot_domains([], path)
    with pytest.raises(ValueError, match="Slice 1 has no 'truth' but .*; add it"):
        without = {key: value for key, value in piece().items() if key != "truth"}
        plot_truth_and_prediction([piece(), without], path)
    with pytest.raises(ValueError, match="in 'truth' of slice 's2'.* not one of 3 classes"):
        plot_truth_and_prediction([piece(), piece("s2", truth=(7, 0, 0, 0, 0))], path)
    with pytest.raises(ValueError, match="Classes of slice 's2' are .*share the colours"):
        plot_domains([piece(), piece("s2", classes="abd")], path)
    assert list(tmp_path.iterdir()) == []


def test_every_cell_of_a_table_is_drawn_in_the_panel_of_its_slice():
    adata = small_tissue()
    adata.uns[Keys.UNIT] = "micron"
    figure = plot_domains(adata)
    assert [ax.get_title() for ax in figure.axes] == ["s1", "s2"]
    colors = class_colors(3)
    for ax in figure.axes:
        found = dots(ax)
        assert len(found) == 60 and ax.get_aspect() == 1.0
        codes = adata.obs["stofm_domain"].cat.codes[:60]
        for pos, code in zip(adata.obsm["spatial"][:60], codes, strict=True):
            assert found[tuple(pos)][:4] == tuple(colors[code])
        assert scale_bar(ax) == (2.0, "2 µm")
    assert scale_bar(plot_domains(adata, microns_per_unit=10.0).axes[0]) == (2.0, "20 µm")
    assert scale_bar(plot_domains(adata[:60], slice_key=None).axes[0])[1] == "2 µm"


def test_a_domain_keeps_its_colour_where_others_are_missing():
    adata = small_tissue()
    part = adata[adata.obs["stofm_domain"] != "1"].copy()
    part.obs["stofm_domain"] = part.obs["stofm_domain"].cat.remove_unused_categories()
    whole, less = (dots(plot_domains(each).axes[0]) for each in (adata, part))
    assert 0 < len(less) < len(whole)
    assert all(whole[pos][:4] == color[:4] for pos, color in less.items())


def test_colours_are_those_that_are_given_or_that_the_table_keeps():
    adata = small_tissue()
    adata.uns["stofm_domain_colors"] = ["#ff0000", "#00ff00", "#0000ff"]
    assert dots(plot_domains(adata).axes[0])[(0.0, 0.0)][:4] == (1, 0, 0, 1)
    figure = plot_domains(adata, colors={"0": "black"})
    assert dots(figure.axes[0])[(0.0, 0.0)][:4] == to_rgba("black")


def test_slices_of_the_conversion():
    data = Data(
        pos=torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0], [1.0, 1.0]]),
        layer=torch.tensor([1, -1, 0, -1]), node_type=torch.tensor([0, 0, 0, 2], dtype=torch.uint8),
        num_nodes=4,
    )  # fmt: skip
    data.name, data.unit, data.classes = "one", "spacing", {"layer": ["L1", "L2"]}
    figure = plot_domains(data)
    found = dots(figure.axes[0])
    assert set(found) == {(0.0, 0.0), (3.0, 0.0), (0.0, 3.0)}  # The virtual cell is none.
    assert found[(0.0, 0.0)][:4] == tuple(class_colors(2)[1])
    assert legend_texts(figure.legends[0]) == ["L1", "L2", "unknown"]
    assert scale_bar(figure.axes[0]) == (0.5, "0.5 cell spacings")
    assert len(plot_domains(Batch.from_data_list([data, data]), key="layer").axes) == 2
    with pytest.raises(ValueError, match="'domain' is not in 'data', which holds 'layer'"):
        plot_domains([data], key="domain")


def test_a_file_and_missing_columns(tmp_path):
    small_tissue().write_h5ad(tmp_path / "a.h5ad")
    assert len(dots(plot_domains(tmp_path / "a.h5ad", key="cell_type").axes[1])) == 60
    with pytest.raises(ValueError, match="'domain' is not in 'adata.obs'.* mean 'stofm_domain'"):
        plot_domains(small_tissue(), key="domain")


def test_a_column_of_numbers_under_any_name():
    adata = small_tissue()
    adata.obs["cluster"] = np.arange(120) % 2
    assert legend_texts(plot_domains(adata, key="cluster").legends[0]) == ["0", "1"]
    adata.obs["batch"] = np.linspace(0, 1, 120)
    with pytest.raises(ValueError, match="The label 'batch' holds .* a measurement"):
        plot_domains(adata, key="batch")


def test_many_cells_are_pixels_in_a_vector_graphic():
    rng = np.random.default_rng(0)
    few, many = (
        plot_domains(
            {"name": "", "pos": rng.random((n, 2)), "prediction": np.zeros(n, dtype=int), "classes": "a"}
        )
        for n in (50, 6000)
    )
    assert not few.axes[0].collections[0].get_rasterized()
    assert many.axes[0].collections[0].get_rasterized()


@pytest.mark.realdata
def test_real_slices(real_slices):
    figure = plot_domains(real_slices / "starmap_mpfc.h5ad", key="domain")
    assert sum(len(cells.get_offsets()) for ax in figure.axes for cells in ax.collections) == 3190
    assert legend_texts(figure.legends[0])[:4] == ["L1", "L2/3", "L5", "L6"]
