import math
from collections.abc import Mapping, Sequence
from typing import Any

from stofm_pyg.train import PRESETS, StageConfig

OF = "principal components on one CPU core"
# Seconds of one core (Intel Xeon, 2.5 GHz; PyTorch 2.13) on real slices of 3,190 to 34,451 cells and 166
# to 7,363 genes: of a step, of embedding a cell, of making a cell and a stored count ready to train on.
STEP = {"tiny": 0.04, "small": 0.07, "paper": 2.8}
EMBED = {"tiny": 1.5e-4, "small": 3e-4, "paper": 3.5e-4}
READY_CELL, READY_VALUE = 1.8e-4, 1.2e-6
# Bytes of the process and a step, and of a cell and a stored count.
BASE = {"tiny": 0.55 * 2**30, "small": 0.55 * 2**30, "paper": 0.9 * 2**30}
BYTES_CELL, BYTES_VALUE = 12_000.0, 20.0


def estimate(sources: Sequence[Mapping[str, Any]], preset: str) -> dict[str, Any]:
    r"""Returns about how long :obj:`fit` and :obj:`embed` take, and how much memory; nothing where there
    are no counts.

    Args:
        sources (sequence of dict): What :meth:`describe_source` returned.
        preset (str): The preset.
    """
    out: dict[str, Any] = {"preset": preset, "of": OF, "fit": None, "embed": None}
    if not all(source["counts"]["raw"] for source in sources):
        return out
    cells = [part["cells"] for source in sources for part in source["slices"]]
    values = sum(source["cells"] * source["counts"]["values_per_cell"] for source in sources)
    parts = sum(part["subpatches"] for source in sources for part in source["slices"])
    steps = num_steps(PRESETS[preset].stage_1, cells, parts)
    ready = READY_CELL * sum(cells) + READY_VALUE * values
    memory = BASE[preset] + BYTES_CELL * sum(cells) + BYTES_VALUE * values
    out["fit"] = {"seconds": ready + STEP[preset] * steps, "steps": steps, "bytes": memory}
    out["embed"] = {"seconds": EMBED[preset] * sum(cells), "bytes": memory}
    return out


def num_steps(stage: StageConfig, cells: Sequence[int], parts: int) -> int:
    r"""Returns how many steps a stage takes.

    Args:
        stage (StageConfig): The stage.
        cells (sequence of int): The number of cells of each slice.
        parts (int): The number of subpatches of all slices.
    """
    regions = parts
    if stage.max_cells > 0:
        mean = (stage.min_cells + stage.max_cells) / 2
        regions = sum(max(1, round(number / mean)) for number in cells)
    return stage.num_steps(math.ceil(regions / stage.batch_size))
