"""Where set-up takes torch and the extensions from: real pip, and indexes on this machine."""

import importlib.util
import socket
import sys
import threading
import zipfile
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
OTHERS = ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT", "PIP_NO_INDEX", "TORCH_INDEX_URL")
MEND = "Mend it."


@pytest.fixture
def tools(monkeypatch, tmp_path):
    """The scripts, and a pip that knows what the test names alone."""
    loaded = {}
    for name in ("processes", "places", "extensions", "setup"):
        spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
        loaded[name] = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, loaded[name])
        spec.loader.exec_module(loaded[name])
    for variable in (*OTHERS, "STOFM_PYG_CPU_INDEX", "STOFM_PYG_WHEELS", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setattr(loaded["places"], "has_nvidia", lambda environ: False)
    monkeypatch.setattr(sys, "platform", "linux")
    return SimpleNamespace(**loaded)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextmanager
def served(folder):
    """The address at which a folder is served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def closed():
    """An address at which nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def write_wheel(folder, name, version):
    """A wheel that pip installs."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
        record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
        archive.writestr(f"{info}/RECORD", record)
    return path


def write_page(path, wheels):
    path.parent.mkdir(parents=True, exist_ok=True)
    links = [f'<a href="{quote(wheel.name)}">{wheel.name}</a><br>' for wheel in wheels]
    path.write_text("<!DOCTYPE html><html><body>" + "\n".join(links) + "</body></html>")


def write_index(root, *versions):
    """An index with wheels of torch."""
    wheels = [write_wheel(root / "torch", "torch", version) for version in versions]
    write_page(root / "torch" / "index.html", wheels)
    return root


def installed(tools, folder):
    """The torch that `add_torch` installs."""
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--target", str(folder)]
    tools.setup.add_torch(sys.executable, pip, "9.9.0", MEND)
    (found,) = folder.glob("torch-*.dist-info")
    return found.name.removeprefix("torch-").removesuffix(".dist-info")


def test_the_cpu_build_is_taken_where_there_is_no_gpu(tools, monkeypatch, tmp_path, capfd):
    write_index(tmp_path / "usual", "9.9.0")
    write_index(tmp_path / "cpu", "9.8.0+cpu", "9.9.0+cpu", "9.9.1+cpu")
    with served(tmp_path) as url:
        monkeypatch.setenv("PIP_INDEX_URL", f"{url}/usual")
        monkeypatch.setenv("STOFM_PYG_CPU_INDEX", f"{url}/cpu/")
        assert installed(tools, tmp_path / "out") == "9.9.0+cpu"
        assert f"no NVIDIA GPU here: the CPU build, from {url}/cpu\n" in capfd.readouterr().out
        monkeypatch.setattr(tools.places, "has_nvidia", lambda environ: True)
        assert installed(tools, tmp_path / "with a GPU") == "9.9.0"


def test_what_the_user_names_comes_first(tools, monkeypatch, tmp_path):
    write_index(tmp_path / "usual", "9.9.0")
    write_index(tmp_path / "cpu", "9.9.0+cpu")
    write_index(tmp_path / "mine", "9.9.0+mine")
    with served(tmp_path) as url:
        monkeypatch.setenv("PIP_INDEX_URL", f"{url}/usual")
        monkeypatch.setenv("STOFM_PYG_CPU_INDEX", f"{url}/cpu")
        monkeypatch.setenv("TORCH_INDEX_URL", f"{url}/mine")
        assert installed(tools, tmp_path / "out") == "9.9.0+mine"


def test_without_the_index_of_cpu_builds_all_is_as_before(tools, monkeypatch, tmp_path):
    write_index(tmp_path / "usual", "9.9.0")
    with served(tmp_path) as url, closed() as nobody:
        monkeypatch.setenv("PIP_INDEX_URL", f"{url}/usual")
        monkeypatch.setenv("STOFM_PYG_CPU_INDEX", nobody)
        assert installed(tools, tmp_path / "out") == "9.9.0"


def test_an_index_that_promises_what_it_has_not(tools, monkeypatch, tmp_path, capfd):
    write_index(tmp_path / "usual", "9.9.0")
    write_index(tmp_path / "cpu", "9.9.0+cpu")
    (tmp_path / "cpu" / "torch" / "torch-9.9.0+cpu-py3-none-any.whl").unlink()
    with served(tmp_path) as url:
        monkeypatch.setenv("PIP_INDEX_URL", f"{url}/usual")
        monkeypatch.setenv("STOFM_PYG_CPU_INDEX", f"{url}/cpu")
        assert installed(tools, tmp_path / "out") == "9.9.0"
    assert "that did not work: torch from where pip looks by itself" in capfd.readouterr().out


def test_a_torch_that_is_there_is_kept(tools, monkeypatch):
    lines = []
    monkeypatch.setattr(tools.setup, "call", lambda command, **kwargs: lines.append(command) or 0)
    monkeypatch.setattr(tools.setup, "step", lambda command, mend: lines.append(command))
    monkeypatch.setattr(tools.setup, "cpu_index", lambda *args: pytest.fail("asked for an index"))
    tools.setup.add_torch("python", ["pip"], "9.9.0", MEND)
    assert lines[-1] == ["pip", "torch==9.9.0"]


def test_is_there_tells_the_version_and_not_the_build(tools):
    def call(version):
        command = [sys.executable, "-c", tools.setup.IS_THERE, version]
        return tools.processes.call(command, log="/dev/null")

    assert call(metadata.version("torch").split("+")[0]) == 0
    assert call("0.0.1") == 1


@pytest.mark.parametrize("case", ["version", "empty", "mac", "closed"])
def test_no_index_of_cpu_builds(tools, monkeypatch, tmp_path, case):
    write_index(tmp_path, "9.9.0+cpu")
    with served(tmp_path) as url, closed() as nobody:
        index = tools.places.cpu_index
        assert index("9.9.0", {"STOFM_PYG_CPU_INDEX": url}) == url
        if case == "version":
            assert index("9.9", {"STOFM_PYG_CPU_INDEX": url}) is None
        elif case == "empty":
            assert index("9.9.0", {"STOFM_PYG_CPU_INDEX": ""}) is None
        elif case == "mac":
            monkeypatch.setattr(sys, "platform", "darwin")
            assert index("9.9.0", {"STOFM_PYG_CPU_INDEX": url}) is None
        else:
            assert index("9.9.0", {"STOFM_PYG_CPU_INDEX": nobody}) is None


def test_a_place_that_takes_too_long(tools):
    with socket.socket() as listening:  # It takes the connection and never says a word.
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        assert tools.places.read_page(url, 0.2) is None
    assert tools.places.read_page("not an address", 0.2) is None


def test_an_nvidia_machine_is_known_by_its_tools(tmp_path):
    spec = importlib.util.spec_from_file_location("places_alone", TOOLS / "places.py")
    places = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(places)
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    assert places.has_nvidia({"PATH": str(tmp_path)})
    driver = Path("/proc/driver/nvidia").exists() or Path("/dev/nvidiactl").exists()
    assert places.has_nvidia({"PATH": str(tmp_path / "empty")}) is driver


def fetch(tools, folder, torch="9.9.0+cpu"):
    folder.mkdir()
    log = folder.with_suffix(".log")
    return tools.extensions.fetch_wheel(sys.executable, "torch-cluster", "1.6.3", folder, log, torch)


@pytest.mark.parametrize("torch", ["9.9.0+cpu", "9.9.0", "9.9.0+cu130"])
def test_a_wheel_for_the_very_torch(tools, monkeypatch, tmp_path, torch):
    build = torch.partition("+")[2] or "cpu"
    folder = tmp_path / "whl" / "files"
    wheel = write_wheel(folder, "torch_cluster", f"1.6.3+pt99{build}")
    page = tmp_path / "whl" / f"torch-9.9.0+{build}.html"
    write_page(page, [wheel])
    page.write_text(page.read_text().replace('href="', 'href="files/'))
    (tmp_path / "usual").mkdir()
    with served(tmp_path) as url:
        monkeypatch.setenv("PIP_INDEX_URL", f"{url}/usual")
        monkeypatch.setenv("STOFM_PYG_WHEELS", f"{url}/whl")
        found = fetch(tools, tmp_path / "out", torch)
    assert found == tmp_path / "out" / wheel.name
    assert found.read_bytes() == wheel.read_bytes()


def test_a_wheel_from_a_folder(tools, monkeypatch, tmp_path):
    wheel = write_wheel(tmp_path / "wheels", "torch_cluster", "1.6.3")
    write_wheel(tmp_path / "wheels", "torch_cluster", "1.6.4")
    with closed() as nobody:
        monkeypatch.setenv("PIP_INDEX_URL", nobody)
        monkeypatch.setenv("PIP_RETRIES", "0")
        monkeypatch.setenv("STOFM_PYG_WHEELS", str(tmp_path / "wheels"))
        assert fetch(tools, tmp_path / "out").name == wheel.name


@pytest.mark.parametrize("case", ["another torch", "another version", "closed", "empty"])
def test_no_wheel_for_this_torch(tools, monkeypatch, tmp_path, case):
    wheel = write_wheel(tmp_path / "whl", "torch_cluster", "1.6.4")
    write_page(tmp_path / "whl" / "torch-9.9.0+cpu.html", [wheel])
    with served(tmp_path) as url, closed() as nobody:
        torch = "9.8.0+cpu" if case == "another torch" else "9.9.0+cpu"
        place = {"closed": nobody, "empty": ""}.get(case, f"{url}/whl")
        links = tools.places.wheel_links("torch-cluster", "1.6.3", torch, {"STOFM_PYG_WHEELS": place})
        assert links is None
        here = {"STOFM_PYG_WHEELS": f"{url}/whl"}
        page = tools.places.wheel_links("torch-cluster", "1.6.4", "9.9.0+cpu", here)
        assert page == f"{url}/whl/torch-9.9.0+cpu.html"
