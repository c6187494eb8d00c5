import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from tqdm import tqdm

from stofm_pyg.corpus.convert_slice import convert_slice
from stofm_pyg.corpus.corpus import Corpus
from stofm_pyg.corpus.corpus_settings import CorpusSettings
from stofm_pyg.corpus.failed_slices import FailedSlices, Failure
from stofm_pyg.corpus.jobs import exit_with_parent, run_jobs
from stofm_pyg.corpus.manifest import VOCAB, summary, write_manifest
from stofm_pyg.corpus.plan import FileHashes, PlannedSlice, plan_slices
from stofm_pyg.corpus.shard_file import is_intact, read_report, shard_path, write_shard
from stofm_pyg.corpus.slice_reader import SliceReader
from stofm_pyg.data import GeneVocab
from stofm_pyg.data.genes.orthologues import Orthologues
from stofm_pyg.data.slices.files import file_paths

logger = logging.getLogger(__name__)

# What a slice may fail by without loss to the others.
SLICE_ERRORS = (
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
)


def build_corpus(
    files: str | os.PathLike | Sequence[str | os.PathLike],
    out: str | os.PathLike,
    vocab: GeneVocab,
    settings: CorpusSettings | None = None,
    *,
    orthologues: Orthologues | Mapping | str | os.PathLike | None = None,
    share: tuple[int, int] = (0, 1),
    workers: int = 1,
    progress: bool = False,
) -> Corpus:
    r"""Converts h5ad files to a :class:`Corpus`, one shard per slice.

    A shard's name is a hash of the content of its file and of all settings; those that are there, whole,
    are not made again, so that a run that broke off goes on. The corpus is of the given files: shards of
    others stay in the folder, but are no part of it. One slice is in memory at a time and process.

    Args:
        files (str or PathLike or sequence of them): The h5ad files.
        out (str or PathLike): The folder of the corpus.
        vocab (GeneVocab): The vocabulary of the tokens.
        settings (CorpusSettings, optional): How slices are converted. (default: :obj:`None`)
        orthologues (Orthologues or dict or str or PathLike, optional): Mouse genes and their human
            genes, see :meth:`GeneVocab.map <stofm_pyg.data.GeneVocab.map>`. (default: :obj:`None`)
        share (tuple[int, int], optional): :obj:`(k, n)` makes the :math:`k`-th of :math:`n` shares, from
            0 on, of the same files on several machines with a common folder. (default: :obj:`(0, 1)`)
        workers (int, optional): The number of processes. (default: :obj:`1`)
        progress (bool, optional): Shows a progress bar. (default: :obj:`False`)

    Raises:
        FileNotFoundError: A file does not exist.
        FailedSlices: Slices could not be converted. All others are in the corpus by then.
    """
    files = file_paths(files)
    for path in files:
        if not path.is_file():
            raise FileNotFoundError(f"There is no file '{path}'. Check the path.")
    number, of = share
    if not 0 <= number < of:
        raise ValueError(f"'share' must be (k, n) with 0 <= k < n (got {share}): k counts from 0")
    if workers < 1:
        raise ValueError(f"'workers' must be at least 1 (got {workers})")
    settings = CorpusSettings() if settings is None else settings
    orthologues = Orthologues.read(orthologues)
    directory = Path(out).expanduser()
    directory.mkdir(parents=True, exist_ok=True)

    hashes = FileHashes(directory / "files")
    planned, failures = plan_slices(files, hashes, vocab, settings, orthologues, workers)
    for failure in failures:
        logger.error("%s", failure)
    own = planned[number::of]
    with ThreadPoolExecutor(workers) as pool:
        intact = list(pool.map(lambda item: is_intact(directory, item.key), own))
    todo = [item for item, done in zip(own, intact, strict=True) if not done]
    logger.info("%d of %d slices are there already", len(own) - len(todo), len(own))
    for item in todo:
        if shard_path(directory, item.key).exists():
            logger.warning("The shard of '%s' is damaged or half written, and made again", item.name)

    workers = min(workers, max(1, len(todo)))
    convert = _Convert(directory, vocab, settings, orthologues, in_pool=workers > 1)
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
    vocab.save(directory / VOCAB)
    content = write_manifest(directory, planned, settings, vocab.fingerprint)
    logger.info("'%s': %s", directory, summary(content))
    if failures:
        raise FailedSlices(failures, directory)
    return Corpus(directory)


@dataclass(frozen=True)
class _Convert:
    directory: Path
    vocab: GeneVocab
    settings: CorpusSettings
    orthologues: Orthologues
    in_pool: bool

    def __call__(self, item: PlannedSlice) -> str | None:
        if self.in_pool:
            exit_with_parent()
        settings = self.settings
        try:
            reader = SliceReader(item.file, settings.slice_key)
            rows = reader.rows[item.slice]
            adata = reader.read(item.slice, settings.layer, settings.spatial_key)
            tensors, report = convert_slice(adata, rows, self.vocab, settings, self.orthologues)
            write_shard(self.directory, item.key, tensors, report)
        except SLICE_ERRORS as error:
            return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        return None


def _told(item: PlannedSlice, report: Mapping[str, Any]) -> str:
    return (
        f"'{item.name}': {report['cells']:,} cells in {report['subpatches']:,} subpatches, "
        f"{report['genes_matched']:,} of {report['genes']:,} genes with "
        f"{100 * report['share_counts_matched']:.1f} % of the counts, {report['seconds']:.1f} s"
    )
