import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import anndata
import numpy as np
from torch import Tensor
from torch_geometric.data import InMemoryDataset

from stofm_pyg._files import write_atomically
from stofm_pyg.data import SliceSettings, slices_from_anndata
from stofm_pyg.datasets._generate_tissue import check_tissue_arguments, generate_tissue
from stofm_pyg.datasets._slice_cache import load_slices, save_slices, slices_path

logger = logging.getLogger(__name__)

# Raise it whenever the same arguments give another tissue than before.
VERSION = 3


class SyntheticTissue(InMemoryDataset):
    r"""Generated slices of one tissue as a PyG dataset, one :class:`~torch_geometric.data.Data`
    each, with the truth: see :meth:`~stofm_pyg.datasets.generate_tissue` for what the tissue is
    like, and :meth:`~stofm_pyg.data.from_anndata` for what a slice holds.

    Args:
        root (str, optional): Folder in which the tissue and its slices are kept, under names that
            hold a hash of all that made them. If :obj:`None`, nothing is written.
            (default: :obj:`None`)
        num_slices (int, optional): Number of slices. (default: :obj:`3`)
        cells_per_slice (int, optional): Number of cells in each. (default: :obj:`1000`)
        num_genes (int, optional): Number of genes in the panel. (default: :obj:`200`)
        num_unobserved (int, optional): Number of further genes, whose truth is kept in
            :obj:`adata` only. (default: :obj:`20`)
        num_domains (int, optional): Number of domains. (default: :obj:`6`)
        num_cell_types (int, optional): Number of cell types. (default: :obj:`10`)
        seed (int, optional): Seed of the tissue and of its conversion. (default: :obj:`0`)
        transform (callable, optional): Applied to a slice at each access. (default: :obj:`None`)
        pre_transform (callable, optional): Applied to each slice once, before it is kept. Slices
            are kept only if it is a :class:`~torch_geometric.transforms.BaseTransform`, whose
            settings can be compared. (default: :obj:`None`)
        force_reload (bool, optional): Generates and converts again. (default: :obj:`False`)
        features (str or array, optional): See :meth:`~stofm_pyg.data.from_anndata`.
            (default: :obj:`"pca"`)
        labels (str or sequence of str, optional): Labels to take along.
            (default: :obj:`("domain", "cell_type")`)
        classes (dict, optional): Names of the classes of a label. (default: :obj:`None`)
        **changes (optional): Values of :class:`~stofm_pyg.data.SliceSettings` by name, *e.g.*,
            :obj:`radius=5.0`.

    Raises:
        TypeError: If an argument does not exist or is no whole number where one is needed.
        ValueError: If an argument is too small, or if there are too few cells for the classes.

    Example:
        >>> dataset = SyntheticTissue(num_slices=2, seed=1)
        >>> dataset
        SyntheticTissue(2)
        >>> dataset.classes["domain"]
        ['layer0', 'layer1', 'layer2', 'layer3', 'core0', 'rim0']
    """

    def __init__(
        self,
        root: str | os.PathLike | None = None,
        num_slices: int = 3,
        cells_per_slice: int = 1000,
        num_genes: int = 200,
        num_unobserved: int = 20,
        num_domains: int = 6,
        num_cell_types: int = 10,
        seed: int = 0,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
        *,
        features: str | np.ndarray | Tensor = "pca",
        labels: str | Sequence[str] = ("domain", "cell_type"),
        classes: Mapping[str, Sequence[str]] | None = None,
        **changes,
    ):
        self.arguments = {
            "num_slices": num_slices,
            "cells_per_slice": cells_per_slice,
            "num_genes": num_genes,
            "num_unobserved": num_unobserved,
            "num_domains": num_domains,
            "num_cell_types": num_cell_types,
            "seed": seed,
        }
        check_tissue_arguments(**self.arguments)
        self.arguments = {name: int(value) for name, value in self.arguments.items()}
        self.settings = SliceSettings(seed=self.arguments["seed"]).replace(**changes)
        made_of = {"features": features, "labels": labels, "classes": classes}
        self._adata = None
        root = None if root is None else os.fspath(root)
        super().__init__(root, transform, pre_transform, force_reload=force_reload)
        if root is None:
            self.root = None  # PyG puts a placeholder that looks like a folder's name.

        path = None
        if root is not None:
            known = {"pre_transform": pre_transform, **made_of, **self.settings.to_dict()}
            known["tissue"] = self.raw_file_names[0]
            path = slices_path(self.processed_dir, "synthetic_tissue", [], known)
        data_list = None if path is None or force_reload else load_slices(path)
        if data_list is None:
            if force_reload:
                self._adata = self._generate()
            data_list = slices_from_anndata(self.adata, self.settings, **made_of)
            if pre_transform is not None:
                data_list = [pre_transform(data) for data in data_list]
            if path is not None:
                save_slices(data_list, path)
        self.classes = dict(data_list[0].classes)
        self.data, self.slices = self.collate(data_list)

    @property
    def raw_file_names(self) -> list[str]:
        r"""The name of the h5ad file that the tissue is kept in."""
        text = json.dumps([VERSION, self.arguments], sort_keys=True)
        digest = hashlib.sha256(text.encode())
        return [f"synthetic_tissue_{digest.hexdigest()[:16]}.h5ad"]

    @property
    def adata(self) -> anndata.AnnData:
        r"""The tissue as :meth:`~stofm_pyg.datasets.generate_tissue` gives it."""
        if self._adata is None:
            self._adata = self._kept_tissue() or self._generate()
        return self._adata

    def _kept_tissue(self) -> anndata.AnnData | None:
        if self.root is None or not os.path.exists(self.raw_paths[0]):
            return None
        try:
            return anndata.read_h5ad(self.raw_paths[0])
        except (OSError, KeyError) as error:
            logger.warning("'%s' cannot be read and is made again: %s", self.raw_paths[0], error)
            return None

    def _generate(self) -> anndata.AnnData:
        adata = generate_tissue(**self.arguments)
        if self.root is not None:
            path = Path(self.raw_paths[0])
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, adata.write_h5ad)
        return adata
