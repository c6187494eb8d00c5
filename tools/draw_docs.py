"""Draws the pictures of the documentation, all from generated tissue and a model that is fitted to it:

    python tools/draw_docs.py [--out docs/img] [--cells 600]
"""

import argparse
import io
import logging
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stofm_pyg import SToFM, plot  # noqa: E402
from stofm_pyg._files import write_atomically  # noqa: E402
from stofm_pyg.datasets import generate_tissue  # noqa: E402
from stofm_pyg.models import attention_of  # noqa: E402

logger = logging.getLogger("draw_docs")

# The first resolution at which a picture is small enough.
DPI, COLORS, MAX_BYTES = (80, 68, 58, 48), 200, 60_000


def draw_pictures(num_cells: int, run: Path) -> Iterator[tuple[str, Figure]]:
    r"""Yields the name and the figure of each picture."""
    adata = generate_tissue(num_slices=2, cells_per_slice=num_cells, num_domains=5, num_cell_types=8)
    labelled = adata[adata.obs["slice"] == adata.obs["slice"].iloc[0]].copy()
    model = SToFM.fit(adata, preset="tiny", out=run, progress=False)
    model.embed(adata)
    model.domains(adata, n=5)
    model.finetune(labelled, label="domain")
    model.predict(adata, label="domain", key_added="predicted")  # Beside the domains that were found.
    data = model.slices(adata)[0]

    yield "domains", plot.plot_domains(adata)
    yield "truth_and_prediction", plot.plot_truth_and_prediction(
        adata, truth="domain", prediction="predicted"
    )
    yield "confusion", plot.plot_confusion(adata, truth="domain", prediction="predicted")
    yield "subpatches", plot.plot_subpatches(data, cells_per_part=num_cells // 8)
    yield "virtual_cells", plot.plot_virtual_cells(data)
    yield "graph", plot.plot_graph(labelled, radius=2.5, width=16.0)
    attention = attention_of(model, data, cell=num_cells // 2)
    yield "attention", plot.plot_attention(data, attention)
    row = data.cell_id[attention.node].numpy()
    column = adata.obs["domain"].astype("category").cat
    codes = np.where(row >= 0, column.codes.to_numpy()[row], -1)
    pair = plot.plot_pair_representation(
        attention.pair, values=codes, classes=list(column.categories), max_nodes=250
    )
    yield "pair_representation", pair
    yield "embedding", plot.plot_embedding(adata, color=["stofm_domain", "domain"], method="tsne")
    yield "composition", plot.plot_composition(adata)
    yield "marker_genes", plot.plot_marker_genes(adata)
    yield "training_curves", plot.plot_training_curves(run)


def save_small(figure: Figure, path: Path):
    r"""Writes a figure as a PNG of few colours, which is small."""
    for dpi in DPI:
        drawn, small = io.BytesIO(), io.BytesIO()
        figure.savefig(drawn, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.1)
        image = Image.open(drawn).convert("RGB").quantize(COLORS, method=Image.Quantize.MEDIANCUT)
        image.save(small, format="png", optimize=True)
        if small.tell() <= MAX_BYTES:
            break
    write_atomically(path, lambda part: part.write_bytes(small.getvalue()))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("docs/img"), help="the folder (docs/img)")
    parser.add_argument("--cells", type=int, default=600, help="cells of each of two slices (600)")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, figure in draw_pictures(args.cells, Path(folder) / "run"):
            path = args.out / f"{name}.png"
            save_small(figure, path)
            logger.info("%s: %.0f kB", path, path.stat().st_size / 1000)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
