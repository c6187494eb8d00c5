"""Build and check a release, and say what to do next; nothing is pushed.

    make release

The version is `__version__` in stofm_pyg/__init__.py, and nowhere else. Refused where the tree has
changes, CHANGELOG.md has no dated section of that version or has entries in [Unreleased], or the tag is
there already.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from check_wheel import ROOT, check

VERSION = re.compile(r'^__version__ = "(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)"$', re.MULTILINE)


def read_version(root: Path) -> str:
    """The one version number."""
    found = VERSION.search((root / "stofm_pyg" / "__init__.py").read_text(encoding="utf-8"))
    if found is None:
        raise SystemExit("stofm_pyg/__init__.py has no line '__version__ = \"X.Y.Z\"'")
    return found[1]


def read_sections(changelog: str) -> dict[str, tuple[str, str]]:
    """What CHANGELOG.md says: version -> the rest of its heading, and the text below."""
    parts = re.split(r"^## \[(.+?)\](.*)$", changelog, flags=re.MULTILINE)
    return {
        name: (rest.strip(" -"), text.strip())
        for name, rest, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    }


def git(root: Path, *words: str) -> str:
    """What a git command prints."""
    done = subprocess.run(["git", *words], cwd=root, check=False, text=True, capture_output=True)
    if done.returncode != 0:
        raise SystemExit(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def problems(root: Path) -> list[str]:
    """What stands between this tree and a release, a sentence each."""
    version, found = read_version(root), []
    changed = git(root, "status", "--porcelain").splitlines()
    if changed:
        found.append(f"{len(changed)} files are changed or unknown to git: commit or remove them")
    if git(root, "tag", "--list", f"v{version}").strip():
        found.append(f"the tag v{version} is there: raise __version__ in stofm_pyg/__init__.py")
    sections = read_sections((root / "CHANGELOG.md").read_text(encoding="utf-8"))
    if version not in sections:
        found.append(f"CHANGELOG.md has no section '## [{version}] - DATE': name [Unreleased] so")
    elif not re.fullmatch(r"\d{4}-\d{2}-\d{2}", sections[version][0]):
        found.append(f"the section [{version}] of CHANGELOG.md has no date: 'YYYY-MM-DD' after it")
    if version in sections and sections.get("Unreleased", ("", ""))[1]:
        found.append(f"CHANGELOG.md has entries in [Unreleased]: move them to [{version}]")
    return found


def next_steps(version: str, files: list[str]) -> str:
    """What a person does now."""
    return "\n".join(
        [
            f"stofm-pyg {version} is ready. Next, by hand:",
            f"  git tag -a v{version} -m 'stofm-pyg {version}'",
            f"  git push origin v{version}",
            f"  python -m twine upload {' '.join(files)}",
            "  and open [Unreleased] in CHANGELOG.md again",
        ]
    )


def main() -> int:
    """Run the script; returns the exit status."""
    version, found = read_version(ROOT), problems(ROOT)
    if found:
        print(f"stofm-pyg {version} cannot be released yet:", file=sys.stderr)
        print("\n".join(f"  {problem}" for problem in found), file=sys.stderr)
        return 1
    out = ROOT / "dist"
    shutil.rmtree(out, ignore_errors=True)
    files = [str(path.relative_to(ROOT)) for path in check(ROOT, out)]
    if find_spec("twine") is None:
        print("twine is not installed (pip install 'stofm-pyg[dev]'): its check is left out")
    else:
        command = [sys.executable, "-m", "twine", "check", "--strict", *files]
        subprocess.run(command, cwd=ROOT, check=True)
    print(next_steps(version, files))
    return 0


if __name__ == "__main__":
    sys.exit(main())
