"""The reference runs of the official code in `golden/`, as the graphs that our layers take."""

from pathlib import Path

from stofm_pyg.models import from_official_heads
from tools.official_run import OfficialRun, largest_error, run_encoder

__all__ = ["CASES", "GOLDEN", "GoldenCase", "largest_error", "load_head", "run_encoder"]

GOLDEN = Path(__file__).parent / "golden"
CASES = ("se2_post_ln", "se2_pre_ln")


class GoldenCase(OfficialRun):
    def __init__(self, name):
        super().__init__(GOLDEN / f"{name}.safetensors")


def load_head(objective, state):
    """Puts an official two-layer head (modules `0` and `2`) into an objective's `head`."""
    named = {f"lm_head.{name}": value for name, value in state.items()}
    objective.load_state_dict(from_official_heads(named)["mcm"])
    return objective
