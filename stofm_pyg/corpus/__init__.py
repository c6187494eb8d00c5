r"""Many slices on disk, one file each, of which training reads a subpatch at a time."""

from stofm_pyg.corpus._build_corpus import build_corpus
from stofm_pyg.corpus.corpus import Corpus
from stofm_pyg.corpus.corpus_dataset import CorpusDataset
from stofm_pyg.corpus.corpus_settings import CorpusSettings
from stofm_pyg.corpus.failed_slices import FailedSlices
from stofm_pyg.corpus.features import has_features, write_features
from stofm_pyg.corpus.shard import Shard

__all__ = [
    "Corpus",
    "CorpusDataset",
    "CorpusSettings",
    "FailedSlices",
    "Shard",
    "build_corpus",
    "has_features",
    "write_features",
]
