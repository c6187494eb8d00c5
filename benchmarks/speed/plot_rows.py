from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from stofm_pyg._files import write_atomically
from stofm_pyg.plot import class_colors

PANELS = (("median_s", "seconds"), ("peak_mib", "peak memory, MiB"))


def plot_rows(rows: Sequence[dict], path: Path, title: str | None = None):
    r"""Draws seconds and peak memory over cells, both axes logarithmic, one line per side and one row
    of panels per case.

    Args:
        rows (list of dict): The rows.
        path (Path): The picture to write; its suffix tells the format.
        title (str, optional): The title. (default: :obj:`None`)
    """
    path = Path(path)
    cases = list(dict.fromkeys(row["case"] for row in rows))
    sides = list(dict.fromkeys(row["side"] for row in rows))
    colors = dict(zip(sides, class_colors(len(sides)), strict=True))
    figure = Figure(figsize=(9, 3.4 * max(len(cases), 1)), layout="constrained")
    panels = figure.subplots(max(len(cases), 1), len(PANELS), squeeze=False)
    for case, line in zip(cases, panels, strict=False):  # One empty line of panels for no cases.
        for ax, (key, label) in zip(line, PANELS, strict=True):
            _draw([row for row in rows if row["case"] == case], ax, key, colors)
            ax.set(title=case, xlabel="cells", ylabel=label)
            if not any(row[key] for row in rows if row["case"] == case):
                continue  # Nothing has no logarithm.
            ax.set(xscale="log", yscale="log")
            ax.set_xticks(sorted({row["cells"] for row in rows}))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            ax.xaxis.set_minor_formatter(NullFormatter())
            ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
            ax.tick_params(axis="x", labelrotation=45)
            ax.grid(alpha=0.3)
    handles, labels = panels[0][0].get_legend_handles_labels()
    if handles:
        place = {"loc": "outside lower center", "ncols": len(labels)}
        figure.legend(handles, labels, frameon=False, fontsize=9, **place)
    if title:
        figure.suptitle(title, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.suffix[1:].lower() or "png"
    write_atomically(path, lambda part: figure.savefig(part, format=kind, dpi=130))


def _draw(rows: list[dict], ax: Axes, key: str, colors: dict):
    for side, color in colors.items():
        points = sorted((row["cells"], row[key]) for row in rows if row["side"] == side and row[key])
        cells, values = zip(*points, strict=True) if points else ([], [])
        # A side without points keeps its place in the legend.
        ax.plot(cells, values, "o-", color=color, label=side, markersize=4)
