r"""Predicted classes under the names of the true ones."""

from collections.abc import Sequence

import numpy as np

from stofm_pyg.plot.piece import Piece


def named_alike(
    pieces: Sequence[Piece], truth: str, prediction: str, match: bool
) -> tuple[list[str], list[np.ndarray]]:
    r"""Returns the names of the true classes, and the predicted class numbers of each slice among them.

    Args:
        pieces (sequence of Piece): The slices.
        truth (str): The key of the true classes.
        prediction (str): The key of the predicted ones.
        match (bool): Whether a predicted class counts as the true one that most of its cells are of.

    Raises:
        ValueError: A predicted class is no true one.
    """
    classes, names = pieces[0].classes[truth], pieces[0].classes[prediction]
    guesses = [piece.values[prediction] for piece in pieces]
    if match:
        table = count_pairs(
            np.concatenate([piece.values[truth] for piece in pieces]),
            np.concatenate(guesses),
            (len(classes), len(names)),
        )
        # A class that no labelled cell is of stays unknown.
        number = np.where(table.sum(axis=0) > 0, table.argmax(axis=0), -1)
    else:
        known = {name: code for code, name in enumerate(classes)}
        strange = [name for name in names if name not in known]
        if strange:
            raise ValueError(
                f"{prediction!r} has the class {strange[0]!r}, which is none of {classes} in {truth!r}; "
                f"pass 'match=True' if its classes were found without labels"
            )
        number = np.array([known[name] for name in names], dtype=np.int64)
    number = np.append(number, -1).astype(np.int64)
    return list(classes), [number[guess] for guess in guesses]


def count_pairs(first: np.ndarray, second: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    r"""Returns how many cells are of each pair of classes :math:`(A, B)`, unknown ones left out."""
    known = (first >= 0) & (second >= 0)
    flat = first[known].astype(np.int64) * shape[1] + second[known]
    return np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)
