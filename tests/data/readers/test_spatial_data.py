import json
import sys

import anndata
import numpy as np
import pandas as pd
import pytest

from stofm_pyg.data import SliceSettings, read
from stofm_pyg.data.readers import find_format
from stofm_pyg.data.slices.reader import SliceReader

pytest.importorskip("zarr", minversion="3", reason="stores are written in both versions")


def transformations(scale, axes="yx", **systems):
    out = []
    for name, unit in systems.items():
        ends = {"axes": [{"name": axis, "type": "space", "unit": unit} for axis in axes]}
        factor = scale if unit == "micrometer" else 1.0
        out.append({"type": "scale", "scale": [factor] * len(axes),
                    "input": {**ends, "name": axes}, "output": {**ends, "name": name}})  # fmt: skip
    return out


def group(path, version, attributes=None):
    path.mkdir(parents=True, exist_ok=True)
    attributes = attributes or {}
    if version == 3:
        content = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        (path / "zarr.json").write_text(json.dumps(content))
    else:
        (path / ".zgroup").write_text(json.dumps({"zarr_format": 2}))
        (path / ".zattrs").write_text(json.dumps(attributes))


def write_labels(folder, pos, version, systems):
    """A picture of squares of 3 pixels, numbered from 1 on, around some pixels, and its names."""
    import zarr

    picture = np.zeros(tuple(pos.max(axis=0)[::-1] + 4), dtype=np.int32)
    for number, (x, y) in enumerate(pos, 1):
        picture[y - 1 : y + 2, x - 1 : x + 2] = number
    scales = {"datasets": [{"path": "0"}], "coordinateTransformations": systems}
    content = {"multiscales": [scales]}
    group(folder, version, {"ome": content} if version == 3 else content)
    store = zarr.open_group(folder, mode="r+", zarr_format=version)
    store.create_array("0", data=picture, chunks=(7, 11))


def write_table(path, adata, regions, instances, version):
    adata = adata.copy()
    adata.obs["region"] = pd.Categorical(regions)
    adata.obs["instance"] = instances
    adata.uns["spatialdata_attrs"] = {
        "region": sorted(set(regions)), "region_key": "region", "instance_key": "instance"
    }  # fmt: skip
    del adata.obsm["spatial"]
    with anndata.settings.override(zarr_write_format=version):
        adata.write_zarr(path)


@pytest.fixture(params=[2, 3])
def labelled(request, tissue, tmp_path):
    """Cells as labels of a picture with pixels of 25 microns, of which two tables know."""
    root, version, pos = tmp_path / "tissue.zarr", request.param, np.rint(tissue.pos / 25).astype(int)
    for folder in (root, root / "tables", root / "labels"):
        group(folder, version, {"spatialdata_attrs": {"version": "0.2"}})
    systems = transformations(25.0, **{"global": "unit", "aligned": "micrometer"})
    write_labels(root / "labels" / "cells", pos, version, systems)
    number = np.arange(len(pos))[::-1]
    adata = tissue.adata[number].copy()
    for name in ("counts", "others"):
        write_table(root / "tables" / name, adata, ["cells"] * len(pos), number + 1, version)
    adata.obsm["spatial"] = (pos[number] + 0.5) * 25.0
    return root, adata


def test_several_tables(labelled):
    root, expected = labelled
    with pytest.raises(ValueError) as error:
        read(root)
    assert "2 tables: counts, others. Choose one:" in " ".join(str(error.value).split())
    assert "read(path, table='counts')" in str(error.value)
    assert f"'{root}/tables/counts'" in str(error.value)
    with pytest.raises(ValueError, match="has no table 'cell', but counts, others"):
        read(root, table="cell")
    assert find_format(root / "tables" / "others").table == "others"


def test_positions_of_labels(labelled, caplog):
    root, expected = labelled
    with caplog.at_level("INFO", "stofm_pyg.data.readers"):
        adata = read(root, table="counts")
    np.testing.assert_allclose(adata.obsm["spatial"], expected.obsm["spatial"])
    np.testing.assert_array_equal(adata.X.toarray(), expected.X.toarray())
    assert adata.uns["spatial_unit"] == "micron" and adata.uns["spatial_format"] == "SpatialData"
    assert "table 'counts', coordinate system 'aligned'" in caplog.text
    reader = SliceReader(root / "tables" / "counts", SliceSettings(radius=None))
    np.testing.assert_allclose(reader.read("").obsm["spatial"], expected.obsm["spatial"])


