r"""The tasks of the benchmark, one file each; see :class:`~benchmarks.tasks.task.Task`."""

from benchmarks.tasks.annotation import Annotation
from benchmarks.tasks.clustering import Clustering
from benchmarks.tasks.deconvolution import Deconvolution
from benchmarks.tasks.imputation import Imputation
from benchmarks.tasks.segmentation import Segmentation

TASKS = {kind.name: kind for kind in (Segmentation, Annotation, Clustering, Deconvolution, Imputation)}
