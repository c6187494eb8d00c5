"""torch-cluster and torch-scatter: from the wheel cache, prebuilt, or compiled once per machine.

Also read: `tools/setup.py`, which says when this runs and which variables it listens to.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
import zipfile
import zlib
from pathlib import Path

from places import wheel_links
from processes import SetupError, call, pip_environment, say

EXTENSIONS = {
    "torch-cluster": "neighbours will come from scipy",
    "torch-scatter": "scatter will come from PyG",
}

# Run by the Python of the venv: everything that decides whether a compiled wheel fits.
PROBE = """
import json, platform, sys, sysconfig, torch
gpus = range(torch.cuda.device_count()) if torch.version.cuda else ()
print(json.dumps({
    "tag": "cp%d%d%s" % (*sys.version_info[:2], getattr(sys, "abiflags", "")),
    "platform": sysconfig.get_platform() + "-" + "".join(platform.libc_ver()),
    "torch": torch.__version__,
    "cuda": torch.version.cuda,
    "gpus": sorted({"sm%d%d" % torch.cuda.get_device_capability(i) for i in gpus}),
}))
"""

# Loads the compiled libraries alone: the packages' Python also needs scipy, which comes later.
LOAD = """
import importlib.util, pathlib, sys, torch
folder = pathlib.Path(importlib.util.find_spec(sys.argv[1]).submodule_search_locations[0])
libraries = sorted([*folder.glob("*.so"), *folder.glob("*.pyd")])
if not libraries:
    sys.exit("no compiled library in %s" % folder)
for library in libraries:
    torch.ops.load_library(str(library))
