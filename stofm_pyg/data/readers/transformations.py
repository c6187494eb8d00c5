from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# Names of coordinate systems whose unit is a micron, and of units, as they are written.
MICRONS = ("microns", "micron", "micrometers", "micrometer", "micrometre", "um", "µm", "μm")
USUAL_SYSTEM = "global"
IN_PLANE = ("x", "y")


class Transformation(NamedTuple):
    r"""How coordinates of an element become those of a coordinate system."""

    #: An affine map of :math:`(x, y, 1)`, :math:`(3, 3)`.
    matrix: np.ndarray
    #: The unit of the coordinate system, where it is told.
    unit: str

    def apply(self, pos: np.ndarray) -> np.ndarray:
        r"""Returns positions :math:`(N, 2)` in the coordinate system."""
        return pos @ self.matrix[:2, :2].T + self.matrix[:2, 2]


def coordinate_systems(attributes: Mapping[str, Any]) -> dict[str, Transformation]:
    r"""Returns the transformations of an element of a SpatialData, by the names of the coordinate
    systems into which they lead.

    Args:
        attributes (dict): The attributes of its group.

    Raises:
        ValueError: A transformation is of a kind that is not known.
    """
    content = attributes.get("ome", attributes)
    if "multiscales" in content:
        content = content["multiscales"][0]
    out = {}
    for item in content.get("coordinateTransformations", []):
        system = item.get("output") or {}
        axes = system.get("axes", [])
        units = {str(axis.get("unit", "")).lower() for axis in axes if axis.get("name") in IN_PLANE}
        unit = units.pop() if len(units) == 1 else ""
        name = system.get("name", USUAL_SYSTEM)
        out[name] = Transformation(_matrix(item, _axes(item, "input"), _axes(item, "output")), unit)
    return out or {USUAL_SYSTEM: Transformation(np.eye(3), "")}


def chosen_system(
    systems: Mapping[str, Mapping[str, Transformation]], path: Path
) -> tuple[str, str]:
    r"""Returns the coordinate system that elements share, and its unit: one in microns where there is
    one, else :obj:`"global"`, else the first.

    Args:
        systems (dict): The transformations of each element, by its name and that of the system.
        path (Path): The SpatialData, for the error.

    Raises:
        ValueError: They share none.
    """
    first, *others = systems.values()
    shared = [name for name in first if all(name in other for other in others)]
    if not shared:
        told = "; ".join(f"'{name}': {', '.join(known)}" for name, known in systems.items())
        raise ValueError(
            f"The elements that the table of '{path}' annotates share no coordinate system ({told}). "
            f"Split the table by element"
        )
    for name in shared:
        units = {known[name].unit for known in systems.values()}
        if name.lower() in MICRONS or (len(units) == 1 and units <= set(MICRONS)):
            return name, "micron"
    return (USUAL_SYSTEM if USUAL_SYSTEM in shared else shared[0]), "unknown"


def _axes(item: Mapping[str, Any], end: str) -> list[str]:
    axes = (item.get(end) or {}).get("axes", [])
    return [axis["name"] for axis in axes] or list(IN_PLANE)


def _matrix(item: Mapping[str, Any], inputs: list[str], outputs: list[str]) -> np.ndarray:
    # Of homogeneous coordinates of the plane, whatever axes there are beside.
    kind, out = item["type"], np.eye(3)
    inputs = _axes(item, "input") if item.get("input", {}).get("axes") else inputs
    outputs = _axes(item, "output") if item.get("output", {}).get("axes") else outputs
    if kind == "identity":
        return out
    if kind == "sequence":
        for part in item["transformations"]:
            out = _matrix(part, inputs, outputs) @ out
        return out
    where = {axis: number for number, axis in enumerate(inputs)}
    if kind == "scale":
        for row, axis in enumerate(IN_PLANE):
            out[row, row] = item["scale"][where[axis]]
        return out
    if kind == "translation":
        for row, axis in enumerate(IN_PLANE):
            out[row, 2] = item["translation"][where[axis]]
        return out
    if kind == "affine":
        full = np.asarray(item["affine"], dtype=np.float64)
        for row, axis in enumerate(IN_PLANE):
            values = full[outputs.index(axis)]
            out[row] = [*(values[where[name]] for name in IN_PLANE), values[-1]]
        return out
    if kind == "mapAxis":
        out[:2, :2] = 0.0
        for row, axis in enumerate(IN_PLANE):
            out[row, IN_PLANE.index(item["mapAxis"].get(axis, axis))] = 1.0
        return out
    raise ValueError(f"A transformation of the kind {kind!r} is not known; transform the element first")
