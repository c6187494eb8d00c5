r"""Makes one page of results: `python benchmarks/report.py RESULTS... --out DIR` writes `report.md` and
`report.html`, which holds its pictures and needs nothing else."""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.report_html import html_page  # noqa: E402
from benchmarks.report_markdown import markdown_page  # noqa: E402
from benchmarks.small_pictures import small_png  # noqa: E402
from benchmarks.tables import against_best, best_row, slug, summarise  # noqa: E402
from benchmarks.tasks import TASKS  # noqa: E402
from stofm_pyg._files import write_atomically, write_together  # noqa: E402

WHICH = ("some", "one", "all", "none")
# What a picture shows, that which says most first.
KINDS = ("truth-and-prediction", "domains", "clusters", "proportions", "genes")


@dataclass
class Section:
    r"""The results of a task on a data set.

    Args:
        title (str): What it is called.
        values (dict): What :obj:`results.json` holds.
        pictures (dict): The pictures of rows, by row and by what they show.
    """

    title: str
    values: dict[str, Any]
    pictures: dict[str, dict[str, Path]]

    @property
    def metrics(self) -> list[str]:
        r"""The metrics; the first one decides."""
        return self.values["metrics"]

    def summary(self) -> dict[str, dict[str, Any]]:
        r"""See :meth:`summarise`; the best row comes first."""
        found = summarise(self.values["results"], self.metrics)
        first = self.metrics[0]
        return dict(sorted(found.items(), key=lambda item: -item[1][first]["mean"]))

    def against_best(self) -> dict[str, Any] | None:
        r"""See :meth:`benchmarks.tables.against_best`."""
        return against_best(self.values["results"], self.metrics)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("results", nargs="+", type=Path, help="folders that hold results, at any depth")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--title", default="Benchmark", help="the title of the page")
    parser.add_argument("--about", default="", metavar="TEXT", help="what stands below the title")
    parser.add_argument(
        "--pictures", choices=WHICH, default="some",
        help="'some' are those of SToFM, the best row and the best baseline; 'one' is one of SToFM,\n"
        "for each task (default: some)",
    )  # fmt: skip
    parser.add_argument(
        "--max-kib", type=int, default=400, metavar="N", help="the largest picture (default: 400)"
    )
    args = parser.parse_args(argv)
    try:
        write_page(args.results, args.out, args.title, args.pictures, args.max_kib, args.about)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"The page is in {args.out / 'report.html'}")
    return 0


def write_page(
    folders: Sequence[Path],
    out: Path,
    title: str = "Benchmark",
    which: str = "some",
    max_kib: int = 400,
    about: str = "",
):
    r"""Writes the page of some results.

    Args:
        folders (sequence of Path): Folders that hold :obj:`results.json`, at any depth.
        out (Path): The folder of the page; made if need be.
        title (str, optional): Its title. (default: :obj:`"Benchmark"`)
        which (str, optional): The rows whose pictures are shown: :obj:`"some"`, :obj:`"one"`,
            :obj:`"all"` or :obj:`"none"`. (default: :obj:`"some"`)
        max_kib (int, optional): The largest picture, in KiB. (default: :obj:`400`)
        about (str, optional): What stands below the title, with code in backquotes.
            (default: :obj:`""`)

    Raises:
        FileNotFoundError: A folder holds no results.
        ValueError: A file of results is damaged or holds none, or pictures cannot be so small.
    """
    sections = read_sections(folders, which)
    out.mkdir(parents=True, exist_ok=True)
    pictures = out / "report-pictures"
    shutil.rmtree(pictures, ignore_errors=True)
    shown = {}
    for number, section in enumerate(sections):
        for row, kinds in section.pictures.items():
            for kind, path in kinds.items():
                small = small_png(path, max_kib)
                to = pictures / f"{number + 1}-{slug(section.title)}-{slug(row)}-{slug(kind)}.png"
                to.parent.mkdir(exist_ok=True)
                write_atomically(to, lambda part, small=small: part.write_bytes(small))
                shown[number, row, kind] = to
    relative = {key: path.relative_to(out).as_posix() for key, path in shown.items()}
    texts = {
        out / "report.md": markdown_page(title, sections, relative, about),
        out / "report.html": html_page(title, sections, shown, about),
    }
    write_together(
        {
            path: lambda part, text=text: part.write_text(text, encoding="utf-8")
            for path, text in texts.items()
        }
    )


def read_sections(folders: Sequence[Path], which: str = "some") -> list[Section]:
    r"""Reads results; the arguments are those of :meth:`write_page`."""
    files = []
    for folder in folders:
        found = sorted(folder.rglob("results.json")) if folder.is_dir() else []
        if not found:
            raise FileNotFoundError(
                f"There is no 'results.json' in '{folder}'; name a folder of results"
            )
        files += [path for path in found if path not in files]
    read = [(path.parent, _read(path)) for path in files]
    place = {name: number for number, name in enumerate(TASKS)}
    read.sort(key=lambda item: place.get(item[1]["task"], len(place)))
    tasks = [values["task"] for _, values in read]
    several, sections = len(set(tasks)) < len(tasks), []
    for folder, values in read:
        title = values["task"]
        if several:  # Told apart by the folder of the data set.
            data = folder.parent.name if folder.name == title else folder.name
            title = f"{title}: {data}"
        sections.append(Section(title, values, _pictures(folder / "pictures", values, which)))
    return sections


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        usable = all(key in values for key in ("task", "metrics", "results", "slices"))
    except (ValueError, TypeError) as error:
        raise ValueError(f"'{path}' is damaged ({error}); run the benchmark again") from error
    if not usable:
        raise ValueError(f"'{path}' is of another release of this benchmark; run it again with --fresh")
    if not values["results"]:
        raise ValueError(f"'{path}' holds no run that was done; run the benchmark again")
    return values


def _pictures(folder: Path, values: dict[str, Any], which: str) -> dict[str, dict[str, Path]]:
    if which == "none" or not folder.is_dir():
        return {}
    summary, first = summarise(values["results"], values["metrics"]), values["metrics"][0]
    rows = list(summary)
    if which in ("some", "one"):
        wanted = ["stofm", best_row(summary, first), best_row(summary, first, baselines=True)]
        rows = [name for name in dict.fromkeys(wanted) if name in summary]
        rows = rows if which == "some" else rows[:1]
    # The longest name first: "pca" is the beginning of "pca-scaled".
    names = sorted(summary, key=lambda name: -len(slug(name)))
    found: dict[str, dict[str, Path]] = {name: {} for name in rows}
    for path in sorted(folder.glob("*.png")):
        name = next((name for name in names if path.stem.startswith(slug(name) + "-")), None)
        if name in found:
            found[name][path.stem[len(slug(name)) + 1 :]] = path
    place = {kind: number for number, kind in enumerate(KINDS)}
    for name, kinds in found.items():
        kept = sorted(kinds, key=lambda kind: place.get(kind, len(place)))
        kept = kept[:1] if which == "one" else kept
        found[name] = {kind: kinds[kind] for kind in kept}
    return {name: kinds for name, kinds in found.items() if kinds}


if __name__ == "__main__":
    sys.exit(main())
