r"""Results as a Markdown page."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from benchmarks.paired import told
from benchmarks.tables import class_scores, facts, markdown, metric_name

if TYPE_CHECKING:
    from benchmarks.report import Section


def markdown_page(
    title: str,
    sections: Sequence["Section"],
    pictures: Mapping[tuple[int, str, str], str],
    about: str = "",
) -> str:
    r"""A page of sections.

    Args:
        title (str): The title.
        sections (sequence of Section): The results.
        pictures (dict): Where pictures are, by the number of the section, the row and what they show.
        about (str, optional): What stands below the title. (default: :obj:`""`)
    """
    lines = [f"# {title}", "", *([about, ""] if about else [])]
    if len(sections) > 1:
        lines += [overview(sections), ""]
    for number, section in enumerate(sections):
        lines += [f"## {section.title}", "", facts(section.values), ""]
        lines += [markdown(section.summary(), section.metrics, section.values["lower"]), ""]
        lines += [section.values.get("notes", ""), ""]
        found = section.against_best()
        if found is not None:
            lines += [
                f"`stofm` minus `{found['row']}`, the best of the others, "
                f"{metric_name(section.metrics[0])}: {told(found['difference'])}.",
                "",
                "| slice | stofm minus the best of the others |",
                "|---|---|",
                *(f"| {name} | {told(value)} |" for name, value in found["slices"].items()),
                "",
            ]
        classes = class_scores(section.values["results"])
        if classes:
            names = list(next(iter(classes.values())))
            lines += [f"| F1 of | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
            for row, scores in classes.items():
                lines.append(f"| {row} | {' | '.join(_number(scores.get(name)) for name in names)} |")
            lines.append("")
        for (which, row, kind), path in pictures.items():
            if which == number:
                lines += [f"![{row}, {kind}]({path})", ""]
    return "\n".join(lines).rstrip() + "\n"


def overview(sections: Sequence["Section"]) -> str:
    r"""The first metric of each row in each section, as a table."""
    summaries = [section.summary() for section in sections]
    names = dict.fromkeys(name for summary in summaries for name in summary)
    head = [f"{s.title} ({metric_name(s.metrics[0])})" for s in sections]
    lines = [f"| method | {' | '.join(head)} |", "|---|" + "---|" * len(head)]
    for name in names:
        cells = []
        for section, summary in zip(sections, summaries, strict=True):
            first = section.metrics[0]
            best = max(row[first]["mean"] for row in summary.values())
            value = summary[name][first]["mean"] if name in summary else None
            text = _number(value)
            cells.append(f"**{text}**" if value == best else text)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
