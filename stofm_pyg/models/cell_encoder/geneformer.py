from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from stofm_pyg.data import GeneVocab

if TYPE_CHECKING:
    from transformers import BertModel

logger = logging.getLogger(__name__)

# Of our head, the names that a BERT for masked words has.
HEAD = {
    "lin.weight": "transform.dense.weight",
    "lin.bias": "transform.dense.bias",
    "norm.weight": "transform.LayerNorm.weight",
    "norm.bias": "transform.LayerNorm.bias",
    "bias": "bias",
}


def read_bert(
    path_or_hub_id: str | os.PathLike, with_head: bool = False, **kwargs
) -> tuple[BertModel, dict[str, Tensor] | None]:
    r"""Reads a BERT without its pooling layer, and its head for masked genes where asked for. Every
    weight of them must be there; what else the checkpoint holds goes to the log.

    Args:
        path_or_hub_id (str or PathLike): A directory that transformers can read, or the id of a
            repository on the Hugging Face hub.
        with_head (bool, optional): Also returns the weights of a :class:`GeneHead`.
            (default: :obj:`False`)
        **kwargs (optional): Additional arguments of :meth:`transformers.BertModel.from_pretrained`,
            such as :obj:`subfolder` and :obj:`revision`.

    Raises:
        FileNotFoundError: There is neither such a directory nor such a repository.
        ValueError: It holds no BERT encoder, weights are missing, or it is damaged.
    """
    from safetensors import SafetensorError
    from transformers import BertConfig, BertForMaskedLM, BertModel

    name = str(path_or_hub_id)
    if Path(name).expanduser().is_dir():
        name = str(Path(name).expanduser())
        kwargs = {"local_files_only": True, **kwargs}
    places = {key: value for key, value in kwargs.items() if key in ("subfolder", "revision")}
    try:
        config, _ = BertConfig.get_config_dict(name, **places)
        if not config:
            raise FileNotFoundError(f"there is no 'config.json' in '{name}'")
        if config.get("model_type") != "bert" or config.get("is_decoder", False):
            raise ValueError(
                f"'{name}' holds a model of type {config.get('model_type')!r}"
                f"{' that is a decoder' if config.get('is_decoder') else ''}; a cell encoder is a BERT"
            )
        if with_head:
            model, info = BertForMaskedLM.from_pretrained(name, output_loading_info=True, **kwargs)
        else:
            model, info = BertModel.from_pretrained(
                name, add_pooling_layer=False, output_loading_info=True, **kwargs
            )
    except OSError as error:
        raise FileNotFoundError(
            f"'{name}' is neither a directory with the 'config.json' and weights of a BERT nor the id "
            f"of a repository on the hub that can be read: {error}"
        ) from error
    except (SafetensorError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"The weights of '{name}' are damaged, or not of its config: {error}"
        ) from error

    missing = sorted(info["missing_keys"])
    if missing:
        hint = "; it has no head for masked genes, read it without" if with_head else ""
        raise ValueError(f"'{name}' lacks weights of a BERT: {missing}{hint}")
    unused = sorted(info["unexpected_keys"])
    unknown = [key for key in unused if not key.removeprefix("bert.").startswith(("cls.", "pooler."))]
    if unknown:
        raise ValueError(f"'{name}' holds weights that a BERT has no place for: {unknown}")
    if unused:
        logger.info("Of '%s', these weights are left out: %s", name, ", ".join(unused))
    if not with_head:
        return model, None
    head = model.cls.predictions.state_dict()
    return model.bert, {ours: head[theirs] for ours, theirs in HEAD.items()}


def fit_vocab(bert: BertModel, head: dict[str, Tensor] | None, vocab: GeneVocab, seed: int = 0) -> None:
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
