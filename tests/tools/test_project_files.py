"""What is written about the project for machines: it says what is there."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


def read(name):
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def setup_says(word):
    return re.search(rf'{word}="(.+?)"', (ROOT / "setup.py").read_text(encoding="utf-8"))[1]


def test_the_workflow_runs_what_ci_runs_on_every_python_and_keeps_compiled_wheels():
    (job,) = read(".github/workflows/ci.yml")["jobs"].values()
    versions = job["strategy"]["matrix"]["python"]
    assert versions == ["3.10", "3.11", "3.12", "3.13"]
    assert setup_says("python_requires") == f">={versions[0]}"
    assert job["steps"][-1]["run"] == "bash .ci/run" and (ROOT / ".ci" / "run").is_file()
    (kept,) = [step["with"] for step in job["steps"] if "actions/cache@" in step.get("uses", "")]
    assert job["env"]["STOFM_PYG_CACHE"].endswith("/" + kept["path"])
    assert "matrix.python" in kept["key"] and "requirements.txt" in kept["key"]


def test_hooks_run_files_that_are_there():
    (repo,) = read(".pre-commit-config.yaml")["repos"]
    entries = {hook["id"]: hook["entry"].split() for hook in repo["hooks"]}
    assert entries["ruff"][-3:] == ["-m", "ruff", "check"]
    assert (ROOT / entries["floors"][-1]).is_file()


def test_the_citation_names_the_paper_and_no_version():
    citation = read("CITATION.cff")
    assert citation["license"] == setup_says("license") and "version" not in citation
    paper = citation["preferred-citation"]
    assert paper["url"].endswith(paper["identifiers"][0]["value"].removeprefix("arXiv:"))
    assert [person["family-names"] for person in paper["authors"]][0] == "Zhao"


def test_what_is_type_checked_is_there():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"\[tool\.mypy\].*?files = \[(.*?)\]", text, re.DOTALL)[1]
    files = re.findall(r'"(.+?)"', listed)
    assert "tests/public_api.py" in files and all((ROOT / file).is_file() for file in files)


def test_every_target_that_is_explained_exists():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"^make (\S+)", page, re.MULTILINE)
    assert len(named) >= 5
    for name in named:
        assert re.search(rf"^{name}:", text, re.MULTILINE), name
