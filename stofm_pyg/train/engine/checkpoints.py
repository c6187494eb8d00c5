import logging
import math
import os
import re
from pathlib import Path
from typing import Any

from stofm_pyg._files import READ_ERRORS, load_torch, save_torch, write_atomically

logger = logging.getLogger(__name__)


class Checkpoints:
    r"""The checkpoints of a run, one file :obj:`step-N.pt` each, of which the newest are kept, and the
    best as :obj:`best.pt`.

    A file is there as a whole or not at all, its checksums are verified when it is read, and nothing but
    tensors and plain values is taken from it.

    Args:
        folder (str or PathLike): Where they are; made when the first is saved.
        keep (int, optional): How many are kept. (default: :obj:`2`)
    """

    def __init__(self, folder: str | os.PathLike, keep: int = 2):
        if keep < 1:
            raise ValueError(f"'keep' must be at least 1 (got {keep})")
        self.folder = Path(folder)
        self.keep = keep
        self._best_score: float | None = None

    def save(self, step: int, state: dict[str, Any], score: float | None = None):
        r"""Writes a checkpoint and removes those that are too old.

        Args:
            step (int): The number of steps done.
            state (dict): Tensors and plain values, nested as need be.
            score (float, optional): How good it is, the lower the better, which is kept in it as
                :obj:`"score"`. If no one before had so low a score, it is kept as the best, too.
                (default: :obj:`None`)
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if score is not None:
            state = {**state, "score": float(score)}
            # The best first: if it breaks off in between, the run goes on before this step.
            if score < self.best_score:
                write_atomically(self.best_path, lambda part: save_torch(state, part))
                self._best_score = float(score)
        write_atomically(self.folder / f"step-{step:08d}.pt", lambda part: save_torch(state, part))
        # With what a process that was killed while it wrote has left.
        for path in [*self.paths()[self.keep :], *self.folder.glob(".*.pt.*.tmp")]:
            path.unlink(missing_ok=True)

    def load_newest(self) -> dict[str, Any] | None:
        r"""Reads the newest checkpoint, or the one before if that is damaged; :obj:`None` if there is
        none.

        Raises:
            ValueError: All are damaged.
        """
        paths = self.paths()
        for path in paths:
            try:
                return load_torch(path)
            except READ_ERRORS as error:
                logger.warning(
                    "The checkpoint '%s' (%d bytes) is damaged and passed over: %s",
                    path,
                    path.stat().st_size,
                    _reason(error),
                )
        if paths:
            raise ValueError(
                f"All {len(paths)} checkpoints in '{self.folder}' are damaged; remove them and begin "
                f"anew"
            )
        return None

    @property
    def best_path(self) -> Path:
        r"""The file of the best."""
        return self.folder / "best.pt"

    @property
    def best_score(self) -> float:
        r"""The score of the best, infinite if there is none yet or it cannot be read."""
        if self._best_score is None:
            try:
                best = self.load_best()
            except ValueError as error:
                logger.warning("%s", error)
                best = None
            self._best_score = math.inf if best is None else best["score"]
        return self._best_score

    def load_best(self) -> dict[str, Any] | None:
        r"""Reads the best checkpoint with its :obj:`"score"`; :obj:`None` if none had a score.

        Raises:
            ValueError: It is damaged.
        """
        try:
            state = load_torch(self.best_path)
            return {**state, "score": float(state["score"])}
        except FileNotFoundError:
            return None
        except READ_ERRORS as error:
            raise ValueError(
                f"The best checkpoint '{self.best_path}' is damaged ({_reason(error)}); remove it, and "
                f"the next to be saved with a score takes its place"
            ) from error

    def paths(self) -> list[Path]:
        r"""The files, newest first."""
        found = [path for path in self.folder.glob("step-*.pt") if re.fullmatch(r"step-\d+", path.stem)]
        return sorted(found, key=lambda path: int(path.stem[5:]), reverse=True)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}('{self.folder}', keep={self.keep})"


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
