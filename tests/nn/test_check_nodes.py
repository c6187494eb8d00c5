import pytest
import torch

from stofm_pyg.nn.check_nodes import check_nodes


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
