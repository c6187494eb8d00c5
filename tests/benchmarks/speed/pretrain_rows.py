"""Rows as benchmarks/speed/pretrain.py writes them, of numbers that are easy to reckon with."""


def make_rows(cells=1000, seconds=10.0):
    common = {"side": "given", "cells": cells, "peak_mib": 500.0, "preset": "tiny", "device": "cpu",
              "machine": "a machine"}  # fmt: skip
    parts = {"waiting for data": 0.05, "moving": 0.0, "forward": 0.2, "backward": 0.6,
             "optimiser": 0.1, "curves": 0.0, "rest": 0.05}  # fmt: skip
    stage = {
        "train_cells": cells, "cells_per_step": 100.0, "step_s": 1.0, "parts": parts,
        "waiting_share": 0.05, "evaluation_s": 4.0, "evaluate_every": 8, "evaluations_per_pass": 2,
        "checkpoint_s": 1.0, "save_every": 4, "saves_per_pass": 3,
        "loader": {"reading": 0.01, "rest": 0.02, "MaskCells": 0.03},
    }  # fmt: skip
    build = {"median_s": seconds, "cells_per_second": cells / seconds, "bytes_per_cell": 2048.0}
    encode = {"median_s": 2 * seconds, "cells_per_second": 400.0, "bytes_per_cell": 256.0}
    return [
        {"case": "build", **common, **build},
        {"case": "encode", **common, **encode},
        {"case": "stage_1", **common, **stage, "median_s": 3 * seconds, "cells_per_second": 200.0},
        {"case": "stage_2", **common, **stage, "median_s": 4 * seconds, "cells_per_second": 50.0},
    ]
