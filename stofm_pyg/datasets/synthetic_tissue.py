import hashlib
import inspect
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import anndata
from torch_geometric.data import InMemoryDataset

from stofm_pyg._files import write_atomically
from stofm_pyg.data import slices_from_anndata
from stofm_pyg.datasets._slice_cache import load_slices, save_slices, slices_path
from stofm_pyg.datasets.generate_tissue import check_tissue_arguments, generate_tissue

logger = logging.getLogger(__name__)

SOURCES = ("generate_tissue.py", "_tissue_expression.py", "_tissue_geometry.py")
TAKEN = ("adata", "slice_key", "seed")


class SyntheticTissue(InMemoryDataset):
    r"""Generated slices of one tissue as a PyG dataset, one :class:`~torch_geometric.data.Data`
    each, with the truth: see :meth:`~stofm_pyg.datasets.generate_tissue` for what the tissue is
    like, and :meth:`~stofm_pyg.data.slices.convert` for what a slice holds.

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
        **kwargs (optional): Arguments of :meth:`~stofm_pyg.data.slices.convert`, *e.g.*,
            :obj:`radius`. Labels are :obj:`("domain", "cell_type")` where none are named.

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
        **kwargs,
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
        self.settings = _conversion_settings(kwargs)
        self._adata = None
        root = None if root is None else os.fspath(root)
        super().__init__(root, transform, pre_transform, force_reload=force_reload)
        if root is None:
            self.root = None  # PyG puts a placeholder that looks like a folder's name.

        path = None
        if root is not None:
            settings = {"pre_transform": pre_transform, **self.settings}
            settings["tissue"] = self.raw_file_names[0]
            path = slices_path(self.processed_dir, "synthetic_tissue", [], settings)
        data_list = None if path is None or force_reload else load_slices(path)
        if data_list is None:
            if force_reload:
                self._adata = self._generate()
            data_list = slices_from_anndata(
                self.adata, slice_key="slice", seed=self.arguments["seed"], **self.settings
            )
            if pre_transform is not None:
                data_list = [pre_transform(data) for data in data_list]
            if path is not None:
                save_slices(data_list, path)
        self.classes = dict(data_list[0].classes)
        self.data, self.slices = self.collate(data_list)

    @property
    def raw_file_names(self) -> list[str]:
        r"""The name of the h5ad file that the tissue is kept in."""
        digest = hashlib.sha256(json.dumps(self.arguments, sort_keys=True).encode())
        for source in SOURCES:
            digest.update(Path(__file__).with_name(source).read_bytes())
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


def _conversion_settings(given: dict) -> dict:
    known = inspect.signature(slices_from_anndata).parameters
    defaults = {name: known[name].default for name in known if name not in TAKEN}
    unknown = [name for name in given if name not in defaults]
    if unknown:
        raise TypeError(
            f"SyntheticTissue got an unknown argument {unknown[0]!r}; beside its own it takes "
            f"those of slices_from_anndata: {', '.join(defaults)}"
        )
    return {**defaults, "labels": ("domain", "cell_type"), **given}

