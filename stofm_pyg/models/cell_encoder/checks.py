import torch

from stofm_pyg.data import CellTokens, GeneVocab


def check_tokens(
    cell_tokens: CellTokens, vocab_size: int, max_length: int, fingerprint: str | None = None
) -> None:
    r"""Checks that an encoder can take the tokens of some cells.

    Args:
        cell_tokens (CellTokens): The tokens.
        vocab_size (int): How many tokens the encoder knows.
        max_length (int): The most tokens of a cell that the encoder takes.
        fingerprint (str, optional): The fingerprint of the encoder's vocabulary, where known.
            (default: :obj:`None`)

    Raises:
        TypeError: They are no tokens.
        ValueError: The tokens are of another vocabulary, a token is outside that of the encoder, or a
            cell has no token or too many; names the first one.
    """
    if not isinstance(cell_tokens, CellTokens):
        raise TypeError(
            f"Expected the tokens of cells as a CellTokens, got {type(cell_tokens).__name__}; "
            f"'RankValueTokenizer' makes them"
        )
    named = cell_tokens.fingerprint
    if None not in (fingerprint, named) and fingerprint != named:
        raise ValueError(
            f"The tokens are of vocabulary {named[:12]}, the encoder is of vocabulary "
            f"{fingerprint[:12]}: make the tokens with the vocabulary of the encoder"
        )
    tokens, lengths = cell_tokens.tokens, cell_tokens.lengths
    if tokens.numel() > 0:
        smallest, largest = (int(x) for x in tokens.aminmax())
        if smallest < 0 or largest >= vocab_size:
            first = int(((tokens < 0) | (tokens >= vocab_size)).nonzero()[0])
            cell = int(torch.searchsorted(cell_tokens.ptr, first, right=True)) - 1
            raise ValueError(
                f"Cell {cell} has token {int(tokens[first])}, the encoder knows tokens 0 to "
                f"{vocab_size - 1} (largest token: {largest}). The vocabulary of the tokens"
                f"{'' if named is None else f' ({named[:12]})'} and the encoder do not fit: make the "
                f"tokens with the encoder's vocabulary, or an encoder with 'vocab_size=len(vocab)'"
            )
    empty = lengths == 0
    if bool(empty.any()):
        raise ValueError(
            f"Cell {int(empty.nonzero()[0])} has no token, as {int(empty.sum())} of {len(lengths)} "
            f"cells. The encoder reads the first one: make the tokens with "
            f"'RankValueTokenizer(add_cls=True)'"
        )
    long = lengths > max_length
    if bool(long.any()):
        cell = int(long.nonzero()[0])
        raise ValueError(
            f"Cell {cell} has {int(lengths[cell])} tokens, as {int(long.sum())} of {len(lengths)} cells "
            f"more than the {max_length} that the encoder takes; make them with "
            f"'RankValueTokenizer(max_length={max_length})', or cut them by "
            f"'cell_tokens.truncate({max_length})'"
        )


def check_vocab(vocab: GeneVocab, vocab_size: int, fingerprint: str | None, encoder: str) -> None:
    r"""Checks that an encoder was made for a vocabulary.

    Args:
        vocab (GeneVocab): The vocabulary.
        vocab_size (int): How many tokens the encoder knows.
        fingerprint (str, optional): The fingerprint of the encoder's vocabulary, where known.
        encoder (str): What the message calls the encoder.

    Raises:
        ValueError: If it has another number of tokens, or is known to be another one.
    """
    if len(vocab) != vocab_size or fingerprint not in (None, vocab.fingerprint):
        raise ValueError(
            f"The vocabulary {vocab} ({vocab.fingerprint[:12]}) and the encoder {encoder} "
            f"({'of an unknown vocabulary' if fingerprint is None else fingerprint[:12]}) do not fit: "
            f"take the vocabulary that the encoder was trained with, or make an encoder with "
            f"'CellEncoder(len(vocab))' and train it"
        )
