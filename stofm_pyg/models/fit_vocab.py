from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from stofm_pyg.data import GeneVocab

if TYPE_CHECKING:
    from transformers import BertModel


def fit_vocab(
    bert: BertModel, head: dict[str, Tensor] | None, vocab: GeneVocab, seed: int = 0
) -> None:
    r"""Makes a BERT, in place, one of a vocabulary with as many tokens, or with one more, whose
    embedding becomes random, as those of a new BERT are: Geneformer V1 knows no CLS.

    Args:
        bert (BertModel): The model.
        head (dict[str, torch.Tensor], optional): The weights of its :class:`GeneHead`.
        vocab (GeneVocab): The vocabulary.
        seed (int, optional): The seed of the new embedding. (default: :obj:`0`)

    Raises:
        ValueError: If the vocabulary has another number of tokens.
    """
    old = bert.embeddings.word_embeddings
    more = len(vocab) - old.num_embeddings
    if more not in (0, 1):
        raise ValueError(
            f"The checkpoint '{bert.config.name_or_path}' knows {old.num_embeddings} tokens, and the "
            f"vocabulary {vocab} does not fit, which may have one more (CLS): take the one that the "
            f"checkpoint was trained with"
        )
    bert.config.vocab_fingerprint = vocab.fingerprint
    if more == 0:
        return
    generator = torch.Generator().manual_seed(seed)
    new = torch.empty(more, old.embedding_dim)
    new.normal_(std=bert.config.initializer_range, generator=generator)
    weight = torch.cat([old.weight.detach(), new.to(old.weight)])
    bert.embeddings.word_embeddings = torch.nn.Embedding.from_pretrained(
        weight, freeze=False, padding_idx=old.padding_idx
    )
    bert.config.vocab_size = len(vocab)
    if head is not None:
        head["bias"] = F.pad(head["bias"], (0, more))
