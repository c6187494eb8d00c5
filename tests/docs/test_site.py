"""The site: every page is in its navigation, every public name in its reference, and it is built without
a warning where MkDocs is installed."""

import ast
import importlib.util
import os
import subprocess
import sys

import pytest
import yaml

from tests.docs.pages import PAGES, ROOT, name_of
from tools.docs_markdown import as_markdown, documented, places, relinked

ROOMS = ("models", "data", "nn", "transforms", "loader", "datasets", "corpus", "train", "plot")
#: Another name of what has an entry.
ALIASES = {"CorpusSettings"}
NEEDED = ("mkdocs", "material", "mkdocstrings")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]


class Loader(yaml.SafeLoader):
    """Reads the tags of Python that MkDocs' own extensions take as plain text."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: node.value)


def config():
    return yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)  # noqa: S506


def navigated(entries):
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        else:
            for inner in entry.values():
                yield from [inner] if isinstance(inner, str) else navigated(inner)


def test_every_page_is_in_the_navigation_once_and_is_there():
    named = list(navigated(config()["nav"]))
    assert len(named) == len(set(named))
    assert set(named) == {places()[name_of(page)] for page in PAGES}


@pytest.mark.parametrize("room", ROOMS)
def test_the_reference_has_every_public_name(room):
    tree = ast.parse((ROOT / "stofm_pyg" / room / "__init__.py").read_text(encoding="utf-8"))
    (names,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__"
    )
    listed = {path for path in documented().values() if path.startswith(f"stofm_pyg.{room}.")}
    inner = {path for path in listed if path.count(".") > 2}
    assert listed - inner == {f"stofm_pyg.{room}.{name}" for name in names if name not in ALIASES}


def test_roles_become_markdown():
    known = {"SToFM": "stofm_pyg.models.SToFM", "stofm_pyg.models.SToFM": "stofm_pyg.models.SToFM"}
    text = (
        "From :class:`~stofm_pyg.models.SToFM` by :meth:`SToFM.fit` (default: :obj:`None`),\n"
        'see :class:`~anndata.AnnData`, `"A paper\n  of two lines" <https://x.y>`_, :math:`x_i`.\n'
        "    .. math::\n        a = b \\\\\n        c = d\n\n"
        "    Example:\n        >>> 1\n"
    )
    assert as_markdown(text, known) == (
        "From [`SToFM`][stofm_pyg.models.SToFM] by `SToFM.fit()` (default: `None`),\n"
        'see `AnnData`, ["A paper of two lines"](https://x.y), $x_i$.\n'
        "\n    $$\n    a = b \\\\\n    c = d\n    $$\n\n"
        "    Examples:\n        >>> 1\n"
    )


def test_links_lead_to_where_files_are_on_the_site():
    known = {"README.md": "index.md", "docs/a.md": "a.md", "docs/sub/b.md": "sub/b.md",
             "examples/x.py": "examples/x.py"}  # fmt: skip
    text = "[a](docs/a.md#there) [x](examples/x.py) [y](https://docs/a.md) [z](gone.md)"
    assert relinked(text, "README.md", known) == (
        "[a](a.md#there) [x](examples/x.py) [y](https://docs/a.md) [z](gone.md)"
    )
    text = "[b](../a.md) [r](../../README.md#x) [x](../../examples/x.py)"
    moved = "[b](../a.md) [r](../index.md#x) [x](../examples/x.py)"
    assert relinked(text, "docs/sub/b.md", known) == moved


@pytest.mark.skipif(bool(MISSING), reason=f'needs {", ".join(MISSING)}: pip install "stofm-pyg[docs]"')
def test_the_site_is_built_without_warnings(tmp_path):
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    mkdocs = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    built = subprocess.run(
        [*mkdocs, "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    for page in PAGES:
        assert (tmp_path / "site" / places()[name_of(page)]).with_suffix(".html").is_file()
    text = (tmp_path / "site" / "reference" / "nn.html").read_text(encoding="utf-8")
    assert 'id="stofm_pyg.nn.SE2TransformerConv"' in text and ":obj:" not in text
