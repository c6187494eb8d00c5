r"""What the site of `make docs` changes of texts: roles of docstrings, and links between files of the
repository. Without MkDocs, so that tests can look at it."""

import posixpath
import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS, EXAMPLES = ROOT / "docs", ROOT / "examples"
#: Files of the repository that are pages or files of the site, and where.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "CITATION.cff": "CITATION.cff",
    "LICENSE": "LICENSE.txt",
}
FILES = (".py", ".ipynb", ".sh", ".sbatch", ".yml", ".yaml")

ROLE = re.compile(r":(obj|class|meth|func|attr|mod|math):`([^`]+)`")
CITED = re.compile(r"`([^`<]+?)\s*<(https?://[^>]+)>`_")
FORMULA = re.compile(r"^([ \t]*)\.\. math::[ \t]*\n((?:[ \t]*\n|\1[ \t]+\S.*\n?)+)", re.MULTILINE)
# To the parser of docstrings, "Example:" is a title like any other.
EXAMPLE = re.compile(r"^([ \t]*)Example:[ \t]*$", re.MULTILINE)
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)]*)?(\))")


def documented() -> dict[str, str]:
    r"""Names that have an entry in the reference, to their paths: by the last part, and in full."""
    pages = sorted((DOCS / "reference").glob("*.md"))
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    paths = re.findall(r"^::: (\S+)$", text, re.MULTILINE)
    return {name: path for path in paths for name in (path, path.rsplit(".", 1)[1])}


def as_markdown(text: str, known: dict[str, str]) -> str:
    r"""A docstring with Markdown in the place of roles, citations and formulas.

    Args:
        text (str): The docstring.
        known (dict[str, str]): What :meth:`documented` gives; all else stays without a link.
    """
    text = FORMULA.sub(_formula, text)
    text = CITED.sub(lambda found: f"[{' '.join(found[1].split())}]({found[2]})", text)
    text = EXAMPLE.sub(r"\1Examples:", text)
    return ROLE.sub(lambda found: _role(found, known), text).replace("``", "`")


def _formula(found: re.Match) -> str:
    body = textwrap.dedent(found[2]).strip()
    return textwrap.indent(f"\n$$\n{body}\n$$\n\n", found[1])


def _role(found: re.Match, known: dict[str, str]) -> str:
    kind, target = found[1], " ".join(found[2].split())
    if kind == "math":
        return f"${target}$"
    if kind == "obj":
        return f"`{target}`"
    titled = re.fullmatch(r"(.+?) <(.+)>", target)
    if titled is not None:
        label, target = titled[1], titled[2].lstrip("~")
    else:
        label, target = target, target.lstrip("~")
        label = target.rsplit(".", 1)[-1] if label.startswith("~") else label
    if kind in ("meth", "func"):
        label += "()"
    path = known.get(target) or known.get(target.rsplit(".", 1)[-1])
    return f"`{label}`" if path is None else f"[`{label}`][{path}]"


def places() -> dict[str, str]:
    r"""All files of the repository that are on the site, and where: those in `docs/` without the name of
    that folder, and what stands outside of it."""
    out = {
        path.relative_to(ROOT).as_posix(): path.relative_to(DOCS).as_posix()
        for path in sorted(DOCS.rglob("*"))
        if path.is_file()
    }
    for path in sorted(EXAMPLES.rglob("*")):
        name = path.relative_to(ROOT).as_posix()
        if path.suffix in FILES:
            out[name] = name
        elif path.name == "README.md":
            out[name] = name.removesuffix("README.md") + "index.md"
    return {**out, **{name: page for name, page in PAGES.items() if (ROOT / name).is_file()}}


def relinked(text: str, source: str, known: dict[str, str]) -> str:
    r"""A page of which links lead to where files are on the site.

    Args:
        text (str): The page, in Markdown.
        source (str): The file of the repository that it is.
        known (dict[str, str]): What :meth:`places` gives.
    """
    here = posixpath.dirname(known[source]) or "."

    def moved(found: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[2]))
        if "://" in found[2] or target not in known:
            return found[0]
        return f"{found[1]}{posixpath.relpath(known[target], here)}{found[3] or ''}{found[4]}"

    return LINK.sub(moved, text)
