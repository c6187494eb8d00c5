import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from anndata import AnnData
from torch import Tensor
from tqdm import tqdm

from stofm_pyg._files import check_writable, locked
from stofm_pyg.corpus.convert_slice import convert_slice
from stofm_pyg.corpus.corpus import Corpus
from stofm_pyg.corpus.failed_slices import SLICE_ERRORS, FailedSlices, Failure, reason_of
from stofm_pyg.corpus.feature_store import FeatureStore
from stofm_pyg.corpus.jobs import exit_with_parent, run_jobs
from stofm_pyg.corpus.manifest import FEATURES, ORTHOLOGUES, VOCAB, summary, write_manifest
from stofm_pyg.corpus.plan import FileHashes, PlannedSlice, check_share, file_stamp, plan_slices
from stofm_pyg.corpus.shard import Shard
from stofm_pyg.corpus.shard_file import is_intact, read_report, shard_path, write_shard
from stofm_pyg.data import GeneVocab, SliceSettings
from stofm_pyg.data.genes.orthologues import Orthologues
from stofm_pyg.data.slices.files import file_paths
from stofm_pyg.data.slices.reader import SliceReader

logger = logging.getLogger(__name__)


class CellFeatures(Protocol):
    r"""What makes features of the cells of a slice, see :class:`~stofm_pyg.models.features.Features`."""

    obsm: str | None

    def encode(self, adata: AnnData) -> Tensor:
        r"""Returns the features of the cells of a slice :math:`(N, F)`."""

    def fingerprint(self) -> str:
        r"""Returns a hash of all that the features depend on, beside the cells."""

    def save(self, directory: str | os.PathLike):
        r"""Writes the features to a folder."""


def build_corpus(
    files: str | os.PathLike | Sequence[str | os.PathLike],
    out: str | os.PathLike,
    vocab: GeneVocab | None = None,
    settings: SliceSettings | None = None,
    *,
    features: CellFeatures | None = None,
    orthologues: Orthologues | Mapping | str | os.PathLike | None = None,
    share: tuple[int, int] = (0, 1),
    workers: int = 1,
    progress: bool = False,
) -> Corpus:
    r"""Converts files and folders of any format that :meth:`~stofm_pyg.data.read` knows to a
    :class:`Corpus`, one shard per slice.

    A shard's name is a hash of the content of its file and of all settings; those that are there, whole,
    are not made again, so that a run that broke off goes on. The corpus is of the given files: shards of
    others stay in the folder, but are no part of it. One slice is in memory at a time and process.

    Args:
        files (str or PathLike or sequence of them): The files and folders.
        out (str or PathLike): The folder of the corpus.
        vocab (GeneVocab, optional): The vocabulary of the tokens, from which a cell encoder makes
            features. (default: :obj:`None`)
        settings (SliceSettings, optional): How slices are converted. (default: :obj:`None`)
        features (Features, optional): What makes features, in the place of tokens, such as
            :class:`~stofm_pyg.models.features.PCAFeatures`. (default: :obj:`None`)
        orthologues (Orthologues or dict or str or PathLike, optional): Mouse genes and their human
            genes; those of :obj:`settings` without. (default: :obj:`None`)
        share (tuple[int, int], optional): :obj:`(k, n)` makes the :math:`k`-th of :math:`n` shares, from
            0 on, of the same files on several machines with a common folder. (default: :obj:`(0, 1)`)
        workers (int, optional): The number of processes. (default: :obj:`1`)
        progress (bool, optional): Shows a progress bar. (default: :obj:`False`)

    Raises:
        FileNotFoundError: A file does not exist.
        OSError: Nothing can be written to the folder, or another process builds there.
        FailedSlices: Slices could not be converted. All others are in the corpus by then.
    """
    files = file_paths(files, links=True)  # Two names of one file fail as one slice that is there twice.
    for path in files:
        if not path.exists():
            raise FileNotFoundError(f"There is no file '{path}'. Check the path.")
    number, of = check_share(share)
    if workers < 1:
        raise ValueError(f"'workers' must be at least 1 (got {workers})")
    if (vocab is None) == (features is None):
        raise ValueError("A corpus is made with a vocabulary or with features, one of both; pass one")
    settings = SliceSettings() if settings is None else settings
    for name, value, kind in (("vocab", vocab, GeneVocab), ("settings", settings, SliceSettings)):
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"'{name}' must be a {kind.__name__} (got {type(value).__name__})")
    table = None
    if vocab is not None:
        table = Orthologues.read(settings.orthologues if orthologues is None else orthologues)
    directory = Path(out).expanduser()
    check_writable(directory)
    with locked(directory, shared=of > 1):
        return _build(
            files, directory, vocab, settings, features, table, share, workers, progress
        )


