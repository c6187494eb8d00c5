from types import SimpleNamespace

import pytest
import torch

from stofm_pyg.nn._checks import check_nodes, check_precision


def test_returns_what_fits():
    values = torch.tensor([0, 2, 1])
    assert check_nodes("batch", values, 3) is values
    assert check_nodes("batch", None, 3) is None


@pytest.mark.parametrize("shape", [(2,), (4,), (3, 1), (3, 2), (1, 3), ()])
def test_another_shape(shape):
    with pytest.raises(ValueError) as error:
        check_nodes("batch", torch.zeros(shape), 3)
    assert str(error.value) == (
        f"'batch' must hold one value for each of the 3 nodes (got shape {shape})"
    )


GPU = SimpleNamespace(dtype=torch.bfloat16, device=torch.device("cuda"), is_cuda=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_returns_what_a_cpu_computes_in(dtype):
    x = torch.ones(2, dtype=dtype)
    assert check_precision(x) is x


def test_half_precision_on_a_cpu():
    with pytest.raises(ValueError) as error:
        check_precision(torch.ones(2, dtype=torch.float16))
    assert str(error.value) == (
        "Features of type torch.float16 on a CPU, which has no arithmetic for it; use torch.float32 or "
        "torch.bfloat16 there, or move model and data to a GPU"
    )


def test_brain_floats_on_a_gpu_without_them(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    with pytest.raises(ValueError, match="torch.bfloat16 on Tesla T4.*use torch.float16"):
        check_precision(GPU)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert check_precision(GPU) is GPU
