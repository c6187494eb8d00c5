"""What the tests of pictures share: a few cells, and what was drawn of them."""

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.colors import to_rgba

PNG = b"\x89PNG\r\n\x1a\n"
GREY = to_rgba("#D9D9D9")
POS = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [0.0, 1.0], [1.0, 0.5]])


def piece(name="s1", truth=(0, 1, 2, -1, 1), prediction=(0, 2, 2, 1, 1), classes="abc"):
    return {
        "name": name,
        "pos": POS,
        "truth": np.array(truth),
        "prediction": np.array(prediction),
        "classes": list(classes),
    }


def dots(ax):
    """Position, colour and area of every dot of the axes."""
    found = {}
    for cells in ax.collections:
        if len(cells.get_offsets()) == 0 or not hasattr(cells, "get_sizes"):
            continue
        colors = np.broadcast_to(cells.get_facecolors(), (len(cells.get_offsets()), 4))
        for pos, color in zip(cells.get_offsets().tolist(), colors, strict=True):
            found[tuple(pos)] = (*color.tolist(), cells.get_sizes()[0])
    return found


def legend_texts(legend):
    return [text.get_text() for text in legend.get_texts()]


def scale_bar(ax):
    """The length of the scale bar in the unit of the positions, and what stands beside it."""
    (line,) = [line for line in ax.lines if line.get_gid() == "scale bar"]
    (text,) = [text.get_text() for text in ax.texts]
    return float(np.ptp(line.get_xdata())), text


def small_tissue(num_cells=60, slices=("s1", "s2"), seed=0):
    """Slices on a grid of steps of two, with domains `0` to `2`, types, counts and embeddings; gene `g0`
    is of domain 0, `g1` of domain 1, `g2` of none."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(num_cells)))
    grid = 2.0 * np.stack(np.divmod(np.arange(num_cells), side), axis=1)
    number = len(slices) * num_cells
    domain = np.tile(np.arange(num_cells) * 3 // num_cells, len(slices))
    counts = rng.poisson(1.0, (number, 4)).astype(np.float32)
    counts[:, 0] += 9 * (domain == 0)
    counts[:, 1] += 9 * (domain == 1)
    counts[:, 3] += 5
    obs = pd.DataFrame(
        {
            "slice": np.repeat(slices, num_cells),
            "stofm_domain": pd.Categorical(domain.astype(str)),
            "cell_type": pd.Categorical(np.array(["A", "B"])[rng.integers(0, 2, number)]),
        },
        index=[f"cell{i}" for i in range(number)],
    )
    adata = AnnData(counts, obs=obs, var=pd.DataFrame(index=["g0", "g1", "g2", "g3"]))
    adata.obsm["spatial"] = np.concatenate([grid] * len(slices))
    adata.obsm["X_stofm"] = rng.normal(size=(number, 5)) + 5 * domain[:, None]
    return adata
