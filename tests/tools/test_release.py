"""What stands between a tree and a release."""

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-11-26\n\n### Added\n\n- All.\n"


@pytest.fixture
def tools(monkeypatch):
    loaded = []
    for name in ("check_wheel", "release"):
        spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        loaded.append(module)
    return loaded


def git(root, *words):
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@b.c", *words]
    subprocess.run(command, cwd=root, check=True, capture_output=True)


@pytest.fixture
def root(tmp_path):
    """A repository that may be released."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    (tmp_path / "stofm_pyg").mkdir()
    (tmp_path / "stofm_pyg" / "__init__.py").write_text('"""House."""\n\n__version__ = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "All")
    return tmp_path


def test_a_tree_that_may_be_released(tools, root):
    _, release = tools
    assert release.read_version(root) == "1.2.0"
    assert release.problems(root) == []


@pytest.mark.parametrize(
    ("changelog", "words"),
    [
        ("## [Unreleased]\n\n- New.\n", "has no section '## [1.2.0] - DATE'"),
        ("## [1.2.0]\n\n- All.\n", "the section [1.2.0] of CHANGELOG.md has no date"),
        (CHANGELOG.replace("\n\n## [1.2", "\n\n- New.\n\n## [1.2"), "has entries in [Unreleased]"),
    ],
)
def test_a_changelog_that_does_not_fit(tools, root, changelog, words):
    (root / "CHANGELOG.md").write_text(changelog)
    git(root, "commit", "-q", "-a", "-m", "Change")
    (problem,) = tools[1].problems(root)
    assert words in problem


def test_a_changed_tree_and_a_tag_that_is_there(tools, root):
    (root / "new.py").write_text("")
    git(root, "tag", "v1.2.0")
    first, second = tools[1].problems(root)
    assert first == "1 files are changed or unknown to git: commit or remove them"
    assert second.startswith("the tag v1.2.0 is there: raise __version__")


def test_no_version(tools, root):
    (root / "stofm_pyg" / "__init__.py").write_text("__version__ = VERSION\n")
    with pytest.raises(SystemExit, match="has no line '__version__"):
        tools[1].read_version(root)


def test_it_says_what_is_next_and_does_nothing(tools, root, monkeypatch, capsys):
    _, release = tools
    files = (root / "dist" / "a.tar.gz", root / "dist" / "a.whl")
    monkeypatch.setattr(release, "ROOT", root)
    monkeypatch.setattr(release, "check", lambda given, out: files)
    monkeypatch.setattr(release, "find_spec", lambda name: None)
    assert release.main() == 0
    said = capsys.readouterr().out
    assert "twine is not installed" in said and "git push origin v1.2.0\n" in said
    assert "twine upload dist/a.tar.gz dist/a.whl\n" in said
    listed = subprocess.run(["git", "tag"], cwd=root, capture_output=True, text=True, check=True)
    assert listed.stdout == ""
    (root / "new.py").write_text("")
    assert release.main() == 1
    assert "stofm-pyg 1.2.0 cannot be released yet:\n  1 files" in capsys.readouterr().err


def test_the_project_has_one_version_and_it_can_be_read(tools):
    root = TOOLS.parent
    version = tools[1].read_version(root)
    for name in ("setup.py", "pyproject.toml", "CITATION.cff", "Makefile"):
        assert f'"{version}"' not in (root / name).read_text(encoding="utf-8")


def test_what_a_wheel_lacks_is_named(tools, tmp_path):
    check_wheel, _ = tools
    for name in ("stofm_pyg/a.py", "stofm_pyg/py.typed", "stofm_pyg/__pycache__/a.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    wheel = tmp_path / "x-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("stofm_pyg/a.py", "")
        archive.writestr("tests/test_a.py", "")
        archive.writestr("x-1.dist-info/METADATA", "")
    assert check_wheel.missing(tmp_path, wheel) == [
        "not in the wheel: stofm_pyg/py.typed",
        "in the wheel, and not of the package: tests/test_a.py",
    ]


def test_a_command_that_fails_ends_with_what_it_said(tools, tmp_path):
    with pytest.raises(SystemExit, match=r"(?s)the reason\n\nthis failed \(exit 3\)"):
        tools[0].run([sys.executable, "-S", "-c", "print('the reason'); raise SystemExit(3)"], tmp_path)
