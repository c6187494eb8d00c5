from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from anndata import AnnData
from torch import Tensor

from stofm_pyg.data import CellTokens, GeneVocab, RankValueTokenizer
from stofm_pyg.data.genes.orthologues import Orthologues
from stofm_pyg.models.cell_encoder.cache import hash_tensors
from stofm_pyg.models.cell_encoder.model import CellEncoder
from stofm_pyg.models.features.base import CONFIG, Features

ENCODER, VOCAB, ORTHOLOGUES = "cell_encoder", "vocab.json.gz", "orthologues.json"


class TokenFeatures(Features):
    r"""Embeddings of cells by a :class:`~stofm_pyg.models.CellEncoder`, from their ranked genes.

    Args:
        cell_encoder (CellEncoder): The encoder.
        vocab (GeneVocab, optional): Its vocabulary. Without, counts cannot be read.
            (default: :obj:`None`)
        standardize (bool, optional): Subtract from the embeddings of a slice's cells their mean, and
            divide them all by one number, so that their mean square is one. Slices of different
            technologies lie far apart and spread over another range otherwise. (default: :obj:`False`)
        orthologues (Orthologues, optional): Mouse genes and their human genes. (default: :obj:`None`)
        max_length (int, optional): The most tokens of a cell that are read, CLS included, if fewer than
            the encoder takes. (default: :obj:`None`)

    Raises:
        ValueError: Encoder and vocabulary do not fit.
    """

    name = "tokens"

    def __init__(
        self,
        cell_encoder: CellEncoder,
        vocab: GeneVocab | None = None,
        standardize: bool = False,
        orthologues: Orthologues | None = None,
        max_length: int | None = None,
    ):
        super().__init__()
        if vocab is not None:
            cell_encoder.check_vocab(vocab)
        self.cell_encoder = cell_encoder
        self.vocab = vocab
        self.standardize = standardize
        self.orthologues = orthologues
        self.max_length = max_length

    @property
    def length(self) -> int:
        r"""The most tokens of a cell that are read."""
        longest = self.cell_encoder.max_length
        return longest if self.max_length is None else min(self.max_length, longest)

    @property
    def num_features(self) -> int:
        r"""The size of an embedding."""
        return self.cell_encoder.out_channels

    def encode(self, adata: AnnData, cache: str | os.PathLike | None = None) -> Tensor:
        r"""Returns the features of the cells of one slice :math:`(N, F)`, float32; see
        :meth:`Features.encode`.

        Args:
            adata (AnnData): The slice.
            cache (str or PathLike, optional): A folder that keeps embeddings. (default: :obj:`None`)
        """
        if self.vocab is None:
            raise ValueError(
                "The cell encoder has no vocabulary, without which counts cannot be read; pass it to "
                "'set_cell_encoder'"
            )
        mapping = self.vocab.map(adata, orthologues=self.orthologues)
        tokenizer = RankValueTokenizer(self.vocab, self.length)
        return self.encode_tokens(tokenizer(adata, mapping=mapping), cache)

    def encode_tokens(self, tokens: CellTokens, cache: str | os.PathLike | None = None) -> Tensor:
        r"""Returns the features of the cells of one slice :math:`(N, F)` from their tokens."""
        x = self.cell_encoder.encode(tokens.truncate(self.length), cache=cache)
        if not self.standardize or x.size(0) == 0:
            return x
        x = x - x.mean(dim=0)
        return x / x.square().mean().sqrt().clamp(min=1e-6)

    def fingerprint(self) -> str:
        r"""A hash of all that the features depend on, beside the cells."""
        vocab = None if self.vocab is None else self.vocab.fingerprint
        orthologues = None if self.orthologues is None else self.orthologues.fingerprint()
        values = {"encoder": self.cell_encoder.fingerprint(), "vocab": vocab, "max_length": self.length}
        values |= {"orthologues": orthologues, "standardize": self.standardize}
        return hash_tensors({}, values)

    def config(self) -> dict[str, Any]:
        r"""Whether features are standardised, and how many tokens are read."""
        return {"standardize": self.standardize, "max_length": self.max_length}

    def save(self, directory: str | os.PathLike):
        r"""Writes encoder, vocabulary and orthologues to a folder."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        self.cell_encoder.save_pretrained(directory / ENCODER)
        if self.vocab is not None:
            self.vocab.save(directory / VOCAB)
        if self.orthologues is not None:
            self.orthologues.save(directory / ORTHOLOGUES)
        super().save(directory)

    @classmethod
    def load(cls, directory: Path, config: dict[str, Any]) -> TokenFeatures:
        r"""Reads what :meth:`save` wrote."""
        if not (directory / ENCODER).is_dir():
            raise FileNotFoundError(
                f"'{directory}' has '{CONFIG}' but no '{ENCODER}'; copy the model again, as a whole"
            )
        encoder = CellEncoder.from_pretrained(directory / ENCODER).eval()
        vocab, table = directory / VOCAB, directory / ORTHOLOGUES
        return cls(
            encoder,
            GeneVocab.load(vocab) if vocab.is_file() else None,
            orthologues=Orthologues.load(table) if table.is_file() else None,
            **config,
        )

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.cell_encoder})"
