r"""Embeddings that a file holds, with what they were made of, so that they need not be made twice."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from anndata import AnnData
from torch import Tensor

from stofm_pyg.commands.slice_options import WHERE
from stofm_pyg.models import SToFM
from stofm_pyg.models.cell_encoder.cache import hash_tensors

# The key in 'uns' of what made an embedding, with the key of that in 'obsm' before it.
MADE_OF = "_made_of"


def mark_embedding(
    adata: AnnData, key: str, model: SToFM, seed: int, where: Mapping[str, Any] | None = None
):
    r"""Notes beside an embedding what it was made of.

    Args:
        adata (AnnData): With the embedding in :obj:`obsm[key]`.
        key (str): The key.
        model (SToFM): The model.
        seed (int): The seed of :meth:`SToFM.embed`.
        where (dict, optional): Where things were found, if not where the model says.
            (default: :obj:`None`)
    """
    adata.uns[key + MADE_OF] = json.dumps(_made_of(adata, model, seed, where))


def kept_embedding(
    adata: AnnData, key: str, model: SToFM, seed: int, where: Mapping[str, Any] | None = None
) -> Tensor | None:
    r"""Returns the embedding that an AnnData holds :math:`(N, C)` if this model made it of these very
    cells at these places; else :obj:`None`. Counts are not compared: they are often normalised later.

    The arguments are those of :meth:`mark_embedding`; of :obj:`where`, what is not said is as it was.
    """
    noted = adata.uns.get(key + MADE_OF)
    if key not in adata.obsm or not isinstance(noted, str):
        return None
    then = json.loads(noted)
    where = {**then.get("where", {}), **(where or {})}
    if where.get("spatial_key") not in adata.obsm or then != _made_of(adata, model, seed, where):
        return None
    return torch.from_numpy(np.array(adata.obsm[key], dtype=np.float32))


def _made_of(adata: AnnData, model: SToFM, seed: int, where: Mapping[str, Any] | None) -> dict[str, Any]:
    settings = asdict(model.settings)
    places = {name: (where or {}).get(name, settings.pop(name)) for name in WHERE}
    state = {k: v for k, v in model.state_dict().items() if not k.startswith(("heads.", "features."))}
    features = None if model.features is None else model.features.fingerprint()
    others = {"settings": settings, "read_out": model.read_out.to_dict(), "features": features,
              "model": model.config}  # fmt: skip
    cells = hashlib.sha256("\n".join(adata.obs_names).encode())
    pos = np.asarray(adata.obsm[places["spatial_key"]], dtype=np.float64)
    cells.update(np.ascontiguousarray(pos).tobytes())
    return {"model": hash_tensors(state, others), "seed": seed, "where": places,
            "cells": cells.hexdigest()}  # fmt: skip
