r"""Many slices, on disk or in memory, of which training reads a subpatch or a region at a time."""

from stofm_pyg.corpus._build_corpus import build_corpus
from stofm_pyg.corpus._corpus_in_memory import corpus_in_memory, corpus_of_data
from stofm_pyg.corpus.corpus import Corpus
from stofm_pyg.corpus.corpus_dataset import CorpusDataset, CorpusSlices
from stofm_pyg.corpus.failed_slices import FailedSlices
from stofm_pyg.corpus.feature_store import FeatureStore
from stofm_pyg.corpus.shard import Shard
from stofm_pyg.data import SliceSettings as CorpusSettings  # Its name before there was one for all.

__all__ = [
    "Corpus",
    "CorpusDataset",
    "CorpusSettings",
    "CorpusSlices",
    "FailedSlices",
    "FeatureStore",
    "Shard",
    "build_corpus",
    "corpus_in_memory",
    "corpus_of_data",
]
