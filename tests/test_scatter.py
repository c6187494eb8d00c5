import importlib.util
import sys

import pytest
import torch

from stofm_pyg._scatter import scatter_mean

needs_torch_scatter = pytest.mark.skipif(
    importlib.util.find_spec("torch_scatter") is None, reason="torch-scatter could not be built"
)
ways = pytest.mark.parametrize(
    "way", ["PyG", pytest.param("torch_scatter", marks=needs_torch_scatter)]
)


@pytest.fixture
def use(monkeypatch):
    def set_way(way):
        if way == "PyG":
            monkeypatch.setitem(sys.modules, "torch_scatter", None)

    return set_way


@ways
def test_by_hand(use, way):
    use(way)
    src = torch.tensor([[1.0, 10.0], [2.0, 20.0], [6.0, 0.0], [5.0, -5.0]])
    out = scatter_mean(src, torch.tensor([2, 0, 2, 2]), 4)
    assert torch.allclose(out, torch.tensor([[2.0, 20.0], [0, 0], [4.0, 5 / 3], [0, 0]]))


@ways
@pytest.mark.parametrize("shape", [(50,), (50, 3), (50, 2, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_a_loop(use, way, shape, dtype):
    use(way)
    src = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    index = torch.arange(50) * 7 % 6
    out = scatter_mean(src, index, 6)
    assert out.dtype == dtype
    assert torch.allclose(out, torch.stack([src[index == i].mean(dim=0) for i in range(6)]))


@needs_torch_scatter
def test_torch_scatter_is_used_where_it_is(monkeypatch):
    import torch_scatter

    monkeypatch.setattr(torch_scatter, "scatter_mean", lambda *args, **kwargs: "torch_scatter")
    assert scatter_mean(torch.ones(2, 1), torch.tensor([0, 1]), 2) == "torch_scatter"
