from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from anndata import AnnData
from torch_geometric.data import Data

from stofm_pyg.data.errors import unknown_key
from stofm_pyg.models._slices import check_key, check_writable
from stofm_pyg.models.domains import Domains
from stofm_pyg.models.label_head import DOMAINS, prediction_key


def find_domains(
    model: torch.nn.Module,
    data: AnnData | Sequence[AnnData],
    n: int | None,
    resolution: float | None,
    key_added: str,
    seed: int,
    kwargs: Mapping[str, Any],
) -> Domains:
    r"""Finds domains and writes them to the slices, see :meth:`SToFM.domains`."""
    several = [data] if isinstance(data, (AnnData, str, os.PathLike, Data)) else list(data)
    if not several:
        raise ValueError("There is no slice to find domains in: 'data' is empty")
    for adata in several:
        check_writable(adata)
        check_key(key_added, "obs", model, adata, kwargs)
    z = [model.embed(adata, key_added=None, seed=seed, **kwargs) for adata in several]
    model.found_domains = Domains.fit(torch.cat(z).numpy(), n, resolution, seed)
    for adata, part in zip(several, z, strict=True):
        adata.obs[key_added] = model.found_domains.assign(part.numpy())
    return model.found_domains


@torch.no_grad()
def predict_labels(
    model: torch.nn.Module,
    adata: AnnData,
    label: str | None,
    key_added: str | None,
    kwargs: Mapping[str, Any],
) -> AnnData:
    r"""Writes classes or domains to an AnnData, see :meth:`SToFM.predict`."""
    check_writable(adata)
    if "read_out" in kwargs:
        raise TypeError("'read_out' is the model's: what it has learned is read from it")
    known = [*model.heads] + ([DOMAINS] if model.found_domains is not None else [])
    if label is None:
        if len(known) != 1:
            raise ValueError(
                f"Name what to predict by 'label=': the model has learned {known or 'nothing yet'}"
            )
        label = known[0]
    if label not in known:
        raise unknown_key(label, "model.heads", known, "Teach it by 'model.finetune'.")
    key = key_added or prediction_key(label)
    check_key(key, "obs", model, adata, kwargs)
    if label == DOMAINS:
        z = model.embed(adata, key_added=None, **kwargs)
        adata.obs[key] = model.found_domains.assign(z.numpy())
        return adata
    wrong = [name for name in ("layers", "readout") if kwargs.get(name) is not None]
    if wrong:
        raise TypeError(f"'{wrong[0]}' is the model's: '{label}' was learned from its read-out")
    head = model.heads[label]
    read_out = replace(model.read_out, own_features=True)
    z = model.embed(adata, key_added=None, read_out=read_out, **kwargs).to(head.lin.weight.device)
    probability = head(z).softmax(dim=1).cpu().numpy()
    codes = probability.argmax(axis=1)
    adata.obs[key] = pd.Categorical.from_codes(codes, categories=head.classes)
    adata.obsm[f"{key}_probability"] = pd.DataFrame(
        probability, index=adata.obs_names, columns=head.classes
    )
    return adata
