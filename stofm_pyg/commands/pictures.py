r"""The pictures that 'stofm plot' draws, by name: what each needs, and the call that draws it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from anndata import AnnData
from torch_geometric.data import Data

from stofm_pyg import plot
from stofm_pyg.commands.slice_options import where_to_draw
from stofm_pyg.data import Keys, SliceSettings
from stofm_pyg.data.slices.labels import encode_labels
from stofm_pyg.data.slices.rows import slice_rows
from stofm_pyg.models import SToFM, attention_of


@dataclass
class Drawn:
    r"""What pictures are drawn of."""

    adata: AnnData
    settings: SliceSettings
    #: Where things are, as the command line says.
    given: dict[str, Any]
    key: str = Keys.DOMAIN
    truth: str | None = None
    prediction: str | None = None
    of: str = "cell_type"
    model: SToFM | None = None
    run: Path | None = None
    cell: int | None = None
    seed: int = 0

    @property
    def where(self) -> dict[str, Any]:
        r"""Where slices and positions are."""
        return where_to_draw(self.adata, self.settings)

    @cached_property
    def slices(self) -> list[Data]:
        r"""The slices as the model takes them."""
        return self.model.slices(self.adata, **self.given)

    @property
    def source(self) -> dict[str, Any]:
        r"""The slices of the model, or how they are made without one, as arguments of a picture."""
        if self.model is not None:
            return {"slices": self.slices, "seed": self.seed}
        settings = self.settings.replace(slice_key=self.where["slice_key"], seed=self.seed)
        return {"slices": self.adata, **settings.to_dict()}

    @property
    def predicted(self) -> str:
        r"""The column that is compared with the truth."""
        if self.prediction is not None:
            return self.prediction
        own = f"stofm_{self.truth}"
        return own if own in self.adata.obs else self.key

    @cached_property
    def attention(self):
        r"""How a cell of the first slice attends; the one in its middle where none is named."""
        data, cell = self.slices[0], self.cell
        if cell is None:
            pos = data.pos[data.cell_id >= 0]
            cell = int((pos - pos.median(dim=0).values).norm(dim=1).argmin())
        return attention_of(self.model, data, cell, seed=self.seed)


class Picture(NamedTuple):
    r"""A picture: the reason why it cannot be drawn (or :obj:`None`), and what draws it to a path."""

    lacks: Callable[[Drawn], str | None]
    draw: Callable[[Drawn, Path], Any]
    ending: str | None = None
    #: Whether it is drawn where no pictures are named.
    usual: bool = True


def _no_column(drawn: Drawn, *columns: str) -> str | None:
    missing = [column for column in columns if column not in drawn.adata.obs]
    return f"no column {missing[0]!r} in obs" if missing else None


def _no_domains(drawn: Drawn) -> str | None:
    return _no_column(drawn, drawn.key)


def _no_truth(drawn: Drawn) -> str | None:
    return "no --truth" if drawn.truth is None else _no_column(drawn, drawn.truth, drawn.predicted)


def _no_embedding(drawn: Drawn) -> str | None:
    return None if Keys.EMBEDDING in drawn.adata.obsm else f"no {Keys.EMBEDDING!r} in obsm"


def _no_model(drawn: Drawn) -> str | None:
    return "no --model" if drawn.model is None else None


def _nothing(drawn: Drawn) -> str | None:
    return None


def _colors(drawn: Drawn) -> list[str]:
    wanted = (drawn.key, drawn.truth, drawn.of, drawn.where["slice_key"])
    return [key for key in dict.fromkeys(wanted) if key is not None and key in drawn.adata.obs]


def _first_slice(drawn: Drawn) -> AnnData:
    _, rows = slice_rows(drawn.adata, drawn.where["slice_key"], drawn.settings.spatial_key)[0]
    return drawn.adata[rows].copy()


def _graph(drawn: Drawn, path: Path):
    if drawn.model is not None:
        return plot.plot_graph(drawn.slices[0], path, cell=drawn.cell)
    settings = drawn.settings.replace(slice_key=None)
    return plot.plot_graph(_first_slice(drawn), path, cell=drawn.cell, **settings.to_dict())


def _pair(drawn: Drawn, path: Path):
    attention, data = drawn.attention, drawn.slices[0]
    key = next((key for key in _colors(drawn) if key != drawn.where["slice_key"]), None)
    if key is None:
        return plot.plot_pair_representation(attention.pair, path, seed=drawn.seed)
    label = drawn.adata.obs[[key]].set_axis(["label"], axis=1)
    codes, names = encode_labels(label, "label", log=False)
    rows = np.where(attention.node >= 0, data.cell_id.numpy()[attention.node], -1)
    values = np.append(codes["label"], -1)[rows]
    return plot.plot_pair_representation(
        attention.pair, path, values=values, classes=names["label"], seed=drawn.seed
    )


PICTURES = {
    "domains": Picture(
        _no_domains, lambda d, path: plot.plot_domains(d.adata, path, key=d.key, **d.where)
    ),
    "truth": Picture(
        _no_truth,
        lambda d, path: plot.plot_truth_and_prediction(
            d.adata, path, truth=d.truth, prediction=d.predicted,
            match=d.predicted == Keys.DOMAIN, **d.where,
        ),
    ),
    "confusion": Picture(
        _no_truth,
        lambda d, path: plot.plot_confusion(d.adata, path=path, truth=d.truth, prediction=d.predicted),
    ),
    "umap": Picture(
        lambda d: _no_embedding(d) or (None if _colors(d) else "no classes in obs"),
        lambda d, path: plot.plot_embedding(d.adata, path, color=_colors(d), seed=d.seed),
    ),
    "composition": Picture(
        lambda d: _no_column(d, d.key, d.of),
        lambda d, path: plot.plot_composition(d.adata, path, key=d.key, of=d.of),
    ),
    "markers": Picture(
        _no_domains,
        lambda d, path: plot.plot_marker_genes(d.adata, path, key=d.key, layer=d.settings.layer),
    ),
    "subpatches": Picture(
        _nothing, lambda d, path: plot.plot_subpatches(path=path, **d.source), usual=False
    ),
    "virtual_cells": Picture(
        _nothing, lambda d, path: plot.plot_virtual_cells(path=path, **d.source), usual=False
    ),
    "graph": Picture(_nothing, _graph, usual=False),
    "attention": Picture(
        _no_model, lambda d, path: plot.plot_attention(d.slices[0], d.attention, path)
    ),
    "pair": Picture(_no_model, _pair),
    "curves": Picture(
        lambda d: "no --run" if d.run is None else None,
        lambda d, path: plot.plot_training_curves(d.run, path),
    ),
    "html": Picture(
        lambda d: None if _colors(d) else "no classes in obs",
        lambda d, path: plot.write_html(d.adata, path, key=_colors(d), **d.where),
        ending=".html",
        usual=False,
    ),
}  # fmt: skip
