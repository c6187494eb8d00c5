r"""Adds to the site of `make docs` what stands outside of `docs/`: README, CONTRIBUTING, CHANGELOG and
the examples; and mends the links between them. A hook of MkDocs, see `mkdocs.yml`."""

import sys
from pathlib import Path

from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.docs_markdown import ROOT, places, relinked  # noqa: E402

# Formulas are drawn by MathJax, where its server can be reached; else they stand as they are written.
MATHJAX = r"""<script>window.MathJax = {
  tex: {inlineMath: [["\\(", "\\)"]], displayMath: [["\\[", "\\]"]]},
  options: {ignoreHtmlClass: ".*|", processHtmlClass: "arithmatex"}};</script>
<script async src="https://cdn.jsdelivr.net/npm/mathjax@3/es5/tex-mml-chtml.js"></script>
"""


def on_files(files, config):
    known = places()
    for source, place in known.items():
        if source.startswith("docs/"):
            continue
        path = ROOT / source
        if place.endswith(".md"):
            text = relinked(path.read_text(encoding="utf-8"), source, known)
            files.append(File.generated(config, place, content=text))
        else:
            files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown, page, config, files):
    source = f"docs/{page.file.src_uri}"
    known = places()
    return relinked(markdown, source, known) if source in known else markdown


def on_post_page(output, page, config):
    has_formulas = 'class="arithmatex"' in output
    return output.replace("</head>", f"{MATHJAX}</head>", 1) if has_formulas else output