def _build(
    files: Sequence[Path],
    directory: Path,
    vocab: GeneVocab | None,
    settings: SliceSettings,
    features: CellFeatures | None,
    table: Orthologues | None,
    share: tuple[int, int],
    workers: int,
    progress: bool,
) -> Corpus:
    number, of = share
    store = None
    if features is not None:
        features.save(directory / FEATURES)
        store = corpus_store(directory, settings, features)

    hashes = FileHashes(directory / "files")
    planned, failures = plan_slices(files, hashes, settings, vocab, table, workers)
    for failure in failures:
        logger.error("%s", failure)
    own = planned[number::of]
    with ThreadPoolExecutor(workers) as pool:
        intact = list(pool.map(lambda item: _is_whole(directory, item.key, store), own))
    todo = [item for item, done in zip(own, intact, strict=True) if not done]
    logger.info("%d of %d slices are there already", len(own) - len(todo), len(own))
    for item in todo:
        if shard_path(directory, item.key).exists():
            logger.warning("The shard of '%s' is damaged or half written, and made again", item.name)

    workers = min(workers, max(1, len(todo)))
    convert = _Convert(directory, settings, vocab, features, table, in_pool=workers > 1)
    done = run_jobs(convert, todo, workers)
    if progress and todo:
        done = tqdm(done, "corpus", total=len(todo), unit="slice")
    for item, reason in done:
        if reason is None:
            logger.info("%s", _told(item, read_report(directory, item.key)))
        else:
            failures.append(Failure(item.file, item.slice, reason))
            logger.error("%s", failures[-1])

    # The vocabulary comes first: a manifest that is there can be used.
    if vocab is not None:
        vocab.save(directory / VOCAB)
        (directory / ORTHOLOGUES).unlink(missing_ok=True)
        if len(table) > 0:
            table.save(directory / ORTHOLOGUES)
    fingerprint = None if vocab is None else vocab.fingerprint
    content = write_manifest(directory, planned, settings, fingerprint)
    logger.info("'%s': %s", directory, summary(content))
    if failures:
        raise FailedSlices(failures, directory)
    return Corpus(directory)


def corpus_store(directory: Path, settings: SliceSettings, features: CellFeatures) -> FeatureStore:
    r"""Returns what keeps the features of a corpus that was built with features."""
    return FeatureStore(settings, directory / FEATURES / features.fingerprint()[:16])


def _is_whole(directory: Path, key: str, store: FeatureStore | None) -> bool:
    if not is_intact(directory, key):
        return False
    return store is None or store.has(Shard(_entry(directory, key), directory))


def _entry(directory: Path, key: str) -> dict[str, Any]:
    return {"name": "", **read_report(directory, key)}


@dataclass(frozen=True)
class _Convert:
    directory: Path
    settings: SliceSettings
    vocab: GeneVocab | None
    features: CellFeatures | None
    orthologues: Orthologues | None
    in_pool: bool

    def __call__(self, item: PlannedSlice) -> str | None:
        if self.in_pool:
            exit_with_parent()
        settings, directory = self.settings, self.directory
        try:
            reader = SliceReader(item.file, settings)
            adata, rows = reader.read_by_name(item.slice, getattr(self.features, "obsm", None))
            # Before the shard is written: one without features would count as made.
            x = None if self.features is None else self.features.encode(adata)
            tensors, report = convert_slice(adata, rows, settings, self.vocab, self.orthologues)
            if file_stamp(item.file) != item.stamp:
                return "it was changed while it was read; run it again"
            write_shard(directory, item.key, tensors, report)
            if x is not None:
                store = corpus_store(directory, settings, self.features)
                store.write(Shard(_entry(directory, item.key), directory), x)
        except SLICE_ERRORS as error:
            return reason_of(error)
        return None


def _told(item: PlannedSlice, report: Mapping[str, Any]) -> str:
    told = f"'{item.name}': {report['cells']:,} cells in {report['subpatches']:,} subpatches"
    if "genes_matched" in report:
        told += (
            f", {report['genes_matched']:,} of {report['genes']:,} genes with "
            f"{100 * report['share_counts_matched']:.1f} % of the counts"
        )
    return f"{told}, {report['seconds']:.1f} s"
