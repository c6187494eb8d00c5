from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from stofm_pyg.data.keys import Keys
from stofm_pyg.data.readers._imported import imported
from stofm_pyg.data.readers.damage import damage_named, unreadable
from stofm_pyg.data.readers.format import Options
from stofm_pyg.data.readers.stores import TABLES, ZARR, attributes, is_zarr, read_anndata_zarr
from stofm_pyg.data.readers.transformations import chosen_system, coordinate_systems

# What a table says of the element that its rows annotate.
ATTRS = "spatialdata_attrs"


def read_spatial_data(path: Path, options: Options, notes: list[str]) -> AnnData:
    r"""Reads a table of a SpatialData, with the centroids of what its rows annotate as positions.

    The positions of several elements must be in one coordinate system: in microns where one of that unit
    or name is there, else :obj:`"global"`, else the first. An element is one slice: where there are
    several, :obj:`obs["slice"]` tells them apart, unless the table has such a column.

    Args:
        path (Path): The folder.
        options (Options): The table, where there are several.
        notes (list of str): Where to say what was chosen.

    Raises:
        ImportError: pyarrow, shapely or zarr is not installed, which shapes need.
        ValueError: There are several tables or none, or rows without an element.
    """
    folder = _table(path, options.table)
    adata = read_anndata_zarr(folder)
    known = adata.uns.get(ATTRS)
    if known is None:
        if Keys.SPATIAL not in adata.obsm:
            raise ValueError(
                f"The table '{folder.name}' of '{path}' annotates nothing and has no positions in "
                f"'obsm[{Keys.SPATIAL!r}]'. Choose another by 'table=', of: {', '.join(_names(path))}"
            )
        adata.uns[Keys.UNIT] = "unknown"
        return adata
    regions = [known["region"]] if isinstance(known["region"], str) else [*known["region"]]
    of_row = adata.obs[known["region_key"]].astype(str).to_numpy()
    elements = {name: _element(path, name) for name in regions if (of_row == name).any()}
    if not elements or not np.isin(of_row, list(elements)).all():
        raise ValueError(
            f"Rows of the table '{folder.name}' of '{path}' annotate none of its regions; leave them out"
        )
    systems = {name: coordinate_systems(attributes(element)) for name, element in elements.items()}
    system, unit = chosen_system(systems, path)
    pos = np.full((adata.n_obs, 2), np.nan)
    for name, element in elements.items():
        rows = of_row == name
        wanted = pd.Index(adata.obs.loc[rows, known["instance_key"]])
        found = centroids(element, wanted)
        pos[rows] = systems[name][system].apply(found)
    adata.obsm[Keys.SPATIAL] = pos
    adata.uns[Keys.UNIT] = unit
    if len(elements) > 1 and Keys.SLICE not in adata.obs:
        adata.obs[Keys.SLICE] = pd.Categorical(of_row)
        notes.append(f"{len(elements)} slices, one of each of {', '.join(elements)}")
    notes.append(f"table '{folder.name}', coordinate system '{system}'")
    return adata


def _names(path: Path) -> list[str]:
    return sorted({f.name for name in TABLES for f in (path / name).glob("*") if is_zarr(f)})


def _table(path: Path, name: str | None) -> Path:
    names = _names(path)
    if not names:
        raise ValueError(f"'{path}' is a SpatialData without tables: nothing tells counts of its shapes")
    if name is None and len(names) > 1:
        raise ValueError(
            f"'{path}' is a SpatialData with {len(names)} tables: {', '.join(names)}. Choose "
            f"one: 'stofm_pyg.data.read(path, table={names[0]!r})', or as the path "
            f"'{path}/tables/{names[0]}'."
        )
    if name is not None and name not in names:
        raise ValueError(f"'{path}' has no table {name!r}, but {', '.join(names)}")
    name = names[0] if name is None else name
    return next(path / kind / name for kind in TABLES if is_zarr(path / kind / name))


def _element(path: Path, name: str) -> Path:
    for kind in ("shapes", "labels"):
        if is_zarr(path / kind / name):
            return path / kind / name
    raise ValueError(
        f"'{path}' has no shapes and no labels '{name}', which its table annotates; copy the whole store"
    )


def centroids(element: Path, wanted: pd.Index) -> np.ndarray:
    r"""Returns the centroids of shapes or labels :math:`(N, 2)`, in the coordinates of the element.

    Args:
        element (Path): The folder of the element.
        wanted (pd.Index): The names of the shapes, or the numbers of the labels :math:`(N)`.

    Raises:
        ImportError: pyarrow or shapely is not installed.
        ValueError: A name is not there, or a file is damaged.
    """
    index, pos = _of_labels(element) if element.parent.name == "labels" else _of_shapes(element)
    rows = index.get_indexer(wanted)
    if (rows < 0).any():
        rows = index.astype(str).get_indexer(wanted.astype(str))
    if (rows < 0).any():
        raise ValueError(
            f"{int((rows < 0).sum()):,} of {len(wanted):,} cells of the table are not in '{element}', "
            f"the first '{wanted[rows < 0][0]}'; the first there is '{index[0]}'. Copy the whole store."
        )
    return pos[rows]


def _of_shapes(element: Path) -> tuple[pd.Index, np.ndarray]:
    path = element / "shapes.parquet"
    if not path.exists():
        raise unreadable(element, "it has no 'shapes.parquet'", "shapes of SpatialData 0.1 or newer")
    parquet = imported("pyarrow.parquet", "Shapes of SpatialData")
    shapely = imported("shapely", "Shapes of SpatialData")
    with damage_named(path, "GeoParquet file"):
        table = parquet.read_table(path).to_pandas()
        points = shapely.centroid(shapely.from_wkb(table["geometry"].to_numpy()))
        return pd.Index(table.index), np.column_stack([shapely.get_x(points), shapely.get_y(points)])


def _of_labels(element: Path) -> tuple[pd.Index, np.ndarray]:
    # Of each label the mean of its pixels' centres, some rows of the picture at a time.
    zarr = imported("zarr", ZARR)
    with damage_named(element, "labels of SpatialData"):
        level = attributes(element)
        level = (level.get("ome", level))["multiscales"][0]["datasets"][0]["path"]
        array = zarr.open_group(element, mode="r")[level]
        if array.ndim != 2:
            raise ValueError(f"labels have {array.ndim} dimensions, not two")
        total = pd.DataFrame()
        step = array.chunks[0]
        for start in range(0, array.shape[0], step):
            block = np.asarray(array[start : start + step])
            y, x = np.nonzero(block)
            labels, number = np.unique(block[y, x], return_inverse=True)
            sums = {"n": np.bincount(number), "x": np.bincount(number, x + 0.5)}
            sums["y"] = np.bincount(number, y + start + 0.5)
            part = pd.DataFrame(sums, index=labels.astype(np.int64))
            total = part if total.empty else total.add(part, fill_value=0)
    return total.index, total[["x", "y"]].to_numpy() / total[["n"]].to_numpy()
