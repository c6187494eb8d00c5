r"""The tasks of the benchmark, one file each."""

from benchmarks.tasks import segmentation

TASKS = {"segmentation": segmentation.run}
