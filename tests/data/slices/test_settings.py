import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.data import SliceSettings

SETTINGS = st.builds(
    SliceSettings,
    slice_key=st.none() | st.text(),
    layer=st.none() | st.text(),
    unit=st.sampled_from(["spacing", "micron", "official"]),
    radius=st.none() | st.floats(1e-3, 1e6),
    max_neighbors=st.none() | st.integers(1, 99),
    virtual_cells=st.booleans(),
    alpha=st.floats(0, 1),
    method=st.sampled_from(["metis", "grid"]),
    seed=st.integers(0, 2**32 - 1),
)


def test_defaults():
    settings = SliceSettings()
    assert (settings.slice_key, settings.spatial_key, settings.layer) == ("slice", "spatial", None)
    assert (settings.unit, settings.radius, settings.max_neighbors) == ("spacing", 8.0, None)
    assert (settings.cells_per_part, settings.max_length, settings.num_features) == (1000, 2048, 50)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.radius = 3.0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        *(
            ({name: value}, rf"'{name}' must be at least 1 \(got {value}\)")
            for name in ("cells_per_part", "max_clusters", "num_features", "max_length", "max_neighbors")
            for value in (0, -1)
        ),
        *(
            ({name: value}, rf"'{name}' must be positive and finite \(got {value}\)")
            for name in ("radius", "microns_per_unit")
            for value in (0, -1.5, math.inf, math.nan)
        ),
        ({"alpha": 1.5}, r"'alpha' must lie between 0 and 1 \(got 1.5\)"),
        ({"alpha": math.nan}, r"'alpha' must lie between 0 and 1 \(got nan\)"),
        ({"method": "kmeans"}, "Unknown method 'kmeans'; known: metis, grid"),
        ({"unit": "mile"}, "Unknown unit 'mile'; known: spacing"),
        ({"seed": -1}, r"'seed' must lie between 0 and 2\*\*32 - 1 \(got -1\)"),
    ],
)
def test_what_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        SliceSettings(**wrong)
    with pytest.raises(ValueError, match=message):
        SliceSettings().replace(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"radius": "8"}, r"'radius' takes a float \(got '8'\)"),
        ({"max_neighbors": 2.5}, r"'max_neighbors' takes a int \(got 2.5\)"),
        ({"cells_per_part": True}, r"'cells_per_part' takes a int \(got True\)"),
        ({"seed": None}, r"'seed' takes a int \(got None\)"),
        ({"spatial_key": 3}, r"'spatial_key' takes a str \(got 3\)"),
        ({"virtual_cells": "no"}, r"'virtual_cells' takes a bool \(got 'no'\)"),
    ],
)
def test_another_type_is_refused(wrong, message):
    with pytest.raises(TypeError, match=message):
        SliceSettings(**wrong)


def test_numbers_of_numpy_are_plain_ones():
    settings = SliceSettings(radius=np.float32(2.5), max_neighbors=np.int64(7), seed=np.uint8(3))
    assert settings == SliceSettings(radius=2.5, max_neighbors=7, seed=3)
    assert SliceSettings.from_json(settings.to_json()) == settings


def test_replace():
    settings = SliceSettings(alpha=0.3)
    other = settings.replace(radius=2.5, unit="micron")
    assert other == SliceSettings(alpha=0.3, radius=2.5, unit="micron")
    assert settings.radius == 8.0 and settings.replace() is settings


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("radus", "did you mean 'radius'"),
        ("max_neighbours", "did you mean 'max_neighbors'"),
        ("zzz", "known: slice_key, spatial_key, layer, unit"),
    ],
)
def test_an_unknown_setting_is_told_what_was_meant(name, hint):
    with pytest.raises(TypeError, match=f"There is no setting '{name}' of a slice; {hint}"):
        SliceSettings().replace(**{name: 1})
    with pytest.raises(TypeError, match=hint):
        SliceSettings.from_dict({name: 1})


@given(SETTINGS)
def test_there_and_back(settings):
    assert SliceSettings.from_dict(settings.to_dict()) == settings
    assert SliceSettings.from_json(settings.to_json()) == settings
    assert SliceSettings.from_json(json.dumps(json.loads(settings.to_json()))) == settings
    assert "\n" not in settings.to_json()


def test_no_settings():
    with pytest.raises(ValueError, match="Expecting"):
        SliceSettings.from_json("radius")
    with pytest.raises(ValueError, match="'radius' must be positive"):
        SliceSettings.from_json('{"radius": -1}')


def test_differences_are_told_in_words():
    one, other = SliceSettings(radius=8.0), SliceSettings(radius=2.5, max_clusters=20)
    assert one.differences(other) == ["radius 8.0 instead of 2.5", "max_clusters 50 instead of 20"]
    assert other.differences(one) == ["radius 2.5 instead of 8.0", "max_clusters 20 instead of 50"]


@given(SETTINGS)
def test_equal_settings_do_not_differ(settings):
    assert settings.differences(settings) == []


@pytest.mark.parametrize(
    "change",
    [
        {"slice_key": "section"},
        {"spatial_key": "pixels"},
        {"layer": "raw"},
        {"microns_per_unit": 0.5},
        {"cells_per_part": 30},
        {"method": "grid"},
        {"num_features": 7},
        {"seed": 3},
    ],
)
def test_where_things_are_found_is_no_difference(change):
    for unit in ("spacing", "micron"):
        settings = SliceSettings(unit=unit)
        assert settings.differences(settings.replace(**change)) == []


def test_settings_of_clusters_do_not_count_without_virtual_cells():
    one = SliceSettings(virtual_cells=False, alpha=0.1)
    other = SliceSettings(virtual_cells=False, max_clusters=7)
    assert one.differences(other) == []
    assert one.differences(SliceSettings(alpha=0.1)) == ["virtual_cells False instead of True"]