def test_cells_that_are_nowhere(labelled, tissue):
    root, _ = labelled
    version = 3 if (root / "zarr.json").exists() else 2
    number = np.arange(2, 51)
    write_table(root / "tables" / "more", tissue.adata, ["cells"] * 49, number, version)
    with pytest.raises(ValueError, match="1 of 49 cells of the table are not .*first '50'; .* is '1'"):
        read(root, table="more")
    write_table(root / "tables" / "no", tissue.adata, ["gone"] * 49, number, version)
    with pytest.raises(ValueError, match="no shapes and no labels 'gone'"):
        read(root, table="no")


def test_each_element_is_a_slice(tissue, tmp_path):
    root, pos = tmp_path / "two.zarr", np.rint(tissue.pos / 25).astype(int)
    for folder in (root, root / "tables", root / "labels"):
        group(folder, 2)
    systems = transformations(1.0, **{"global": "unit"})
    for name in ("left", "right"):
        write_labels(root / "labels" / name, pos, 2, systems)
    names = np.repeat(["right", "left"], [20, 29])
    write_table(root / "tables" / "table", tissue.adata, names, np.arange(1, 50), 2)
    adata = read(root)
    assert adata.obs["slice"].tolist() == names.tolist() and adata.uns["spatial_unit"] == "unknown"
    rows = SliceReader(root).rows
    assert {name: len(part) for name, part in rows.items()} == {"left": 29, "right": 20}


def test_shapes(tissue, tmp_path):
    pytest.importorskip("pyarrow", reason="shapes are GeoParquet")
    shapely = pytest.importorskip("shapely", reason="shapes are polygons")
    root = tmp_path / "shapes.zarr"
    for folder in (root, root / "tables", root / "shapes"):
        group(folder, 3)
    systems = transformations(0.25, "xy", **{"microns": "micrometer", "global": "unit"})
    group(root / "shapes" / "cells", 3, {"coordinateTransformations": systems})
    squares = [shapely.box(x - 3, y - 2, x + 3, y + 2) for x, y in tissue.pos / 0.25]
    names = [f"square{i}" for i in range(49)]
    table = pd.DataFrame({"geometry": shapely.to_wkb(squares)}, index=names)
    table.iloc[::-1].to_parquet(root / "shapes" / "cells" / "shapes.parquet")
    write_table(root / "tables" / "table", tissue.adata, ["cells"] * 49, names, 3)
    adata = read(root)
    tissue.check(adata, 1e-6)
    np.testing.assert_allclose(adata.obsm["spatial"], tissue.pos)


def test_without_packages(tissue, tmp_path, monkeypatch):
    root = tmp_path / "shapes.zarr"
    for folder in (root, root / "tables", root / "shapes", root / "shapes" / "cells"):
        group(folder, 2)
    (root / "shapes" / "cells" / "shapes.parquet").write_bytes(b"PAR1")
    write_table(root / "tables" / "table", tissue.adata, ["cells"] * 49, np.arange(49), 2)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"Shapes of SpatialData need .*stofm-pyg\[readers\]"):
        read(root)


def test_no_tables(tmp_path):
    for folder in (tmp_path / "a.zarr", tmp_path / "a.zarr" / "shapes"):
        group(folder, 2)
    with pytest.raises(ValueError, match="a SpatialData without tables"):
        read(tmp_path / "a.zarr")


@pytest.mark.parametrize("version", ["V01", "V02"])
def test_centroids_are_those_of_the_library(tissue, tmp_path, version):
    library = pytest.importorskip("spatialdata", reason="written and read by spatialdata itself")
    from spatialdata import models, transformations
    from spatialdata._io import format as formats

    axes = ("x", "y")
    steps = [transformations.Scale([2.0, 3.0], axes), transformations.Translation([1.0, 2.0], axes),
             transformations.Affine([[0.6, -0.8, 5], [0.8, 0.6, 6], [0, 0, 1]], axes, axes)]  # fmt: skip
    systems = {"global": transformations.Identity(), "microns": transformations.Sequence(steps)}
    names = pd.Index([f"circle{i}" for i in range(49)])
    circles = models.ShapesModel.parse(
        tissue.pos, geometry=0, radius=np.full(49, 5.0), index=names, transformations=systems
    )
    adata = tissue.adata
    adata.obs["region"], adata.obs["instance"] = pd.Categorical(["circles"] * 49), names
    table = models.TableModel.parse(adata, "circles", "region", "instance")
    data = library.SpatialData(shapes={"circles": circles}, tables={"table": table})
    form = getattr(formats, f"SpatialDataContainerFormat{version}")()
    data.write(tmp_path / "a.zarr", sdata_formats=form)
    expected = library.get_centroids(data["circles"], coordinate_system="microns").compute()
    found = read(tmp_path / "a.zarr")
    np.testing.assert_allclose(found.obsm["spatial"], expected[["x", "y"]].to_numpy(), rtol=1e-6)
    assert found.uns["spatial_unit"] == "micron"
