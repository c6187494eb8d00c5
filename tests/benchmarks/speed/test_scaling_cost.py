import json

from benchmarks.speed.scaling_cost import main


def test_the_arithmetic(tmp_path, capsys):
    rows = [
        {"case": "build", "cells": 1000, "cells_per_second": 100.0, "bytes_per_cell": 2048.0},
        {"case": "stage_1", "cells": 5000, "cells_per_second": 200.0},
        {"case": "stage_1", "cells": 1000, "cells_per_second": 999.0},  # A smaller corpus.
        {"case": "stage_2", "cells": 9000, "cells_per_second": None},
        {"case": "embed", "cells": 9000, "cells_per_second": 7.0},  # Of a check on a GPU.
    ]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{**row, "machine": "a machine"} for row in rows]))
    args = ["--cells", "3.6e6", "--gpus", "4", "--workers", "2", "--efficiency", "0.5"]
    assert main([str(path), *args]) == 0
    out = capsys.readouterr().out
    assert "| build | 1 | 100 | 2 | 5 | 10 | 6.87 |" in out
    assert "| stage_1 | 2 | 200 | 4 | 5 | 20 |  |" in out
    assert "stage_2" not in out and "embed" not in out and "Measured on: a machine" in out
