"""A run that can be killed at any moment: `python -m tests.train.resumable_run FOLDER NUM_STEPS`."""

import json
import sys
import time
from pathlib import Path

import torch

from stofm_pyg.train import EXIT_TERMINATED, Checkpoints, Termination, Trainer
from tests.train.engine_case import make_loader, make_pretraining


def run(folder, num_steps, seconds=0.0, num_workers=0, save_every=3):
    """Goes on from the newest checkpoint; each step is a line of the curve. Returns the exit code."""
    checkpoints = Checkpoints(folder / "checkpoints")
    curve = folder / "curve.jsonl"

    def report(step, scalars):
        with curve.open("a") as file:
            file.write(json.dumps([step, scalars]) + "\n")
        if step % save_every == 0 or step == num_steps:
            checkpoints.save(step, trainer.state_dict(), scalars["loss"])
        time.sleep(seconds)

    with Termination() as stop:
        trainer = Trainer(make_pretraining(), lr=0.01, seed=7, on_step=report, stop=stop)
        state = checkpoints.load_newest()
        if state is not None:
            trainer.load_state_dict(state)
        start = 0 if state is None else state["step"]
        trainer.fit(make_loader(start=start, num_workers=num_workers), num_steps)
        if trainer.stopped:
            checkpoints.save(trainer.step, trainer.state_dict())
            return EXIT_TERMINATED
    return 0


def read_curve(folder):
    """(step, scalars) of whole lines, in the order in which they were written."""
    path = folder / "curve.jsonl"
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(run(Path(sys.argv[1]), int(sys.argv[2]), seconds=0.01, num_workers=1))
