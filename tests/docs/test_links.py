"""Links within the repository lead somewhere."""

import re
from urllib.parse import unquote

import pytest

from tests.docs.pages import PAGES, ROOT, name_of, prose

LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def anchors(page):
    """The anchors of a page's headings, as they are made of them."""
    out = set()
    for heading in HEADING.findall(prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        out.add(re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower()))
    return out


def broken(page):
    out = []
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            out.append(link)
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            out.append(link)
    return out


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    assert broken(page) == []


def test_broken_links_are_found(tmp_path):
    (tmp_path / "there.md").write_text("# A `title`, of *it*\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md#a-title-of-it) [b](there.md#other) [c](gone.md) ![d](img/gone.png) [e](https://x.y)\n"
        "```\n[f](in_code.md)\n```\n",
        encoding="utf-8",
    )
    assert broken(page) == ["there.md#other", "gone.md", "img/gone.png"]


def test_pictures_are_all_shown():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for path in (ROOT / "docs" / "img").rglob("*.png"):
        assert f"img/{path.relative_to(ROOT / 'docs' / 'img').as_posix()}" in text, path.name
