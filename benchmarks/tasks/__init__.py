r"""The tasks of the benchmark, one file each."""

from benchmarks.tasks.segmentation import run as segmentation

TASKS = {"segmentation": segmentation}
