import matplotlib.image
import numpy as np

from benchmarks.maps import draw_maps


def test_a_map_for_each_number(tmp_path):
    pos = np.random.default_rng(0).uniform(size=(20, 2))
    row = {"truth": np.arange(20), "prediction": np.full(20, np.nan)}
    draw_maps(pos, {"a": row, "b": {"prediction": np.arange(20.0)}}, tmp_path / "maps.png")
    height, width, _ = matplotlib.image.imread(tmp_path / "maps.png").shape
    draw_maps(pos, {"a": row}, tmp_path / "one.png")
    assert matplotlib.image.imread(tmp_path / "one.png").shape[:2] == (height // 2, width)
