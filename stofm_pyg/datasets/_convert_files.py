import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from anndata import AnnData
from scipy import sparse
from torch import Tensor
from torch_geometric.data import Data

from stofm_pyg.data import Keys, SliceSettings, expression_pca, open_anndata, slices_from_anndata
from stofm_pyg.data.errors import unknown_key
from stofm_pyg.data.slices.counts import get_counts
from stofm_pyg.data.slices.files import file_names
from stofm_pyg.data.slices.labels import encode_labels
from stofm_pyg.data.slices.rows import slice_rows

logger = logging.getLogger(__name__)

MIN_SHARED_GENES = 20


def convert_files(
    files: Sequence[Path],
    settings: SliceSettings,
    features: str | np.ndarray | Tensor = "pca",
    labels: str | Sequence[str] = (),
    classes: Mapping[str, Sequence[str]] | None = None,
) -> list[Data]:
    r"""Converts the slices of several h5ad files, with classes and principal components in common.

    Args:
        files (sequence of Path): The files.
        settings (SliceSettings): How slices are made.

    The other arguments are those of :meth:`~stofm_pyg.data.from_anndata`.

    Raises:
        FileNotFoundError: A file is not there.
        ValueError: A file is damaged, files have too few genes in common or features of different
            widths, or a slice cannot be converted.
    """
    if len(files) > 1 and not isinstance(features, str):
        raise ValueError(
            f"Got an array as 'features' for {len(files)} files. Put it into 'obsm' of each file "
            f"and pass its key."
        )

    adatas: list[AnnData] = []
    try:
        for file in files:
            adatas.append(open_anndata(file))
        keys = [
            _slice_key(adata, settings.slice_key, file)
            for adata, file in zip(adatas, files, strict=True)
        ]
        labels, classes = _shared_classes(adatas, labels, classes)
        if len(files) > 1 and features == "pca":
            parts = _shared_pca(adatas, files, keys, settings)
        else:
            parts = [features] * len(files)

        slices = []
        for file, adata, key, part in zip(files, adatas, keys, parts, strict=True):
            own = [label for label in labels if label in adata.obs]
            with _naming(file):
                converted = slices_from_anndata(
                    adata, settings, features=part, labels=own, classes=classes, slice_key=key
                )
            for data in converted:
                _complete(data, labels, classes)
                data.file = str(file)
            slices.append(converted)
    finally:
        for adata in adatas:
            adata.file.close()

    widths = {str(file): part[0].num_features for file, part in zip(files, slices, strict=True)}
    if len(set(widths.values())) > 1:
        raise ValueError(
            f"Features {features!r} have different widths: {widths}. Compute them together, or "
            f"pass features='pca'."
        )
    for part, prefix in zip(slices, file_names(files), strict=True):
        for data in part:
            own = f"{prefix}:{data.name}" if len(files) > 1 else data.name
            data.name = own if data.name else prefix
    return [data for part in slices for data in part]


def _slice_key(adata: AnnData, slice_key: str | None, file: Path) -> str | None:
    if slice_key == Keys.SLICE and slice_key not in adata.obs:
        logger.info("'%s' has no column %r in 'obs': it is one slice", file, slice_key)
        return None
    return slice_key


def _shared_classes(
    adatas: Sequence[AnnData],
    labels: str | Sequence[str] | None,
    given: Mapping[str, Sequence[str]] | None,
) -> tuple[list[str], dict[str, list[str]]]:
    labels = [labels] if isinstance(labels, str) else list(labels or ())
    classes = {}
    for label in labels:
        having = [adata for adata in adatas if label in adata.obs]
        if not having:
            known = dict.fromkeys(column for adata in adatas for column in adata.obs)
            raise unknown_key(label, "adata.obs", known, "'labels=' names columns of it.")
        names = [encode_labels(adata.obs, label, given, log=False)[1][label] for adata in having]
        merged = list(dict.fromkeys(name for part in names for name in part))
        # Sorted in each file: sorted in all, too.
        classes[label] = sorted(merged) if all(part == sorted(part) for part in names) else merged
    return labels, classes


def _shared_pca(
    adatas: Sequence[AnnData],
    files: Sequence[Path],
    slice_keys: Sequence[str | None],
    settings: SliceSettings,
) -> list[np.ndarray]:
    genes = adatas[0].var_names
    for adata, file in zip(adatas, files, strict=True):
        if not adata.var_names.is_unique:
            repeated = adata.var_names[adata.var_names.duplicated()][0]
            raise ValueError(
                f"'{file}' has the gene {repeated!r} more than once, so that files cannot be "
                f"joined by gene. Call 'adata.var_names_make_unique()' and write it again."
            )
        genes = genes[genes.isin(adata.var_names)]
    num_genes = [adata.n_vars for adata in adatas]
    if len(genes) < MIN_SHARED_GENES and any(number != len(genes) for number in num_genes):
        counts = ", ".join(
            f"{file.name}: {number}" for file, number in zip(files, num_genes, strict=True)
        )
        raise ValueError(
            f"The files have {len(genes)} genes in common (of {counts}), too few for principal "
            f"components. Give all files the same kind of gene names (here, e.g., "
            f"{adatas[0].var_names[0]!r} and {adatas[-1].var_names[0]!r}), or pass 'features=' "
            f"with a key that is in 'obsm' of each."
        )

    matrices, batches, offset = [], [], 0
    for adata, file, key in zip(adatas, files, slice_keys, strict=True):
        batch = np.empty(adata.n_obs, dtype=np.int64)
        with _naming(file):
            counts = get_counts(adata, settings.layer)
            for _, rows in slice_rows(adata, key):
                batch[rows] = offset
                offset += 1
        matrices.append(counts[:, adata.var_names.get_indexer(genes)])
        batches.append(batch)
    scores = expression_pca(
        sparse.vstack(matrices, format="csr"),
        settings.num_features,
        batch=np.concatenate(batches),
        seed=settings.seed,
    )
    ends = np.cumsum([adata.n_obs for adata in adatas])
    return np.split(scores, ends[:-1])


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"In '{file}': {error}") from error


def _complete(data: Data, labels: Sequence[str], classes: Mapping[str, Sequence[str]]) -> None:
    for label in labels:
        if label not in data:
            data[label] = torch.full((data.num_nodes,), -1, dtype=torch.int64)
    data.classes = {label: list(classes[label]) for label in labels}
