"""The rules of the house: an import never goes up, there are no circles, no private name crosses rooms,
and no name hides a module."""

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = {
    "stofm_pyg.nn": 0,
    "stofm_pyg._files": 0,
    "stofm_pyg._scatter": 0,
    "stofm_pyg._seeds": 0,
    "stofm_pyg._threads": 0,
    "stofm_pyg.testing": 0,
    "stofm_pyg.data": 1,
    "stofm_pyg.transforms": 1,
    "stofm_pyg.datasets": 1,
    "stofm_pyg.loader": 1,
    "stofm_pyg.corpus": 1,
    "stofm_pyg.plot": 1,
    "stofm_pyg.models": 2,
    "stofm_pyg.train": 3,
    "stofm_pyg.commands": 4,
    "stofm_pyg.cli": 4,
    "stofm_pyg.__main__": 4,
    "benchmarks": 4,
}
FIRST_FLOOR = {"stofm_pyg." + name for name in ("data", "transforms", "datasets", "loader", "corpus")}
GROUND_MAY_IMPORT = sys.stdlib_module_names | {"torch", "torch_geometric"}
HELPERS_MAY_IMPORT = {
    "stofm_pyg._scatter": {"torch_scatter"},
    "stofm_pyg._seeds": {"numpy"},
    "stofm_pyg._threads": {"threadpoolctl"},
}
# Where a user finds it, above where it is done; only when it is called.
MAY_GO_UP = {("stofm_pyg.models.stofm", "stofm_pyg.train")}

# Modules at the root that all rooms may use although they are private.
SHARED = {"stofm_pyg._files", "stofm_pyg._scatter", "stofm_pyg._seeds", "stofm_pyg._threads"}


class Import(NamedTuple):
    target: str
    line: int
    runs: bool  # when the module is imported, that is, not in a function or for type checkers
    names: tuple[str, ...] = ()  # that are taken from the target


def room_of(module):
    """The key in FLOORS that a module belongs to; None for the package root and strangers."""
    parts = module.split(".")
    room = parts[0] if parts[0] == "benchmarks" else ".".join(parts[:2])
    return room if room in FLOORS else None


def read_modules(root):
    """Module name -> path, for the package and the benchmarks."""
    modules = {}
    for path in sorted([*root.glob("stofm_pyg/**/*.py"), *root.glob("benchmarks/**/*.py")]):
        parts = path.relative_to(root).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def import_nodes(node, runs=True):
    """All import statements below `node`, each with whether it runs at import time."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, runs
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from import_nodes(child, False)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for statement in child.body:
                yield from import_nodes(ast.Module([statement], []), False)
            for statement in child.orelse:
                yield from import_nodes(ast.Module([statement], []), runs)
        else:
            yield from import_nodes(child, runs)


def read_imports(name, path, modules):
    """What a module imports, relative imports resolved, `from a import b` down to a module b."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = []
    for node, runs in import_nodes(tree):
        names_of = {}
        if isinstance(node, ast.Import):
            names_of = {alias.name: [] for alias in node.names}
        else:
            base = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                if f"{base}.{alias.name}" in modules:
                    names_of.setdefault(f"{base}.{alias.name}", [])
                else:
                    names_of.setdefault(base, []).append(alias.name)
        found += [
            Import(target, node.lineno, runs, tuple(names)) for target, names in names_of.items()
        ]
    return found


def is_private(name):
    return name.startswith("_") and not name.endswith("__")


def private_names(room, item):
    """What an import takes from another room that is that room's own."""
    other = room_of(item.target)
    if other is None or other == room:
        return []
    inside = item.target.removeprefix(other).strip(".").split(".")
    if any(is_private(part) for part in inside):
        return [item.target]
    if is_private(other.rpartition(".")[2]) and other not in SHARED:
        return [other]
    return [f"{item.target}.{name}" for name in item.names if is_private(name)]


def bound_names(path, package, modules):
    """The names that a package's __init__ gives something other than the module of that name."""
    bound = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound[node.name] = node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound[node.id] = node.lineno
        elif isinstance(node, ast.Import | ast.ImportFrom):
            base = getattr(node, "module", None)
            base = f"{package}.{base}" if base and getattr(node, "level", 0) else base or package
            for alias in node.names:
                name = alias.asname or alias.name
                if f"{base}.{alias.name}" != f"{package}.{name}" or isinstance(node, ast.Import):
                    bound[name] = node.lineno
    return {name: line for name, line in bound.items() if f"{package}.{name}" in modules}


def executed(importer, target, modules):
    """The modules that importing `target` executes: itself and the packages around it, but for
    those around the importer, which are being imported already."""
    parts = target.split(".")
    around = (".".join(parts[:end]) for end in range(1, len(parts)))
    wanted = {package for package in around if not f"{importer}.".startswith(f"{package}.")}
    return sorted(module for module in wanted | {target} if module in modules)


def find_circle(graph):
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        nodes = error.args[1][:0:-1]
        first = nodes.index(min(nodes))
        return " -> ".join([*nodes[first:], *nodes[:first], nodes[first]])
    return None


