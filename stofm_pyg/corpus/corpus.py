import copy
import hashlib
import json
import logging
import os
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from stofm_pyg._files import file_hash
from stofm_pyg.corpus.manifest import FEATURES, ORTHOLOGUES, VOCAB, read_manifest
from stofm_pyg.corpus.shard import Shard
from stofm_pyg.data import GeneVocab, SliceSettings
from stofm_pyg.data.errors import unknown_key
from stofm_pyg.data.genes.orthologues import Orthologues

logger = logging.getLogger(__name__)

KEY = re.compile(r"\w[\w-]*")


class Corpus:
    r"""The slices that :meth:`build_corpus` wrote to a folder.

    Args:
        directory (str or PathLike): The folder.

    Raises:
        FileNotFoundError: There is no such folder, no corpus in it, or one of its shards is not there.
        ValueError: Its manifest or a shard is damaged, or of another version.

    Example:
        >>> corpus = Corpus("corpus")
        >>> corpus
        Corpus(12 slices, 117,082 cells)
        >>> corpus.select(["brain:151673"]).shards
        [Shard('brain:151673', cells=3611, parts=4)]
    """

    def __init__(self, directory: str | os.PathLike):
        #: The folder; :obj:`None` in memory.
        self.directory: Path | None = Path(directory).expanduser()
        content = read_manifest(self.directory)
        self._vocabulary = content["vocabulary"]
        self._vocab: GeneVocab | None = None
        try:
            #: How the slices were converted.
            self.settings = SliceSettings.from_dict(content["settings"])
            #: The slices, by name.
            self.shards = [Shard(entry, self.directory, self._vocabulary) for entry in content["slices"]]
            #: The names of slices that have not been made, or could not be.
            self.missing = [entry["name"] for entry in content["missing"]]
            for entry in content["slices"]:
                _check_key(entry["key"], self.directory)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"The manifest of '{self.directory}' is damaged: {type(error).__name__}: {error}. Run "
                f"'corpus build' again."
            ) from error
        for shard in self.shards:
            _check_size(shard)
        if self.missing:
            logger.warning(
                "Slices missing from '%s': %d, e.g. '%s'; run 'corpus build' again",
                self.directory,
                len(self.missing),
                self.missing[0],
            )

    @classmethod
    def in_memory(
        cls,
        shards: Sequence[Shard],
        settings: SliceSettings,
        vocab: GeneVocab | None = None,
        orthologues: Orthologues | None = None,
    ) -> "Corpus":
        r"""Returns a corpus of shards that are in memory.

        Args:
            shards (sequence of Shard): The slices.
            settings (SliceSettings): How they were converted.
            vocab (GeneVocab, optional): The vocabulary of their tokens. (default: :obj:`None`)
            orthologues (Orthologues, optional): Mouse genes and their human genes.
                (default: :obj:`None`)
        """
        corpus = cls.__new__(cls)
        corpus.orthologues = orthologues
        corpus.directory, corpus.settings, corpus.missing = None, settings, []
        corpus.shards = sorted(shards, key=lambda shard: shard.name)
        corpus._vocab = vocab
        corpus._vocabulary = None if vocab is None else vocab.fingerprint
        return corpus

    @property
    def features(self) -> Path | None:
        r"""The folder of the features that the corpus was built with, as
        :meth:`~stofm_pyg.models.features.load_features` reads them; :obj:`None` for one of tokens."""
        if self.directory is None or self.has_tokens or not (self.directory / FEATURES).is_dir():
            return None
        return self.directory / FEATURES

    @cached_property
    def orthologues(self) -> Orthologues | None:
        r"""Mouse genes and their human genes, by which tokens were made; :obj:`None` without."""
        path = self.directory / ORTHOLOGUES
        return Orthologues.load(path) if path.is_file() else None

    @property
    def has_tokens(self) -> bool:
        r"""Whether the corpus has tokens."""
        return self._vocabulary is not None

    @property
    def names(self) -> list[str]:
        r"""The names of the slices."""
        return [shard.name for shard in self.shards]

    @property
    def num_cells(self) -> int:
        r"""The number of cells of all slices."""
        return sum(shard.num_cells for shard in self.shards)

    @cached_property
    def vocab(self) -> GeneVocab:
        r"""The vocabulary of the tokens.

        Raises:
            ValueError: It is another one than the corpus was made with, or there are no tokens.
        """
        if self._vocab is not None:
            return self._vocab
        if not self.has_tokens:
            raise ValueError("The corpus was made without a vocabulary and has no tokens")
        vocab = GeneVocab.load(self.directory / VOCAB)
        if vocab.fingerprint != self._vocabulary:
            raise ValueError(
                f"'{self.directory / VOCAB}' is not the vocabulary that the corpus was made with. Run "
                f"'corpus build' again."
            )
        return vocab

    @property
    def fingerprint(self) -> str:
        r"""A hash of the names and the content of the slices, and of how they were converted."""
        slices = [[shard.name, shard.entry["sha256"]] for shard in self.shards]
        text = json.dumps([slices, self.settings.to_dict()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def select(self, names: Sequence[str]) -> "Corpus":
        r"""Returns a view of some slices, in the order of their names here.

        Args:
            names (sequence of str): Their names, each once.

        Raises:
            ValueError: A name is unknown, or there twice.
        """
        names = [names] if isinstance(names, str) else list(names)
        shards = {shard.name: shard for shard in self.shards}
        for number, name in enumerate(names):
            if name not in shards:
                raise unknown_key(name, "corpus.names", shards)
            if name in names[:number]:
                raise ValueError(f"The slice '{name}' is selected twice. Name each once.")
        out = copy.copy(self)
        out.shards = [shards[name] for name in names]
        out.missing = []
        return out

    def damaged(self, share: tuple[int, int] = (0, 1)) -> list[Path]:
        r"""Returns the shards whose content is not what was written. Reads all of them.

        Args:
            share (tuple[int, int], optional): :obj:`(k, n)` looks at the :math:`k`-th of :math:`n`
                shares, from 0 on. (default: :obj:`(0, 1)`)
        """
        shards = [shard for shard in self.shards[share[0] :: share[1]] if shard.path is not None]
        return [shard.path for shard in shards if not _is_as_written(shard)]

    def __len__(self) -> int:
        return len(self.shards)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({len(self)} slices, {self.num_cells:,} cells)"


def _check_key(key: str, directory: Path):
    if not isinstance(key, str) or KEY.fullmatch(key) is None:
        raise ValueError(
            f"The manifest of '{directory}' names a shard {key!r}, which is no name of a file in its "
            f"folder; take the corpus from its original source"
        )


def _is_as_written(shard: Shard) -> bool:
    return shard.path.is_file() and file_hash(shard.path) == shard.entry["sha256"]


def _check_size(shard: Shard):
    mend = "Run 'corpus build' again, which makes what is missing or damaged."
    try:
        size = shard.path.stat().st_size
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"The shard '{shard.path}' of slice '{shard.name}' is not there. {mend}"
        ) from error
    if size != shard.entry["bytes"]:
        raise ValueError(
            f"The shard '{shard.path}' of slice '{shard.name}' is damaged: it has {size:,} bytes, "
            f"{shard.entry['bytes']:,} were written. {mend}"
        )
