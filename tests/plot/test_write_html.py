import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from stofm_pyg.plot import class_colors, write_html
from tests.plot.plot_case import small_tissue

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
#: What a person would do: look where a cell is, put the mouse there, turn the wheel; then what is seen.
SCRIPT = """
<script>
(async () => {
  const sleep = ms => new Promise(done => setTimeout(done, ms));
  const all = root => [...root.querySelectorAll("*")].flatMap(
    e => e.shadowRoot ? [e, ...all(e.shadowRoot)] : [e]);
  while (!window.Bokeh || !Bokeh.documents.length || !all(document).some(e => e.matches("canvas")))
    await sleep(20);
  await sleep(300);
  const views = [...Bokeh.index.all_views ? Bokeh.index.all_views() : Object.values(Bokeh.index)];
  const figures = [...Bokeh.documents[0].all_models ?? Bokeh.documents[0]._all_models.values()]
    .filter(m => m.type == "Figure");
  const figure = figures[0];
  const view = views.find(v => v.model === figure) ?? Bokeh.index.get_by_id(figure.id);
  const source = figure.renderers[0].data_source.data;
  const events = all(document).find(e => e.matches(".bk-events"));
  const box = events.getBoundingClientRect();
  const at = {
    bubbles: true, composed: true, cancelable: true, pointerId: 1, pointerType: "mouse", isPrimary: true,
    clientX: box.left + view.frame.x_scale.compute(source.x[0]),
    clientY: box.top + view.frame.y_scale.compute(source.y[0]),
  };
  for (const name of ["pointerenter", "pointermove"]) events.dispatchEvent(new PointerEvent(name, at));
  events.dispatchEvent(new MouseEvent("mousemove", at));
  await sleep(300);
  const told = all(document).filter(e => e.className?.includes?.("tooltip") || e.matches(".bk-Tooltip"))
    .flatMap(e => [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])])
    .filter(e => e.tagName != "STYLE" && !e.children.length).map(e => e.textContent).join(" ");
  const width = () => figure.x_range.end - figure.x_range.start;
  const before = width();
  events.dispatchEvent(new WheelEvent("wheel", {...at, deltaY: -300}));
  await sleep(300);
  const seen = {
    figures: figures.length, told, before, after: width(),
    drawn: figure.renderers.map(r => r.data_source.data.x.length),
    colors: figure.renderers.map(r => r.glyph.fill_color.value),
  };
  const out = document.createElement("pre");
  out.id = "seen";
  out.textContent = JSON.stringify(seen);
  document.body.appendChild(out);
})().catch(error => document.body.append("SCRIPT FAILED " + error.stack));
</script>
"""


@pytest.fixture
def browser():
    named = os.environ.get("STOFM_PYG_BROWSER")
    found = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"needs a browser: one of {', '.join(BROWSERS)}, or its path in STOFM_PYG_BROWSER")
    return found


def open_page(browser, path):
    """What the page looks like after its scripts ran, as the browser tells it, and what it asked for."""
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000"]
    command += ["--virtual-time-budget=20000", "--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom"]
    result = subprocess.run([*command, path.as_uri()], capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_page_opens_zooms_and_tells_what_is_under_the_mouse(tmp_path, browser):
    pytest.importorskip("bokeh", reason="needs bokeh, of the extra 'html'")
    adata = small_tissue(slices=("s1",))
    path = write_html(adata, tmp_path / "a.html", key=["stofm_domain", "cell_type"])
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("</body>", f"{SCRIPT}</body>"), encoding="utf-8")
    dom = open_page(browser, path)
    found = re.search(r'<pre id="seen">(.*?)</pre>', dom, re.DOTALL)
    assert found, re.findall("SCRIPT FAILED.*", dom)
    seen = json.loads(found[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
    assert seen["figures"] == 1 and seen["drawn"] == [20, 20, 20]
    rgb = [tuple(round(255 * part) for part in color[:3]) for color in class_colors(3)]
    assert [color.lower() for color in seen["colors"]] == ["#{:02x}{:02x}{:02x}".format(*c) for c in rgb]
    assert re.search(r"cell:?\s*0\b.*stofm_domain:?\s*0\b.*cell_type:?\s*[AB]", seen["told"], re.DOTALL)
    assert 0 < seen["after"] < 0.95 * seen["before"]


def test_a_page_needs_no_other_file(tmp_path):
    pytest.importorskip("bokeh", reason="needs bokeh, of the extra 'html'")
    path = write_html(small_tissue(), tmp_path / "a.html")
    text = path.read_text(encoding="utf-8")
    tags = re.sub(r"(<script[^>]*>).*?</script>", r"\1", text, flags=re.DOTALL)
    assert len(tags) < len(text) / 10 and not re.search(r"\b(src|href)\s*=", tags)
    assert [file.name for file in tmp_path.iterdir()] == ["a.html"]


def test_bad_pages(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="a.png' does not end in .html"):
        write_html(small_tissue(), tmp_path / "a.png")
    with pytest.raises(FileNotFoundError, match="no folder '.*absent' for the page 'a.html'"):
        write_html(small_tissue(), tmp_path / "absent" / "a.html")
    monkeypatch.setattr(sys.modules["stofm_pyg.plot._write_html"], "MAX_CELLS", 100)
    with pytest.raises(ValueError, match=r"120 cells are too many for a browser \(at most 100\)"):
        write_html(small_tissue(), tmp_path / "a.html")
    monkeypatch.setattr(sys.modules["stofm_pyg.plot._write_html"], "MAX_CELLS", 1000)
    monkeypatch.setitem(sys.modules, "bokeh.embed", None)
    with pytest.raises(ImportError, match=r"pip install \"stofm-pyg\[html\]\""):
        write_html(small_tissue(), tmp_path / "a.html")
    assert list(tmp_path.iterdir()) == []
