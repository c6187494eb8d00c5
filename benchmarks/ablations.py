r"""Variants of SToFM, each without one thing or with another, as rows beside the full model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.names import names_in

# No two cells are as near as this, in spacings: all pairs are far, and none has a distance.
NO_DISTANCES = 1e-3
STAGES = ("stage_1", "stage_2")
ADAPTATION_STEPS = 200


@dataclass(frozen=True)
class Ablation:
    r"""A variant of the full model.

    Args:
        told (str): What its row is called.
        config (dict, optional): Values of :class:`~stofm_pyg.train.PretrainConfig`.
        fit (dict, optional): Other arguments of :meth:`SToFM.fit <stofm_pyg.models.SToFM.fit>`.
        scale (bool, optional): Whether features are scaled by what neighbours share of them.
            (default: :obj:`True`)
    """

    told: str
    config: Mapping[str, Any] = field(default_factory=dict)
    fit: Mapping[str, Any] = field(default_factory=dict)
    scale: bool = True


def _objectives(**weights: float) -> dict[str, Any]:
    return {stage: {"objectives": weights} for stage in STAGES}


#: The variants by name.
ABLATIONS = {
    "virtual-cells": Ablation("no virtual cells", fit={"virtual_cells": False}),
    "distances": Ablation("no distances of cells", fit={"radius": NO_DISTANCES}),
    "mcm": Ablation("no MCM", _objectives(rings=1.0)),
    "rings": Ablation("no rings", _objectives(mcm=1.0)),
    "pdr": Ablation("with PDR", _objectives(mcm=1.0, rings=1.0, pdr=0.01)),
    "paper-objectives": Ablation("MCM and PDR, as in the paper", _objectives(mcm=1.0, pdr=0.01)),
    "grid": Ablation("grid, not METIS", fit={"method": "grid"}),
    "radius-half": Ablation("radius 4", fit={"radius": 4.0}),
    "radius-double": Ablation("radius 16", fit={"radius": 16.0}),
    "part-half": Ablation("parts of 500", fit={"cells_per_part": 500}),
    "part-double": Ablation("parts of 2000", fit={"cells_per_part": 2000}),
    "local-start": Ablation("no local start", {"model": {"local_start": False}}),
    "scaling": Ablation("components of equal variance", scale=False),
    "read-out-all": Ablation("read-out: all layers", {"read_out": {"layers": "all"}}),
    "read-out-context": Ablation("read-out: context", {"read_out": {"readout": "context"}}),
    "tokens": Ablation(
        "tokens, encoder not adapted", {"adaptation": {"num_steps": 0}}, {"features": "tokens"}
    ),
    "tokens-adapted": Ablation(
        "tokens, encoder adapted",
        {"adaptation": {"num_steps": ADAPTATION_STEPS}},
        {"features": "tokens"},
    ),
}


def ablations(asked: str | None) -> dict[str, Ablation]:
    r"""The variants that are asked for: none, :obj:`"all"`, or a list of names with commas.

    Raises:
        ValueError: One is unknown.
    """
    if asked is None:
        return {}
    if asked == "all":
        return dict(ABLATIONS)
    return {name: ABLATIONS[name] for name in names_in(asked, ABLATIONS, "ablation")}
