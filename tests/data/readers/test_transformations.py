from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.data.readers.transformations import chosen_system, coordinate_systems

NUMBER = st.floats(-10, 10)
PAIR = st.lists(NUMBER, min_size=2, max_size=2)
STEP = st.one_of(
    st.builds(lambda value: {"type": "scale", "scale": value}, PAIR),
    st.builds(lambda value: {"type": "translation", "translation": value}, PAIR),
    st.builds(
        lambda a, b: {"type": "affine", "affine": [[a[0], a[1], b[0]], [b[1], a[0], 1.0]]}, PAIR, PAIR
    ),
    st.just({"type": "identity"}),
)


def system(name, axes="xy", unit="unit"):
    return {"name": name, "axes": [{"name": axis, "type": "space", "unit": unit} for axis in axes]}


def applied(step, pos):
    """What a step does to positions whose columns are in the order of its axes."""
    if step["type"] == "scale":
        return pos * step["scale"]
    if step["type"] == "translation":
        return pos + step["translation"]
    if step["type"] == "affine":
        matrix = np.array(step["affine"])
        return pos @ matrix[:, :2].T + matrix[:, 2]
    return pos


@given(steps=st.lists(STEP, min_size=1, max_size=4), axes=st.sampled_from(["xy", "yx"]))
def test_a_sequence_is_applied_in_order(steps, axes):
    ends = {"input": system("own", axes), "output": system("global", axes)}
    item = {"type": "sequence", "transformations": [{**ends, **step} for step in steps], **ends}
    found = coordinate_systems({"coordinateTransformations": [item]})["global"]
    pos = np.array([[0.0, 0.0], [1.0, 2.0], [-3.0, 0.5]])
    expected = pos[:, ::-1] if axes == "yx" else pos
    for step in steps:
        expected = applied(step, expected)
    expected = expected[:, ::-1] if axes == "yx" else expected
    np.testing.assert_allclose(found.apply(pos), expected, rtol=1e-9, atol=1e-6)


def test_other_axes_beside_the_plane():
    ends = {"input": system("cyx", "cyx"), "output": system("global", "cyx")}
    scale = {"type": "scale", "scale": [1.0, 2.0, 3.0], **ends}
    found = coordinate_systems({"multiscales": [{"coordinateTransformations": [scale]}]})["global"]
    np.testing.assert_array_equal(found.apply(np.array([[1.0, 1.0]])), [[3.0, 2.0]])
    assert coordinate_systems({})["global"].apply(np.array([[1.0, 2.0]])).tolist() == [[1.0, 2.0]]
    with pytest.raises(ValueError, match="kind 'bend' is not known"):
        coordinate_systems({"coordinateTransformations": [{"type": "bend", **ends}]})


def made(*names, unit="unit"):
    items = [{"type": "identity", "input": system("xy"), "output": system(name, unit=unit)}
             for name in names]  # fmt: skip
    return coordinate_systems({"coordinateTransformations": items})


def test_choice_of_the_system():
    path = Path("a.zarr")
    assert chosen_system({"a": made("one", "global")}, path) == ("global", "unknown")
    assert chosen_system({"a": made("one", "two")}, path) == ("one", "unknown")
    assert chosen_system({"a": made("global", "microns")}, path) == ("microns", "micron")
    assert chosen_system({"a": made("global", unit="micrometer")}, path) == ("global", "micron")
    both = {"a": made("microns", "global"), "b": made("global")}
    assert chosen_system(both, path) == ("global", "unknown")
    with pytest.raises(ValueError, match="share no coordinate system .*'a': one; 'b': two"):
        chosen_system({"a": made("one"), "b": made("two")}, path)
