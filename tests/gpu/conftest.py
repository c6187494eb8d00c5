import os

import pytest
import torch

#: `STOFM_PYG_GPU_TESTS=cpu` runs what it can of these tests without a GPU.
VARIABLE = "STOFM_PYG_GPU_TESTS"


def pytest_configure(config):
    config.addinivalue_line("markers", "gpu: runs on a CUDA GPU; skipped where there is none")


@pytest.fixture(scope="session")
def device():
    """Where these tests run: a GPU, or the CPU where the environment says so."""
    if os.environ.get(VARIABLE) == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        pytest.skip(f"needs a CUDA GPU; {VARIABLE}=cpu runs it on the CPU")
    return torch.device("cuda")


@pytest.fixture
def exact():
    """Products of float32 in float32, not in TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.fixture
def compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()
