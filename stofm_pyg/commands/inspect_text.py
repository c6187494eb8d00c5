from collections.abc import Mapping
from typing import Any

from stofm_pyg.commands.text_table import columns, row

# Rows of the table that each slice has: the key, how it is called, and how it is written.
OF_A_SLICE = (
    ("cells", "cells", ",.0f"),
    ("spacing", "spacing, in the file's unit", ".4g"),
    ("degree", "neighbours in the radius, mean", ",.1f"),
    ("isolated", "cells without one", ",.0f"),
    ("subpatches", "subpatches", ",.0f"),
    ("virtual_cells_at_most", "virtual cells, at most", ",.0f"),
)


def inspect_text(report: Mapping[str, Any]) -> str:
    r"""Writes what :meth:`describe_source` and :meth:`estimate` found.

    Args:
        report (dict): With :obj:`"settings"`, :obj:`"sources"` and :obj:`"estimate"`.
    """
    lines = []
    for source in report["sources"]:
        lines += [*_source(source, report["settings"]), ""]
    lines += _estimate(report["estimate"])
    warnings = [row(one["name"], text) for one in report["sources"] for text in one["warnings"]]
    if warnings:
        lines += [*([""] if lines[-1] else []), "warnings", *warnings]
    return "\n".join(lines).rstrip()


def _source(source: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    slices, counts, key = source["slices"], source["counts"], source["slice_key"]
    genes, number = f"{source['genes']:,}", counts["cells_looked_at"]
    some = "" if number == source["cells"] else " (those looked at)"
    raw = "yes" if counts["raw"] else "no"
    lines = [
        row(source["name"], f"{source['format']}, {source['cells']:,} cells of {genes} genes"),
        row("counts", f"{raw}: {counts['where'] or 'X'}, {counts['seen']}, in {number:,} cells{some}"),
    ]
    if counts["raw"]:
        of_a_cell = f"{counts['per_cell']:,.0f} in a cell, of {counts['genes_per_cell']:,.0f} genes"
        lines.append(row("", f"{of_a_cell} (medians)"))
    lines.append(row("names of genes", _names(source["gene_names"])))
    matches = source["vocabulary"]
    if matches is not None:
        share = f"{100 * matches['share_counts']:.1f} % of the counts"
        lines.append(row("in the vocabulary", f"{matches['matched']:,} of {genes} genes, {share}"))
        if matches["not_matched"]:
            lines.append(row("not in it", f"{', '.join(matches['not_matched'][:5])} ..."))
    labels = [_label(name, known) for name, known in source["labels"].items()]
    lines.append(row("labels in obs", ", ".join(labels) or "none"))
    told = f"obs[{key!r}] tells them apart" if key else "all cells are one"
    lines.append(row("slices", f"{len(slices):,}; {told}"))
    lines.append(row("unit", _unit(source, settings)))
    return lines + columns(slices, OF_A_SLICE)


def _names(names: Mapping[str, Any]) -> str:
    kind = " ".join(word for word in (names["species"], names["naming"]) if word)
    genome = f", after the genome {names['genome']!r}" if names["genome"] else ""
    others = "".join(f"; var[{name!r}]: {naming}" for name, naming in names["other_columns"].items())
    return f"{kind} ({', '.join(names['examples'])} ...){genome}{others}"


def _label(name: str, known: Mapping[str, int]) -> str:
    without = f", {known['unlabelled']:,} cells without" if known["unlabelled"] else ""
    return f"{name} ({known['classes']} classes{without})"


def _unit(source: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    first, radius = source["slices"][0], f"radius {settings['radius']:g}"
    if settings["unit"] == "micron":
        return f"micron; {radius}"
    if settings["unit"] == "official":
        return f"a hundredth of the diagonal; {radius}"
    length = f"{first['spacing']:.4g} in the file's unit"
    if first["spacing_in_microns"] is not None:
        length = f"{first['spacing_in_microns']:.3g} microns"
    return f"spacing of cells ({length}, of the first slice); {radius}"


def _estimate(known: Mapping[str, Any]) -> list[str]:
    lines = []
    for what in ("fit", "embed"):
        if known[what] is None:
            continue
        steps = f" ({known[what]['steps']:,} steps)" if "steps" in known[what] else ""
        size = f"{known[what]['bytes'] / 2**30:.1f} GiB of memory"
        how = f"preset {known['preset']}, {known['of']}"
        lines.append(row(what, f"about {_time(known[what]['seconds'])}{steps}, {size}: {how}"))
    return lines


def _time(seconds: float) -> str:
    for name, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {name}"
    return f"{seconds:.0f} seconds" if seconds >= 1.5 else "a second"
