#!/usr/bin/env bash
# Checks and times all of stofm_pyg on one GPU in less than 8 minutes; figures go to results/gpu/.
#
#   bash tools/gpu_check.sh                    all parts: tests, layer, cells, train
#   bash tools/gpu_check.sh --part layer       one of them (repeatable)
#   bash tools/gpu_check.sh --official DIR     compares with a checkout of github.com/PharMolix/SToFM, too
#   bash tools/gpu_check.sh --smoke            the smallest sizes, on a CPU
#
# Python is $PYTHON, else .venv/bin/python, else python3. Where packages are missing there and a folder
# with wheels lies in the repository (wheels/, or $WHEELS), they are installed from it, without network,
# into .venv-gpu beside the PyTorch that is there. A machine with network and the same Python makes it by
#   pip download --only-binary :all: -d wheels -r <(grep -vE "^($without)==" requirements.txt)
# with what stands below for $without; the wheel of torch that comes with it may be deleted.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

needed="accelerate anndata h5py hypothesis igraph pymetis pytest safetensors scipy sklearn tensorboard torch torch_geometric tqdm transformers yaml"
without="torch|torch-cluster|torch-scatter|setuptools|wheel|ninja|mypy|ruff"
lacks() {
    "$1" - $needed <<'PYTHON'
import sys
from importlib.util import find_spec
print(*(name for name in sys.argv[1:] if find_spec(name) is None))
PYTHON
}

if [ -n "${PYTHON:-}" ]; then
    python="$PYTHON"
elif [ -x .venv/bin/python ]; then
    python=.venv/bin/python
elif [ -x .venv-gpu/bin/python ]; then
    python=.venv-gpu/bin/python
else
    python=python3
fi

missing="$(lacks "$python")"
wheels="${WHEELS:-wheels}"
if [ -n "$missing" ] && [ -d "$wheels" ] && [[ " $missing " != *" torch "* ]]; then
    echo "installing from $wheels: $missing"
    version="$("$python" -c 'import torch; print(torch.__version__)')"
    "$python" -m venv --system-site-packages .venv-gpu
    # A venv made from within a venv does not see what that one has.
    "$python" -c 'import site; print("\n".join(site.getsitepackages()))' \
        > "$(.venv-gpu/bin/python -c 'import site; print(site.getsitepackages()[0])')/outside.pth"
    python=.venv-gpu/bin/python
    constraint="$(mktemp)"
    trap 'rm -f "$constraint"' EXIT
    echo "torch==$version" > "$constraint"
    grep -vE "^($without)==" requirements.txt \
        | "$python" -m pip install --quiet --no-index --find-links "$wheels" -c "$constraint" -r /dev/stdin
    missing="$(lacks "$python")"
fi
if [ -n "$missing" ]; then
    echo "$python lacks: $missing" >&2
    echo "run 'make setup', or put wheels of them into '$wheels' (the head of $0 says how)" >&2
    exit 2
fi
"$python" -m benchmarks.gpu.check "$@"
