import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from benchmarks import report
from benchmarks.results import Results
from benchmarks.small_pictures import data_uri, small_png

VOID = {"meta", "img", "line", "rect", "circle"}


class Checked(HTMLParser):
    """Fails where tags are not closed in order; notes addresses, tables and identifiers."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found, self.cells = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "td":
            self.cells.append(data)


def write_results(out, task="segmentation", scores=None, notes="Split `cross`."):
    """Results of three rows on two slices, with a picture for each row."""
    scores = scores or {"stofm": (0.9, 0.7), "untrained": (0.5, 0.4), "pca <&>": (0.6, 0.8)}
    results = Results(out, ("macro_f1", "rmse"), ("rmse",), notes)
    rows = {name: {"method": name} for name in scores}
    slices = [{"name": "a", "cells": 30}, {"name": "b", "cells": 20}]
    settings = {"label": "domain", "preset": "tiny", "runs": 1, "seed": 0, "device": "cpu"}
    results.start(rows, task=task, data=["/data/one.h5ad"], slices=slices, **settings)
    (out / "pictures").mkdir()
    for number, (name, values) in enumerate(scores.items()):
        each = {key: {"macro_f1": v, "rmse": 1 - v} for key, v in zip("ab", values, strict=True)}
        mean = float(np.mean(values))
        results.add(name, 0, rows[name], {
            "scores": each, "macro_f1": mean, "rmse": 1 - mean, "seconds": {"embed": 1.0},
            "peak_mib": 100.0, "info": {}, "extras": {"class_f1": {"L1": mean, "L2": 0.5}},
        })  # fmt: skip
        picture = np.full((60, 1500, 3), 40 * number, dtype=np.uint8)
        Image.fromarray(picture).save(out / "pictures" / f"{report.slug(name)}-domains.png")
    results.finish(list(scores))
    return out


def test_a_page_of_one_task(tmp_path):
    write_results(tmp_path / "r")
    assert (
        report.main(
            [
                str(tmp_path / "r"),
                "--out",
                str(tmp_path / "page"),
                "--title",
                "Mine & yours",
                "--about",
                "By `run.py` & more.",
            ]
        )
        == 0
    )
    text = (tmp_path / "page" / "report.html").read_text()
    page = Checked(text)
    # Nothing from outside: pictures are in the page.
    links = [attrs[key] for _, attrs in page.found for key in ("src", "href") if key in attrs]
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert "http" not in re.sub(r"data:image[^\"]*", "", text) and "Mine &amp; yours" in text
    assert "@import" not in text and "<link" not in text
    pictures = [attrs["alt"] for tag, attrs in page.found if tag == "img"]
    assert pictures == ["stofm, domains", "pca <&>, domains"]
    # Sorted from the best to the worst, with what tables are sorted by.
    assert [name for name in page.cells if name in ("stofm", "untrained")][:2] == ["stofm", "untrained"]
    keys = [attrs["data-key"] for tag, attrs in page.found if tag == "td"]
    assert keys[0] == "stofm" and [float(key) for key in keys[1:3]] == pytest.approx([0.8, 0.2])
    best = [attrs for tag, attrs in page.found if tag == "td" and attrs.get("class") == "best"]
    assert [float(item["data-key"]) for item in best[:2]] == pytest.approx([0.8, 0.2])
    assert '<p class="facts">By <code>run.py</code> &amp; more.</p>' in text
    assert "RMSE ↓" in text and "<code>cross</code>" in text
    circles = [tag for tag, _ in page.found if tag == "circle"]
    assert len(circles) == 6

    page = (tmp_path / "page" / "report.md").read_text()
    assert page.startswith("# Mine & yours\n\nBy `run.py` & more.\n\n")
    assert "| stofm | **0.800** | 0.200 |" in page
    assert "| a | +0.300 (+0.300 to +0.300) |" in page and "| b | -0.100" in page
    assert "| F1 of | L1 | L2 |" in page and "| untrained | 0.450 | 0.500 |" in page
    for path in re.findall(r"!\[.*?\]\((.*?)\)", page):
        with Image.open(tmp_path / "page" / path) as picture:
            assert picture.width == 1100 and picture.height == 44


def test_several_results_at_a_glance(tmp_path):
    write_results(tmp_path / "brain" / "segmentation")
    write_results(tmp_path / "tumour" / "segmentation", scores={"stofm": (0.2, 0.4), "nnls": (0.5, 0.5)})
    write_results(tmp_path / "brain" / "imputation", "imputation")
    report.write_page([tmp_path], tmp_path / "page", which="none")
    page = (tmp_path / "page" / "report.md").read_text()
    titles = ("segmentation: brain", "segmentation: tumour", "imputation: brain")
    head = [f"{title} (macro-F1)" for title in titles]
    head = f"| method | {' | '.join(head)} |"
    assert head in page
    assert "| stofm | **0.800** | 0.300 | **0.800** |" in page and "| nnls |  | **0.500** |  |" in page
    text = (tmp_path / "page" / "report.html").read_text()
    assert "<img" not in text and not (tmp_path / "page" / "report-pictures").exists()
    page = Checked(text)
    links = [attrs["href"] for tag, attrs in page.found if tag == "a"]
    assert (
        links
        == ["#s0", "#s1", "#s2"]
        == [f"#{attrs['id']}" for tag, attrs in page.found if tag == "section"]
    )
    # Written anew, old pictures are gone.
    report.write_page([tmp_path / "brain"], tmp_path / "page", which="all")
    assert len(list((tmp_path / "page" / "report-pictures").iterdir())) == 6
    assert Checked((tmp_path / "page" / "report.html").read_text()).found
    # One of SToFM for each task, that which says most.
    pictures = tmp_path / "brain" / "segmentation" / "pictures"
    (pictures / "stofm-truth-and-prediction.png").write_bytes(
        (pictures / "stofm-domains.png").read_bytes()
    )
    report.write_page([tmp_path / "brain"], tmp_path / "page", which="one")
    assert sorted(path.name for path in (tmp_path / "page" / "report-pictures").iterdir()) == [
        "1-segmentation-stofm-truth-and-prediction.png", "2-imputation-stofm-domains.png"
    ]  # fmt: skip


def test_what_is_no_result_is_said(tmp_path, capsys):
    def error(*paths):
        assert report.main([*map(str, paths), "--out", str(tmp_path / "page")]) == 2
        return capsys.readouterr().err

    assert "There is no 'results.json' in" in error(tmp_path / "none")
    path = tmp_path / "results.json"
    path.write_text("{")
    assert "is damaged" in error(tmp_path)
    path.write_text(json.dumps({"task": "segmentation"}))
    assert "is of another release of this benchmark" in error(tmp_path)
    path.write_text(json.dumps({"task": "segmentation", "metrics": ["f1"], "results": [], "slices": []}))
    assert "holds no run that was done" in error(tmp_path)
    assert not (tmp_path / "page").exists()


def test_small_pictures(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(small_png(tmp_path / "a.png"))
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.size == (60, 40) and len(picture.getcolors()) <= 128
    assert data_uri(tmp_path / "b.png").startswith("data:image/png;base64,iVBOR")
    noise = rng.integers(0, 255, (400, 600, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    large, small = small_png(tmp_path / "noise.png"), small_png(tmp_path / "noise.png", 60)
    assert len(small) <= 60 * 1024 < len(large)
    with Image.open(io.BytesIO(small)) as picture:
        assert 200 <= picture.width < 600 and abs(picture.height - picture.width / 1.5) <= 1
    with pytest.raises(ValueError, match="cannot be made as small as 1 KiB"):
        small_png(tmp_path / "noise.png", 1)
    (tmp_path / "c.png").write_text("no picture")
    with pytest.raises(ValueError, match="'.*c.png' is no picture"):
        small_png(tmp_path / "c.png")