def find_violations(root):
    """One sentence for each import under `root` that breaks a rule; none where all is well."""
    modules = read_modules(root)
    violations = []
    files = {name: set() for name in modules}
    packages = {name: set() for name in FIRST_FLOOR}
    for name, path in modules.items():
        room = room_of(name)
        if room is None and name != "stofm_pyg":
            violations.append(f"{name} has no floor: put it in a package or into FLOORS")
            continue
        if path.name == "__init__.py":
            for bound, line in bound_names(path, name, modules).items():
                where = f"{path.relative_to(root).as_posix()}:{line}"
                violations.append(f"{where} hides the module {name}.{bound}")
        for item in read_imports(name, path, modules):
            target, line, runs, _ = item
            where = f"{path.relative_to(root).as_posix()}:{line}"
            other = room_of(target)
            if runs:
                files[name].update(executed(name, target, modules))
            if room in FIRST_FLOOR and other in FIRST_FLOOR - {room}:
                packages[room].add(other)
            if room is None:
                continue  # the package root stands above all; only circles are checked
            for private in private_names(room, item):
                violations.append(f"{where} imports {private}, which is private to its room")
            if other is not None and FLOORS[other] > FLOORS[room]:
                if (name, other) in MAY_GO_UP and not runs:
                    continue
                violations.append(f"{where} goes up from {room} to {other}")
            elif other == "stofm_pyg.testing" and room != other:
                violations.append(f"{where} imports stofm_pyg.testing, which is for tests")
            elif FLOORS[room] == 0 and other not in {room, "stofm_pyg.nn"}:
                allowed = GROUND_MAY_IMPORT | HELPERS_MAY_IMPORT.get(room, set())
                if target.split(".")[0] not in allowed:
                    violations.append(f"{where} imports {target}: {room} is torch and PyG only")
    for kind, graph in (("files", files), ("packages", packages)):
        circle = find_circle(graph)
        if circle is not None:
            violations.append(f"circle of {kind}: {circle}")
    return violations


def test_the_project_keeps_its_rules():
    assert find_violations(ROOT) == []


def test_the_project_is_seen():
    assert {"stofm_pyg", "stofm_pyg.nn"} <= set(read_modules(ROOT))


GOOD = {
    "stofm_pyg/__init__.py": "from .models import Model\n",
    "stofm_pyg/nn/__init__.py": "from .layer import Layer\nfrom . import layer\n",
    "stofm_pyg/nn/layer.py": "import math\nimport torch.nn\nfrom torch_geometric import nn\n",
    "stofm_pyg/data/__init__.py": "from stofm_pyg.data.keys import Keys\n",
    "stofm_pyg/data/keys.py": "import numpy\n",
    "stofm_pyg/data/reader.py": "from . import keys\nfrom ..nn.layer import Layer\n",
    "stofm_pyg/transforms/__init__.py": "from stofm_pyg.data import Keys\n",
    "stofm_pyg/models/__init__.py": "from ..transforms import Keys\nfrom ..nn import Layer\n",
    "stofm_pyg/_files.py": "import os\n",
    "stofm_pyg/_seeds.py": "import numpy\n",
    "stofm_pyg/plot/__init__.py": "from stofm_pyg.plot.panels import panel\n",
    "stofm_pyg/plot/panels.py": "from .._files import write_atomically\nfrom ..data import keys\n",
    "stofm_pyg/data/_private.py": "from ._own import _helper\nfrom .._files import write_atomically\n",
    "stofm_pyg/data/_own.py": "from stofm_pyg import __version__\n",
    "benchmarks/run.py": "from stofm_pyg.models import Model\n",
}


