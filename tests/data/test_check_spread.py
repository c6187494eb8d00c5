import numpy as np
import pytest

from stofm_pyg.data.check_spread import check_spread


def test_two_positions_are_enough():
    assert check_spread(np.array([[1.0, 2.0], [1.0, 3.0]])) is None


@pytest.mark.parametrize(
    "num_cells, where",
    [(0, "it has 0 cells."), (1, "1 cell, at [1.0, 2.0]."), (3, "3 cells, at [1.0, 2.0].")],
)
def test_fewer_are_not(num_cells, where):
    pos = np.tile([1.0, 2.0], (num_cells, 1))
    with pytest.raises(ValueError) as error:
        check_spread(pos, "left")
    assert str(error.value).startswith("Slice 'left' needs at least two cells at different")
    assert where in str(error.value) and "'spatial_key'" in str(error.value)
