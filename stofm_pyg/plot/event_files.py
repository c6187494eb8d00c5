r"""The numbers that a training run leaves for TensorBoard."""

import os
from pathlib import Path

import numpy as np

FOLDER = "tensorboard"


def read_scalars(run: str | os.PathLike) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    r"""Returns the scalars of a run: for each stage and name the steps and the values.

    Args:
        run (str or PathLike): The folder of a run, as :obj:`fit(out=...)` and :obj:`pretrain` make it,
            or one with event files.

    Raises:
        FileNotFoundError: There are no event files in the folder.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = Path(run).expanduser()
    root = run / FOLDER if (run / FOLDER).is_dir() else run
    folders = sorted({path.parent for path in root.rglob("*tfevents*")})
    if not folders:
        raise FileNotFoundError(
            f"'{run}' has no training curves: looked for TensorBoard's event files in '{root}'. Pass "
            f"the folder of a run, 'out=' of 'fit' or '--out' of 'pretrain'"
        )
    scalars = {}
    for folder in folders:
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 1})
        events.Reload()
        stage = folder.relative_to(root).as_posix()
        stage = root.name if stage == "." else stage
        scalars[stage] = {}
        for name in events.Tags()["scalars"]:
            points = {event.step: event.value for event in events.Scalars(name)}  # The last counts.
            steps = np.array(sorted(points), dtype=np.int64)
            scalars[stage][name] = (steps, np.array([points[step] for step in steps.tolist()]))
    return scalars
