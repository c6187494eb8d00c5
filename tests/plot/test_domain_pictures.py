import sys

import numpy as np
import pytest
from scipy.stats import ttest_ind

from stofm_pyg.plot import (
    class_colors,
    marker_genes,
    plot_composition,
    plot_embedding,
    plot_marker_genes,
)
from stofm_pyg.plot.flatten import flatten
from tests.plot.plot_case import dots, legend_texts, small_tissue


@pytest.fixture
def adata():
    return small_tissue()


def test_bars_of_a_composition_sum_to_one(adata):
    (ax,) = plot_composition(adata).axes
    heights = np.array([[patch.get_height() for patch in bars] for bars in ax.containers])
    np.testing.assert_allclose(heights.sum(axis=0), 1.0)
    first = (adata.obs["cell_type"] == "A")[adata.obs["stofm_domain"] == "0"].mean()
    assert heights[0, 0] == pytest.approx(first)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0 (40)", "1 (40)", "2 (40)"]
    assert legend_texts(ax.get_legend()) == ["B", "A"]  # As the parts lie on one another.
    np.testing.assert_array_equal(ax.containers[1][0].get_facecolor(), class_colors(2)[1])


def test_unknown_cells_are_no_part_of_a_composition(adata):
    adata.obs.loc[adata.obs["cell_type"] == "B", "cell_type"] = None
    adata.obs.loc[adata.obs["stofm_domain"] == "1", "stofm_domain"] = None
    (ax,) = plot_composition(adata).axes
    assert legend_texts(ax.get_legend()) == ["A"]
    assert [text.get_text()[0] for text in ax.get_xticklabels()] == ["0", "2"]
    adata.obs["cell_type"] = None
    with pytest.raises(ValueError, match="No cell has a known 'stofm_domain' and a known 'cell_type'"):
        plot_composition(adata)


def test_marker_genes_are_those_of_welch(adata):
    found = marker_genes(adata, n=None)
    counts = np.asarray(adata.X, dtype=np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    expression = np.log1p(counts * np.median(totals) / totals)
    for domain in "012":
        inside = (adata.obs["stofm_domain"] == domain).to_numpy()
        t, p = ttest_ind(expression[inside], expression[~inside], equal_var=False)
        rows = found[found["domain"] == domain].set_index("gene").loc[adata.var_names]
        np.testing.assert_allclose(rows["score"], t, rtol=1e-5)
        np.testing.assert_allclose(rows["share"], (counts[inside] > 0).mean(axis=0))
        np.testing.assert_allclose(rows["share_elsewhere"], (counts[~inside] > 0).mean(axis=0))
        # By Benjamini and Hochberg the largest stays, and none is smaller than it was.
        assert rows["p_adjusted"].max() == pytest.approx(p.max())
        assert (rows["p_adjusted"] >= p * (1 - 1e-9)).all()
        ratio = np.expm1(expression[inside]).mean(axis=0) / np.expm1(expression[~inside]).mean(axis=0)
        np.testing.assert_allclose(rows["log2_fold_change"], np.log2(ratio), rtol=1e-4)
    best = marker_genes(adata, n=1).set_index("domain")["gene"]
    assert best["0"] == "g0" and best["1"] == "g1"


def test_bad_marker_genes(adata):
    with pytest.raises(ValueError, match="'n' must be at least 1"):
        marker_genes(adata, n=0)
    adata.obs["one"] = "a"
    with pytest.raises(ValueError, match="'one' has 1 domains of two cells or more"):
        marker_genes(adata, "one")


def test_dots_of_genes(adata):
    ax, *_ = plot_marker_genes(adata, genes=["g1", "g0"]).axes
    assert [text.get_text() for text in ax.get_xticklabels()] == ["g1", "g0"]
    (spots,) = ax.collections
    share = [
        (np.asarray(adata.X)[(adata.obs["stofm_domain"] == domain).to_numpy(), gene] > 0).mean()
        for domain in "012"
        for gene in (1, 0)
    ]
    np.testing.assert_allclose(spots.get_sizes(), 130 * np.array(share))
    color = spots.get_array().reshape(3, 2)
    assert color[:, 0].argmax() == 1 and color[:, 1].argmax() == 0
    np.testing.assert_allclose(color.max(axis=0), 1)
    np.testing.assert_allclose(color.min(axis=0), 0)
    chosen = [text.get_text() for text in plot_marker_genes(adata, n=1).axes[0].get_xticklabels()]
    assert chosen[:2] == ["g0", "g1"]
    with pytest.raises(ValueError, match="'g9' is not in 'adata.var_names'"):
        plot_marker_genes(adata, genes=["g0", "g9"])


def test_an_embedding_is_drawn_once_for_each_column(adata, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    figure = plot_embedding(adata, color=["stofm_domain", "cell_type"], method="pca", max_cells=100)
    assert figure.get_suptitle() == "PCA of X_stofm, 100 cells"
    assert [len(dots(ax)) for ax in figure.axes] == [100, 100]
    assert [legend_texts(ax.get_legend()) for ax in figure.axes] == [["0", "1", "2"], ["A", "B"]]
    assert set(dots(figure.axes[0])) == set(dots(figure.axes[1]))
    assert "t-SNE of X_stofm" in plot_embedding(adata[::4].copy()).get_suptitle()
    with pytest.raises(ImportError, match=r"stofm-pyg\[plot\].*'method=\"tsne\"'"):
        plot_embedding(adata, method="umap")


def test_two_channels_are_drawn_as_they_are(adata):
    adata.obsm["X_umap"] = np.asarray(adata.obsm["X_stofm"][:, :2])
    adata.obsm["X_umap"][3] = np.nan
    figure = plot_embedding(adata, key="X_umap")
    assert figure.get_suptitle() == "X_umap, 119 cells"
    wanted = {tuple(row) for row in adata.obsm["X_umap"].astype(np.float32).tolist() if row[0] == row[0]}
    assert set(dots(figure.axes[0])) == wanted
    with pytest.raises(ValueError, match="'X_scvi' is not in 'adata.obsm'"):
        plot_embedding(adata, key="X_scvi")


def test_components_are_those_of_the_largest_variance():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(50, 3)) * [1.0, 10.0, 5.0] + 7
    flat, told = flatten(z, "pca")
    assert told == "PCA"
    np.testing.assert_allclose(np.abs(np.corrcoef(flat[:, 0], z[:, 1])[0, 1]), 1, atol=0.02)
    np.testing.assert_allclose(flat.mean(axis=0), 0, atol=1e-4)
    assert flatten(z[:4])[1] == "PCA" and flatten(z[:, :1])[0].shape == (50, 2)
    with pytest.raises(ValueError, match="Unknown method 'mds'; known: umap, tsne, pca"):
        flatten(z, "mds")
    with pytest.raises(ValueError, match="2 cells cannot be laid out"):
        flatten(z[:2])


def test_umap_is_named():
    pytest.importorskip("umap", reason="needs umap-learn, of the extra 'plot'")
    flat, told = flatten(np.random.default_rng(0).normal(size=(30, 4)))
    assert told == "UMAP" and flat.shape == (30, 2) and np.isfinite(flat).all()