"""


def cache_folder(environ):
    if environ.get("STOFM_PYG_CACHE"):
        return Path(environ["STOFM_PYG_CACHE"]).expanduser()
    home = environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "stofm_pyg" / "wheels"


def wheel_key(probe, with_cuda):
    """Folder name that holds all a compiled wheel depends on, but for its own name and version."""
    device = "-".join(["cuda", *probe["gpus"]]) if with_cuda else "cpu"
    key = "-".join([probe["tag"], probe["platform"], "torch" + probe["torch"], device])
    return re.sub(r"[^\w.+-]", "_", key)


def find_wheel(folder, name, version):
    """A sound wheel of this package in `folder`, or None; damaged ones are removed."""
    for wheel in sorted(Path(folder).glob(f"{name.replace('-', '_')}-{version}[-+]*.whl")):
        try:
            with zipfile.ZipFile(wheel) as archive:
                damaged = archive.testzip() is not None
        except (zipfile.BadZipFile, zlib.error, EOFError):
            damaged = True
        if not damaged:
            return wheel
        say(f"{wheel} is damaged: removed")
        wheel.unlink()
    return None


def keep_wheel(staging, folder, name, version):
    """Move a wheel into the cache, in one go; None where there is none in `staging`."""
    wheel = find_wheel(staging, name, version)
    if wheel is None:
        return None
    os.replace(wheel, Path(folder) / wheel.name)
    return Path(folder) / wheel.name


def find_compiler(environ):
    """The C++ compiler that a build would use, or None."""
    own = sysconfig.get_config_var("CXX") or ""
    for name in [environ["CXX"]] if environ.get("CXX") else [own, "c++", "g++", "clang++"]:
        words = shlex.split(name)
        if words and shutil.which(words[0], path=environ.get("PATH")):
            return name
    return None


def uses_cuda(probe, environ):
    """Whether to compile CUDA kernels: for a CUDA build of torch, with nvcc and a GPU."""
    home = environ.get("CUDA_HOME") or environ.get("CUDA_PATH") or "/usr/local/cuda"
    nvcc = shutil.which("nvcc", path=environ.get("PATH")) or shutil.which(f"{home}/bin/nvcc")
    wanted = bool(probe["gpus"]) or environ.get("FORCE_CUDA") == "1"
    refused = environ.get("FORCE_ONLY_CPU") == "1"
    return probe["cuda"] is not None and nvcc is not None and wanted and not refused


def count_jobs():
    """Parallel compilers: one per core, and 2 GiB of memory for each."""
    try:
        cores = len(os.sched_getaffinity(0))
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return os.cpu_count() or 1
    return max(1, min(cores, memory // 2**31))


def build_environment(environ, config, jobs, with_cuda):
    """Environment of a source build: parallel, without debug symbols, CPU only where need be."""
    env = dict(environ)
    env.setdefault("MAX_JOBS", str(jobs))
    env.setdefault("DIST_EXTRA_CONFIG", str(config))
    if not with_cuda:
        env["FORCE_ONLY_CPU"] = "1"
    # setuptools lets these replace the interpreter's own flags, so those are repeated.
    for name in ("CFLAGS", "CXXFLAGS"):
        flags = env.get(name) or sysconfig.get_config_var("CFLAGS") or ""
        env[name] = f"{flags} -g0".strip()
    compiler = find_compiler(environ)
    if compiler != sysconfig.get_config_var("CXX") and not environ.get("CXX"):
        # The compiler that this Python was made with is not here: link with the other one, too.
        env["CXX"] = compiler
        for name in ("LDSHARED", "LDCXXSHARED"):
            words = (sysconfig.get_config_var(name) or "").split()[1:]
            if words:
                env.setdefault(name, " ".join([compiler, *words]))
    return env


def build_wheel(python, name, version, folder, log, with_cuda):
    """Compile a wheel into `folder` and return it, or None where the build fails."""
    kernels = "; longer with CUDA kernels" if with_cuda else ""
    say(
        f"compiling {name} from source: about 6-15 minutes on two cores, once{kernels}; "
        f"the wheel is kept in {folder}"
    )
    with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as staging:
        jobs = count_jobs()
        config = Path(staging) / "parallel.cfg"
        config.write_text(f"[build_ext]\nparallel = {jobs}\n", encoding="utf-8")
        # Without pip's own cache, which forgets which torch a wheel was built for.
        command = [str(python), "-m", "pip", "wheel", "--no-build-isolation", "--no-deps"]
        command += ["--no-cache-dir", "--no-binary", name, "--wheel-dir", staging]
        env = build_environment(pip_environment(), config, jobs, with_cuda)
        status = call([*command, f"{name}=={version}"], env=env, log=log)
        return keep_wheel(staging, folder, name, version) if status == 0 else None


def fetch_wheel(python, name, version, folder, log, torch):
    """A prebuilt wheel from where PyG publishes those for this torch or where pip looks, or None."""
    links = wheel_links(name, version, torch, os.environ)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as staging:
        command = [str(python), "-m", "pip", "download", "--only-binary", ":all:", "--no-deps"]
        command += ["--dest", staging, f"{name}=={version}"]
        command += [] if links is None else ["--find-links", links]
        status = call(command, env=pip_environment(), log=log)
        return keep_wheel(staging, folder, name, version) if status == 0 else None


def install_wheel(python, name, wheel, log):
    """Install a wheel and load what it holds; one that does not load is taken away again."""
    pip = [str(python), "-m", "pip"]
    install = [*pip, "install", "--no-deps", "--force-reinstall", str(wheel)]
    if call(install, env=pip_environment(), log=log) == 0:
        if call([str(python), "-c", LOAD, name.replace("-", "_")], log=log) == 0:
            return True
    say(f"{wheel} cannot be installed or does not fit this torch: removed ({log} says why)")
    wheel.unlink()
    call([*pip, "uninstall", "--yes", name], env=pip_environment(), log=os.devnull)
    return False


def add_extension(python, name, version, folder, with_cuda, torch):
    """Install one extension; returns None, or why it could not be done."""
    log = Path(python).parents[1] / f"{name}.log"
    wheel = find_wheel(folder, name, version)
    if wheel is not None and install_wheel(python, name, wheel, log):
        return None
    wheel = fetch_wheel(python, name, version, folder, log, torch)
    if wheel is not None and install_wheel(python, name, wheel, log):
        return None
    if find_compiler(os.environ) is None:
        looked_for = os.environ.get("CXX") or "c++, g++, clang++"
        return f"no C++ compiler was found (looked for {looked_for})"
    wheel = build_wheel(python, name, version, folder, log, with_cuda)
    if wheel is not None and install_wheel(python, name, wheel, log):
        return None
    tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
    return "\n    ".join([f"the build failed, and {log} ends with", *tail])


def add_extensions(python, pins):
    """Install torch-cluster and torch-scatter; returns those that are missing, with the reason."""
    command = [str(python), "-W", "ignore", "-c", PROBE]
    probe = subprocess.run(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False)
    if probe.returncode != 0:
        raise SetupError(f"{python} cannot import torch\nMake .venv anew: make clean, then again")
    probe = json.loads(probe.stdout)
    with_cuda = uses_cuda(probe, os.environ)
    folder = cache_folder(os.environ) / wheel_key(probe, with_cuda)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(
            f"cannot make the wheel cache {folder}: {error.strerror}\n"
            "Name a folder that can be written: STOFM_PYG_CACHE=... make setup"
        ) from error
    missing = {}
    for name, instead in EXTENSIONS.items():
        reason = add_extension(python, name, pins[name], folder, with_cuda, probe["torch"])
        if reason is not None:
            missing[name] = reason
            say(f"\nWARNING: {name} cannot be built: {reason}")
            say(f"Going on without it: {instead}, with the same answer.")
            say(
                "To have it, install a C++ compiler and Python's headers (Debian, Ubuntu: apt "
                "install g++ python3-dev) and run `make setup`.\n"
            )
    return missing
