"""The set-up's own decisions, without network: every command goes to a recorder."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
MODULES = ("processes", "places", "extensions", "setup")
PROBE = {
    "tag": "cp311",
    "platform": "linux-x86_64-glibc2.36",
    "torch": "2.13.0+cpu",
    "cuda": None,
    "gpus": [],
}
CUDA_PROBE = {**PROBE, "torch": "2.13.0+cu130", "cuda": "13.0", "gpus": ["sm90"]}


@pytest.fixture
def tools(monkeypatch):
    """The scripts, loaded from their paths under the names they know each other by."""
    loaded = {}
    for name in MODULES:
        spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
        loaded[name] = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, loaded[name])
        spec.loader.exec_module(loaded[name])
    for variable in ("CXX", "CFLAGS", "CXXFLAGS", "MAX_JOBS", "DIST_EXTRA_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("TORCH_INDEX_URL", "FORCE_CUDA", "FORCE_ONLY_CPU"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("STOFM_PYG_CPU_INDEX", "STOFM_PYG_WHEELS"):  # tests/tools/test_places.py has these
        monkeypatch.setenv(variable, "")
    return SimpleNamespace(**loaded)


@pytest.fixture
def commands(tools, monkeypatch, tmp_path):
    """Records the commands instead of running them; `commands.reply` gives the exit status."""
    record = SimpleNamespace(lines=[], environments=[], reply=lambda line: 0)

    def call(command, env=None, log=None):
        line = " ".join(map(str, command))
        record.lines.append(line)
        record.environments.append(env)
        if log is not None and log != os.devnull:
            Path(log).write_text("one line\nerror: what the compiler said\n", encoding="utf-8")
        return record.reply(line)

    def run(command, **settings):
        return SimpleNamespace(returncode=0, stdout=json.dumps(PROBE))

    for module in (tools.processes, tools.extensions, tools.setup):
        monkeypatch.setattr(module, "call", call)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setenv("STOFM_PYG_CACHE", str(tmp_path / "cache"))
    return record


@pytest.fixture
def project(tmp_path):
    """A repository with all that a set-up reads, and a venv that looks sound."""
    root = tmp_path / "project"
    (root / "tools").mkdir(parents=True)
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "bin" / "python").write_text("", encoding="utf-8")
    (root / ".venv" / "pyvenv.cfg").write_text("version = 3.11.7\n", encoding="utf-8")
    for name in ("setup.py", *(f"tools/{module}.py" for module in MODULES)):
        (root / name).write_text("", encoding="utf-8")
    pins = "setuptools==84\nwheel==1\nninja==1\ntorch==2.13.0\ntorch-cluster==1.6.3\n"
    more = 'torch-scatter==2.1.2\ntorch-geometric==2.8.1\nnumpy==2.4; python_version >= "3.11"\n'
    (root / "requirements.txt").write_text(pins + more, encoding="utf-8")
    return root


def write_wheel(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("module.py", "value = 1\n" * 1000)
    return path


def write_wheel_at_option(line, option, name):
    """What pip does for `--wheel-dir FOLDER` and `--dest FOLDER`."""
    words = line.split()
    write_wheel(Path(words[words.index(option) + 1]) / name)


def test_pins_are_read_where_they_hold_for_every_python(tools):
    text = '# torch==1\ntorch==2.13.0\nnumpy==2.4; python_version >= "3.11"\npyyaml==6  # here\n'
    assert tools.setup.read_pins(text) == {"torch": "2.13.0", "pyyaml": "6"}


def test_the_real_requirements_pin_what_the_script_asks_for(tools):
    pins = tools.setup.read_pins((TOOLS.parent / "requirements.txt").read_text(encoding="utf-8"))
    assert {"torch", *tools.setup.BUILD_TOOLS, *tools.setup.EXTENSIONS} <= set(pins)


def test_only_the_extensions_are_left_out_of_the_rest(tools):
    text = "torch==2\ntorch-cluster==1\ntorch-cluster-more==1\n# torch-scatter\ntorch-scatter==2\n"
    rest = tools.setup.without(text, tools.setup.EXTENSIONS)
    assert rest == "torch==2\ntorch-cluster-more==1\n# torch-scatter\n"


@pytest.mark.parametrize(
    "changed", ["requirements.txt", "setup.py", "tools/setup.py", "tools/places.py", ".venv/pyvenv.cfg"]
)
def test_the_stamp_changes_with_what_decides_the_set_up(tools, project, changed):
    before = tools.setup.stamp_hash(project)
    assert tools.setup.stamp_hash(project) == before
    (project / changed).write_text("version = 3.12.1\n", encoding="utf-8")
    assert tools.setup.stamp_hash(project) != before


def test_a_moved_project_has_another_stamp(tools, project):
    before = tools.setup.stamp_hash(project)
    assert tools.setup.stamp_hash(project.rename(project.with_name("moved"))) != before


def test_a_finished_set_up_calls_nothing(tools, project, commands, monkeypatch):
    monkeypatch.setattr(tools.setup, "ROOT", project)
    tools.setup.write_stamp(project, missing={})
    assert tools.setup.main([]) == 0
    assert tools.setup.main(["--retry"]) == 0
    assert commands.lines == []


@pytest.mark.parametrize("spoil", ["stamp", "python", "requirements"])
def test_an_unfinished_or_broken_set_up_is_not_finished(tools, project, spoil):
    tools.setup.write_stamp(project, missing={})
    assert tools.setup.is_finished(project)
    if spoil == "stamp":
        (project / tools.setup.STAMP).write_text('{"hash": "', encoding="utf-8")
    elif spoil == "python":
        (project / ".venv" / "bin" / "python").unlink()
    else:
        (project / "requirements.txt").write_text("torch==3\n", encoding="utf-8")
    assert not tools.setup.is_finished(project)


@pytest.mark.parametrize(
    ("then", "now", "retry", "finished"),
    [
        (None, None, False, True),
        (None, "g++", False, False),
        ("g++", "g++", False, True),
        (None, None, True, False),
    ],
)
def test_a_missing_extension_is_tried_again_when_that_can_help(
    tools, project, monkeypatch, capsys, then, now, retry, finished
):
    monkeypatch.setattr(tools.setup, "find_compiler", lambda environ: then)
    tools.setup.write_stamp(project, missing={"torch-cluster": "no compiler"})
    monkeypatch.setattr(tools.setup, "find_compiler", lambda environ: now)
    assert tools.setup.is_finished(project, retry) is finished
    assert ("without torch-cluster" in capsys.readouterr().out) is finished


def test_a_set_up_goes_through_all_steps_in_order(tools, project, commands, monkeypatch):
    monkeypatch.setattr(tools.setup, "ROOT", project)
    monkeypatch.setenv("TORCH_INDEX_URL", "https://index.example/cpu")
    cache = tools.extensions.cache_folder(os.environ) / tools.extensions.wheel_key(PROBE, False)
    wheels = [
        write_wheel(cache / "torch_cluster-1.6.3-cp311-cp311-linux_x86_64.whl"),
        write_wheel(cache / "torch_scatter-2.1.2-cp311-cp311-linux_x86_64.whl"),
    ]
    assert tools.setup.main([]) == 0
    installs = [line.split("-m pip install ")[1] for line in commands.lines if " install " in line]
    assert installs[0] == "-qq --upgrade pip"
    assert installs[1] == "-qq setuptools==84 wheel==1 ninja==1"
    assert installs[2] == "torch==2.13.0 --index-url https://index.example/cpu"
    assert installs[3] == f"--no-deps --force-reinstall {wheels[0]}"
    assert installs[4] == f"--no-deps --force-reinstall {wheels[1]}"
    assert installs[5].startswith("-qq -r ")
    assert installs[6] == f"-qq --no-deps --no-build-isolation -e {project}"
    assert len(installs) == 7
    assert tools.setup.is_finished(project)


def test_a_failing_step_names_the_command_and_the_mend(
    tools, project, commands, monkeypatch, capsys
):
    monkeypatch.setattr(tools.setup, "ROOT", project)
    commands.reply = lambda line: 1 if "torch==2.13.0" in line else 0
    assert tools.setup.main([]) == 1
    message = capsys.readouterr().err
    assert f"(exit 1): {project}/.venv/bin/python -m pip install torch==2.13.0" in message
    assert "run the same again" in message
    assert not tools.setup.is_finished(project)


def test_a_venv_without_python_is_made_anew(tools, project, commands):
    (project / ".venv" / "bin" / "python").unlink()
    tools.setup.make_venv(project)
    assert len(commands.lines) == 1
    assert commands.lines[0].endswith(f"-m venv --clear {project}/.venv")


def test_a_venv_without_pip_is_mended_or_made_anew(tools, project, commands):
    commands.reply = lambda line: int(line.endswith("import pip"))
    tools.setup.make_venv(project)
    ends = [line.split("bin/python ")[-1] for line in commands.lines]
    assert ends[:3] == ["-c import pip", "-m ensurepip", "-c import pip"]
    assert "-m venv --clear" in ends[3]


def test_an_old_python_is_refused(tools, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    with pytest.raises(tools.processes.SetupError, match="3.10 or newer.*\n.*PYTHON=python3.12"):
        tools.setup.make_venv(tmp_path)


def test_the_cache_key_holds_all_that_matters(tools):
    key = tools.extensions.wheel_key
    assert key(PROBE, False) == "cp311-linux-x86_64-glibc2.36-torch2.13.0+cpu-cpu"
    cuda = key(CUDA_PROBE, True)
    assert cuda == "cp311-linux-x86_64-glibc2.36-torch2.13.0+cu130-cuda-sm90"
    assert "/" not in key({**PROBE, "platform": "a/b"}, False)


def test_the_cache_folder_follows_the_environment(tools):
    folder = tools.extensions.cache_folder
    assert folder({"STOFM_PYG_CACHE": "/a", "XDG_CACHE_HOME": "/b"}) == Path("/a")
    assert folder({"XDG_CACHE_HOME": "/b"}) == Path("/b/stofm_pyg/wheels")
    assert folder({}) == Path.home() / ".cache" / "stofm_pyg" / "wheels"


@pytest.mark.parametrize("damage", ["not a zip", "cut", "flipped"])
def test_a_damaged_wheel_is_removed(tools, tmp_path, damage):
    wheel = write_wheel(tmp_path / "torch_cluster-1.6.3-cp311-cp311-linux_x86_64.whl")
    assert tools.extensions.find_wheel(tmp_path, "torch-cluster", "1.6.3") == wheel
    content = wheel.read_bytes()
    if damage == "not a zip":
        wheel.write_bytes(b"<html>404</html>")
    elif damage == "cut":
        wheel.write_bytes(content[: len(content) // 2])
    else:
        wheel.write_bytes(content.replace(b"value = 1", b"value = 2"))
    assert tools.extensions.find_wheel(tmp_path, "torch-cluster", "1.6.3") is None
    assert not wheel.exists()


def test_the_cache_gives_this_version_only(tools, tmp_path):
    write_wheel(tmp_path / "torch_cluster-1.6.30-cp311-cp311-linux_x86_64.whl")
    assert tools.extensions.find_wheel(tmp_path, "torch-cluster", "1.6.3") is None
    local = write_wheel(tmp_path / "torch_cluster-1.6.3+pt213cpu-cp311-cp311-linux_x86_64.whl")
    assert tools.extensions.find_wheel(tmp_path, "torch-cluster", "1.6.3") == local


def test_no_compiler_is_said_and_is_no_failure(tools, project, commands, monkeypatch, capsys):
    monkeypatch.setattr(tools.setup, "ROOT", project)
    monkeypatch.setenv("CXX", "/nonexistent/c++")
    commands.reply = lambda line: 1 if " download " in line else 0
    assert tools.setup.main([]) == 0
    said = capsys.readouterr().out
    assert "torch-cluster cannot be built: no C++ compiler was found" in said
    assert "neighbours will come from scipy, with the same answer" in said
    assert "scatter will come from PyG, with the same answer" in said
    assert not any("pip wheel" in line for line in commands.lines)
    stamp = json.loads((project / tools.setup.STAMP).read_text(encoding="utf-8"))
    assert set(stamp["missing"]) == {"torch-cluster", "torch-scatter"}
    assert stamp["compiler"] is None


def add_cluster(tools, project, folder):
    folder.mkdir(parents=True, exist_ok=True)
    python = project / ".venv" / "bin" / "python"
    return tools.extensions.add_extension(python, "torch-cluster", "1.6.3", folder, False, "2.13.0+cpu")


def test_a_failed_build_shows_the_end_of_its_log(tools, project, commands, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", sys.executable)
    commands.reply = lambda line: int(" download " in line or " wheel " in line)
    reason = add_cluster(tools, project, tmp_path / "wheels")
    assert "the build failed" in reason
    assert "error: what the compiler said" in reason
    assert list((tmp_path / "wheels").iterdir()) == []


def test_a_build_lands_in_the_cache_and_is_not_repeated(
    tools, project, commands, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("CXX", sys.executable)
    name = "torch_cluster-1.6.3-cp311-cp311-linux_x86_64.whl"

    def reply(line):
        if " wheel " in line:
            write_wheel_at_option(line, "--wheel-dir", name)
        return int(" download " in line)

    commands.reply = reply
    assert add_cluster(tools, project, tmp_path / "wheels") is None
    assert [path.name for path in (tmp_path / "wheels").iterdir()] == [name]
    said = capsys.readouterr().out
    assert "compiling torch-cluster from source: about 6-15 minutes on two cores, once; " in said
    assert f"the wheel is kept in {tmp_path}" in said
    (build,) = [line for line in commands.lines if " wheel " in line]
    assert "--no-build-isolation --no-deps --no-cache-dir --no-binary torch-cluster" in build
    commands.lines.clear()
    assert add_cluster(tools, project, tmp_path / "wheels") is None
    assert not any(" wheel " in line or " download " in line for line in commands.lines)


def test_a_prebuilt_wheel_is_taken_before_compiling(tools, project, commands, tmp_path):
    name = "torch_cluster-1.6.3+pt213cpu-cp311-cp311-linux_x86_64.whl"

    def reply(line):
        if " download " in line:
            write_wheel_at_option(line, "--dest", name)
        return 0

    commands.reply = reply
    assert add_cluster(tools, project, tmp_path / "wheels") is None
    assert (tmp_path / "wheels" / name).exists()
    assert not any(" wheel " in line for line in commands.lines)


def test_a_wheel_that_does_not_load_is_taken_away(tools, project, commands, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "/nonexistent/c++")
    name = "torch_cluster-1.6.3-cp311-cp311-linux_x86_64.whl"
    wheel = write_wheel(tmp_path / "wheels" / name)
    commands.reply = lambda line: int("load_library" in line or " download " in line)
    assert "no C++ compiler" in add_cluster(tools, project, tmp_path / "wheels")
    assert not wheel.exists()
    assert any("uninstall --yes torch-cluster" in line for line in commands.lines)


def test_the_build_environment(tools):
    make = tools.extensions.build_environment
    env = make({"CFLAGS": "-O1", "CXX": "g++"}, Path("/c.cfg"), 3, with_cuda=False)
    assert env["CFLAGS"] == "-O1 -g0"
    assert env["CXXFLAGS"].endswith(" -g0") or env["CXXFLAGS"] == "-g0"
    assert (env["MAX_JOBS"], env["DIST_EXTRA_CONFIG"]) == ("3", "/c.cfg")
    assert env["FORCE_ONLY_CPU"] == "1"
    cuda = make({"MAX_JOBS": "9", "CXX": "g++"}, Path("/c.cfg"), 3, with_cuda=True)
    assert cuda["MAX_JOBS"] == "9"
    assert "FORCE_ONLY_CPU" not in cuda


def test_cuda_kernels_need_a_cuda_torch_nvcc_and_a_gpu(tools, tmp_path):
    nvcc = tmp_path / "bin" / "nvcc"
    nvcc.parent.mkdir()
    nvcc.write_text("#!/bin/sh\n", encoding="utf-8")
    nvcc.chmod(0o755)
    here = {"CUDA_HOME": str(tmp_path), "PATH": str(tmp_path)}
    uses_cuda = tools.extensions.uses_cuda
    assert uses_cuda(CUDA_PROBE, here)
    assert not uses_cuda(PROBE, here)
    assert not uses_cuda(CUDA_PROBE, {**here, "CUDA_HOME": str(tmp_path / "none")})
    assert not uses_cuda({**CUDA_PROBE, "gpus": []}, here)
    assert uses_cuda({**CUDA_PROBE, "gpus": []}, {**here, "FORCE_CUDA": "1"})
    assert not uses_cuda(CUDA_PROBE, {**here, "FORCE_ONLY_CPU": "1"})


def test_a_command_runs_and_its_output_goes_to_the_log(tools, tmp_path):
    log = tmp_path / "log"
    command = [sys.executable, "-S", "-c", "print('said'); raise SystemExit(3)"]
    assert tools.processes.call(command, log=log) == 3
    assert log.read_text(encoding="utf-8") == "said\n"
