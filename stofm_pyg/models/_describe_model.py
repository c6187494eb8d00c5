from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stofm_pyg.models.stofm import SToFM

# Of the settings of slices, those that are said even where they are the defaults.
ALWAYS = ("unit", "radius")


def describe_model(model: SToFM) -> str:
    r"""Returns what :obj:`repr` says of a model: sizes, what it sees of a cell, how slices are made,
    what was learned, and the number of parameters."""
    parts = [str(model.encoder)]
    if model.graph != "radius":
        parts.append(f"graph={model.graph!r}")
    parts.append(f"features={model.features}")
    parts.append(f"settings={_differing(model.settings, ALWAYS)}")
    parts.append(f"read_out={_differing(model.read_out, ('layers', 'readout'))}")
    if model.fitted_to is not None:
        parts.append(f"fitted_to={model.fitted_to}")
    if len(model.heads) > 0:
        parts.append(f"labels={list(model.heads)}")
    if model.found_domains is not None:
        parts.append(f"domains={model.found_domains}")
    parts.append(f"parameters={sum(p.numel() for p in model.parameters()):,}")
    return "\n".join([f"{model.__class__.__name__}(", *(f"  {part}," for part in parts), ")"])


def _differing(values: Any, always: tuple[str, ...]) -> str:
    # The values of a dataclass that are not its defaults.
    usual = asdict(type(values)())
    names = [field.name for field in fields(values)]
    shown = [name for name in names if name in always or getattr(values, name) != usual[name]]
    inside = ", ".join(f"{name}={getattr(values, name)!r}" for name in shown)
    return f"{type(values).__name__}({inside})"
