r"""Results as an HTML page that holds all that it shows."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.page_style import SCRIPT, STYLE
from benchmarks.paired import told
from benchmarks.small_pictures import data_uri
from benchmarks.tables import class_scores, columns, facts, metric_name

if TYPE_CHECKING:
    from benchmarks.report import Section

# Of the plot, in pixels.
LINE, LEFT, WIDTH, RIGHT = 22, 190, 560, 70


def html_page(
    title: str,
    sections: Sequence["Section"],
    pictures: Mapping[tuple[int, str, str], Path],
    about: str = "",
) -> str:
    r"""A page of sections.

    Args:
        title (str): The title.
        sections (sequence of Section): The results.
        pictures (dict): The pictures, by the number of the section, the row and what they show.
        about (str, optional): What stands below the title, with code in backquotes.
            (default: :obj:`""`)
    """
    links = "".join(f'<a href="#s{i}">{escape(s.title)}</a>' for i, s in enumerate(sections))
    body = [f"<h1>{escape(title)}</h1>"]
    if about:
        body.append(f'<p class="facts">{_code(about)}</p>')
    if len(sections) > 1:
        body += ["<h2>At a glance</h2>", _overview(sections)]
    for number, section in enumerate(sections):
        mine = {key[1:]: path for key, path in pictures.items() if key[0] == number}
        body.append(_section(number, section, mine))
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><nav>{links}</nav><main>{''.join(body)}</main>"
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def _overview(sections: Sequence["Section"]) -> str:
    summaries = [section.summary() for section in sections]
    names = dict.fromkeys(name for summary in summaries for name in summary)
    head = ["method", *(f"{s.title}, {metric_name(s.metrics[0])}" for s in sections)]
    spans = []
    for section, summary in zip(sections, summaries, strict=True):
        values = [row[section.metrics[0]]["mean"] for row in summary.values()]
        spans.append((min(values), max(values)))
    rows = []
    for name in names:
        cells = [_cell(escape(name), name, kind="name")]
        for section, summary, (low, high) in zip(sections, summaries, spans, strict=True):
            if name not in summary:
                cells.append(_cell("", ""))
                continue
            value = summary[name][section.metrics[0]]["mean"]
            share = (value - low) / (high - low) if high > low else 1.0
            best = "best" if value == high else ""
            cells.append(_cell(f"{value:.3f}", value, best, f"--heat:{share:.2f}"))
        rows.append(cells)
    return _table(head, rows, "heat")


def _section(number: int, section: "Section", pictures: Mapping[tuple[str, str], Path]) -> str:
    values, summary, first = section.values, section.summary(), section.metrics[0]
    head, texts = columns(summary, section.metrics)
    best = {m: _best(summary, m, m in values["lower"]) for m in section.metrics}
    metric_of = {metric_name(metric): metric for metric in section.metrics}
    rows = []
    for (name, row), cells in zip(summary.items(), texts, strict=True):
        made = []
        for text, column in zip(cells, head, strict=True):
            metric = metric_of.get(column)
            if metric is not None:
                marked = "best" if row[metric]["mean"] == best[metric] else ""
                made.append(_cell(escape(text), row[metric]["mean"], marked))
            else:
                key = name if column == "method" else _sort_key(row, column, text)
                made.append(_cell(escape(text), key, "name" if column == "method" else ""))
        rows.append(made)
    shown = [f"{text} ↓" if metric_of.get(text) in values["lower"] else text for text in head]
    parts = [
        f'<section id="s{number}"><h2>{escape(section.title)}</h2>',
        f'<p class="facts">{_code(facts(values))}</p>',
        f'<div class="top">{_forest(values["results"], summary, first)}{_first_picture(pictures)}</div>',
        _table(shown, rows),
        f"<p>{_code(values.get('notes', ''))}</p>",
        _differences(section),
        _classes(values["results"]),
        *_pictures(dict(list(pictures.items())[1:])),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _forest(runs: Sequence[Mapping], summary: Mapping[str, Mapping], metric: str) -> str:
    # A line for each row: every slice with every seed as a dot, the mean as a bar.
    points = {
        name: [s[metric] for run in runs if run["method"] == name for s in run["slices"].values()]
        for name in summary
    }
    everything = [value for values in points.values() for value in values]
    low, high = min(0.0, *everything), max(*everything, 1e-9)
    high = 1.0 if 0.5 < high <= 1 else high
    height = LINE * len(points) + 28

    def at(value: float) -> float:
        return LEFT + WIDTH * (value - low) / (high - low)

    made = [
        f'<svg class="forest" viewBox="0 0 {LEFT + WIDTH + RIGHT} {height}" role="img" '
        f'aria-label="{escape(metric_name(metric))} of each row">'
    ]
    for step in range(6):
        value = low + (high - low) * step / 5
        x = at(value)
        made.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - 20}"/>')
        made.append(f'<text class="tick" x="{x:.1f}" y="{height - 6}">{value:.2f}</text>')
    for number, (name, values) in enumerate(points.items()):
        y = LINE * number + 15
        kind = "ours" if name.startswith("stofm") else ""
        mean = summary[name][metric]["mean"]
        x0, x1 = sorted((at(max(low, 0.0)), at(mean)))
        made.append(f'<text class="row {kind}" x="{LEFT - 8}" y="{y + 4}">{escape(name)}</text>')
        made.append(
            f'<rect class="{kind}" x="{x0:.1f}" y="{y - 6}" width="{x1 - x0:.1f}" height="12" rx="2"/>'
        )
        made += [f'<circle cx="{at(value):.1f}" cy="{y}" r="2.4"/>' for value in values]
        made.append(f'<text class="value" x="{LEFT + WIDTH + 8}" y="{y + 4}">{mean:.3f}</text>')
    return "".join([*made, "</svg>"])


def _differences(section: "Section") -> str:
    found = section.against_best()
    if found is None:
        return ""
    rows = [
        [_cell(escape(name), name, "name"), _cell(told(value), value["mean"])]
        for name, value in found["slices"].items()
    ]
    head = ["slice", f"stofm minus {found['row']}, {metric_name(section.metrics[0])}"]
    return (
        f"<p><b>stofm</b> minus <b>{escape(found['row'])}</b>, the best of the others, over all slices "
        f"and seeds: {told(found['difference'])}</p><details><summary>Slice by slice</summary>"
        f"{_table(head, rows)}</details>"
    )


def _classes(runs: Sequence[Mapping]) -> str:
    scores = class_scores(runs)
    if not scores:
        return ""
    names = list(dict.fromkeys(name for row in scores.values() for name in row))
    rows = [
        [
            _cell(escape(row), row, "name"),
            *(
                _cell(f"{mine[name]:.2f}", mine[name], style=f"--heat:{mine[name]:.2f}")
                if name in mine
                else _cell("", "")
                for name in names
            ),
        ]
        for row, mine in scores.items()
    ]
    table = _table(["method", *names], rows, "heat")
    return f"<details><summary>F1 of each class</summary>{table}</details>"


def _first_picture(pictures: Mapping[tuple[str, str], Path]) -> str:
    # Beside the plot of all rows.
    return "".join(_figure(*key, path) for key, path in list(pictures.items())[:1])


def _pictures(pictures: Mapping[tuple[str, str], Path]) -> list[str]:
    out = []
    for row in dict.fromkeys(row for row, _ in pictures):
        made = "".join(_figure(*key, path) for key, path in pictures.items() if key[0] == row)
        out.append(f"<details><summary>More pictures: {escape(row)}</summary>{made}</details>")
    return out


def _figure(row: str, kind: str, path: Path) -> str:
    return (
        f'<figure><img loading="lazy" alt="{escape(row)}, {escape(kind)}" src="{data_uri(path)}">'
        f"<figcaption>{escape(row)}: {escape(kind.replace('-', ' '))}</figcaption></figure>"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    heads = "".join(f'<th tabindex="0">{escape(text)}</th>' for text in head)
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(text: str, key: Any, kind: str = "", style: str = "") -> str:
    return f'<td class="{kind}" style="{style}" data-key="{escape(str(key))}">{text}</td>'


def _sort_key(row: Mapping[str, Any], column: str, text: str) -> Any:
    keys = {"learned": "learned", "against the full model": "against"}
    if column in keys:
        return (row.get(keys[column]) or {}).get("mean", "")
    return text.replace(",", "")


def _best(summary: Mapping[str, Mapping], metric: str, lower: bool) -> float:
    values = [row[metric]["mean"] for row in summary.values()]
    return min(values) if lower else max(values)


def _code(text: str) -> str:
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))