def write_tree(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def test_a_sound_tree_has_no_violation(tmp_path):
    assert find_violations(write_tree(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "stofm_pyg/data/keys.py",
            "\nfrom stofm_pyg.models import Model\n",
            "stofm_pyg/data/keys.py:2 goes up from stofm_pyg.data to stofm_pyg.models",
        ),
        (
            "stofm_pyg/models/lazy.py",
            "def train():\n    from ..train import Trainer\n",
            "stofm_pyg/models/lazy.py:2 goes up from stofm_pyg.models to stofm_pyg.train",
        ),
        (
            "stofm_pyg/nn/layer.py",
            "from stofm_pyg.data.keys import Keys\n",
            "stofm_pyg/nn/layer.py:1 goes up from stofm_pyg.nn to stofm_pyg.data",
        ),
        (
            "stofm_pyg/nn/layer.py",
            "import numpy as np\n",
            "stofm_pyg/nn/layer.py:1 imports numpy: stofm_pyg.nn is torch and PyG only",
        ),
        (
            "stofm_pyg/nn/layer.py",
            "from stofm_pyg import __version__\n",
            "stofm_pyg/nn/layer.py:1 imports stofm_pyg: stofm_pyg.nn is torch and PyG only",
        ),
        (
            "stofm_pyg/models/checks.py",
            "from stofm_pyg import testing\n",
            "stofm_pyg/models/checks.py:1 imports stofm_pyg.testing, which is for tests",
        ),
        (
            "stofm_pyg/data/keys.py",
            "from .reader import Reader\n",
            "circle of files: stofm_pyg.data.keys -> stofm_pyg.data.reader -> stofm_pyg.data.keys",
        ),
        (
            "stofm_pyg/data/reader.py",
            "def read():\n    from ..transforms import Keys\n",
            "circle of packages: stofm_pyg.data -> stofm_pyg.transforms -> stofm_pyg.data",
        ),
        ("stofm_pyg/helpers.py", "", "stofm_pyg.helpers has no floor"),
        (
            "stofm_pyg/_files.py",
            "import numpy\n",
            "stofm_pyg/_files.py:1 imports numpy: stofm_pyg._files is torch and PyG only",
        ),
        (
            "stofm_pyg/models/read.py",
            "import os\nfrom ..data._own import helper\n",
            "stofm_pyg/models/read.py:2 imports stofm_pyg.data._own, which is private to its room",
        ),
        (
            "stofm_pyg/models/read.py",
            "from stofm_pyg.data import _own\n",
            "stofm_pyg/models/read.py:1 imports stofm_pyg.data._own, which is private to its room",
        ),
        (
            "stofm_pyg/models/read.py",
            "def read():\n    from ..data.keys import Keys, _key\n",
            "stofm_pyg/models/read.py:2 imports stofm_pyg.data.keys._key, which is private",
        ),
        (
            "stofm_pyg/models/read.py",
            "from stofm_pyg._files import _rename\n",
            "stofm_pyg/models/read.py:1 imports stofm_pyg._files._rename, which is private",
        ),
        (
            "stofm_pyg/plot/draw.py",
            "from stofm_pyg.models import Model\n",
            "stofm_pyg/plot/draw.py:1 goes up from stofm_pyg.plot to stofm_pyg.models",
        ),
        (
            "benchmarks/run.py",
            "import stofm_pyg.data._own\n",
            "benchmarks/run.py:1 imports stofm_pyg.data._own, which is private to its room",
        ),
        (
            "stofm_pyg/nn/__init__.py",
            "import math\nfrom .attention import layer\n",
            "stofm_pyg/nn/__init__.py:2 hides the module stofm_pyg.nn.layer",
        ),
        (
            "stofm_pyg/nn/__init__.py",
            "from stofm_pyg.nn.layer import Layer as layer\n",
            "stofm_pyg/nn/__init__.py:1 hides the module stofm_pyg.nn.layer",
        ),
        (
            "stofm_pyg/nn/__init__.py",
            "def layer():\n    pass\n",
            "stofm_pyg/nn/__init__.py:1 hides the module stofm_pyg.nn.layer",
        ),
        (
            "stofm_pyg/nn/__init__.py",
            "layer = 3\n",
            "stofm_pyg/nn/__init__.py:1 hides the module stofm_pyg.nn.layer",
        ),
        (
            "stofm_pyg/data/__init__.py",
            "from stofm_pyg.data.slices.reader import slices\n",
            "stofm_pyg/data/__init__.py:1 hides the module stofm_pyg.data.slices",
        ),
    ],
)
def test_a_violation_is_reported(tmp_path, name, text, expected):
    more = {"stofm_pyg/testing.py": "import torch\n", "stofm_pyg/data/slices/__init__.py": ""}
    found = find_violations(write_tree(tmp_path, {**GOOD, **more, name: text}))
    assert any(violation.startswith(expected) for violation in found), found


def test_a_circle_through_a_package_is_reported(tmp_path):
    files = {
        "stofm_pyg/__init__.py": "",
        "stofm_pyg/data/__init__.py": "from .reader import Reader\n",
        "stofm_pyg/data/reader.py": "from stofm_pyg.data import Reader\n",
    }
    assert [v.split(":")[0] for v in find_violations(write_tree(tmp_path, files))] == [
        "circle of files"
    ]


def test_an_import_for_type_checkers_makes_no_circle_but_may_not_go_up(tmp_path):
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from {} import X\n"
    sideways = {"stofm_pyg/data/keys.py": text.format(".reader")}
    assert find_violations(write_tree(tmp_path, {**GOOD, **sideways})) == []
    up = {"stofm_pyg/data/keys.py": text.format("stofm_pyg.train")}
    assert find_violations(write_tree(tmp_path, {**GOOD, **up})) == [
        "stofm_pyg/data/keys.py:3 goes up from stofm_pyg.data to stofm_pyg.train"
    ]


def test_fit_may_ask_what_is_above_when_it_is_called(tmp_path):
    train = {"stofm_pyg/train/__init__.py": ""}
    lazy = {"stofm_pyg/models/stofm.py": "def fit():\n    from stofm_pyg.train import Trainer\n"}
    assert find_violations(write_tree(tmp_path, {**GOOD, **train, **lazy})) == []
    at_once = {"stofm_pyg/models/stofm.py": "from stofm_pyg.train import Trainer\n"}
    assert find_violations(write_tree(tmp_path, at_once)) == [
        "stofm_pyg/models/stofm.py:1 goes up from stofm_pyg.models to stofm_pyg.train"
    ]
