import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor
from torch_geometric.data import InMemoryDataset

from stofm_pyg.data import SliceSettings
from stofm_pyg.data.slices.files import file_paths
from stofm_pyg.datasets._convert_files import convert_files
from stofm_pyg.datasets._slice_cache import load_slices, save_slices, slices_path


class H5adSlices(InMemoryDataset):
    r"""The slices of any h5ad files as a PyG dataset, one :class:`~torch_geometric.data.Data` each.

    Slices hold what :meth:`~stofm_pyg.data.from_anndata` says, and :obj:`data.file`, the file that
    :obj:`data.cell_id` counts the rows of. Slices of several files share the numbers of their
    classes and, with :obj:`features="pca"`, their principal components: found over the genes (by
    name) that all files have, on all cells together, then centred in each slice.

    Args:
        files (str or PathLike or sequence of these): One or more h5ad files.
        settings (SliceSettings, optional): How slices are made; a file without a column that tells
            slices apart is one slice, called like the file. (default: :obj:`None`)
        features (str or array, optional): See :meth:`~stofm_pyg.data.from_anndata`.
            (default: :obj:`"pca"`)
        labels (str or sequence of str, optional): Columns of :obj:`obs` to take along. A label may be
            missing in some of the files, where it is -1. (default: :obj:`()`)
        classes (dict, optional): Names of the classes of a label. (default: :obj:`None`)
        root (str, optional): Folder in which converted slices are kept. They are converted again
            when a file or a setting is another one. If :obj:`None`, nothing is written.
            (default: :obj:`None`)
        transform (callable, optional): Applied to a slice at each access. (default: :obj:`None`)
        pre_transform (callable, optional): Applied to each slice once, before it is kept. Slices
            are kept only if it is a :class:`~torch_geometric.transforms.BaseTransform`, whose
            settings can be compared. (default: :obj:`None`)
        force_reload (bool, optional): Converts the files again. (default: :obj:`False`)
        **changes (optional): Values of :class:`~stofm_pyg.data.SliceSettings` by name, *e.g.*,
            :obj:`radius=5.0`.

    Raises:
        FileNotFoundError: A file is not there.
        TypeError: There is no such setting.
        ValueError: There is no file, one is there twice or damaged, files have too few genes in common,
            or a slice cannot be converted; the message names the file.

    Example:
        >>> dataset = H5adSlices(["a.h5ad", "b.h5ad"], root="cache", labels="domain")
        >>> [data.name for data in dataset]
        ['a:1', 'a:2', 'b:1']
    """

    def __init__(
        self,
        files: str | os.PathLike | Sequence[str | os.PathLike],
        settings: SliceSettings | None = None,
        *,
        features: str | np.ndarray | Tensor = "pca",
        labels: str | Sequence[str] = (),
        classes: Mapping[str, Sequence[str]] | None = None,
        root: str | None = None,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
        **changes,
    ):
        super().__init__(
            None if root is None else os.fspath(root),
            transform,
            pre_transform,
            force_reload=force_reload,
        )
        self.files = file_paths(files)
        #: How the slices were made.
        self.settings = (settings or SliceSettings()).replace(**changes)
        made_of = {"features": features, "labels": labels, "classes": classes}

        path = None
        if root is not None:
            known = {"pre_transform": pre_transform, **made_of, **self.settings.to_dict()}
            path = slices_path(self.processed_dir, "h5ad_slices", self.files, known)
        data_list = None if path is None or force_reload else load_slices(path)
        if data_list is None:
            data_list = convert_files(self.files, self.settings, **made_of)
            if pre_transform is not None:
                data_list = [pre_transform(data) for data in data_list]
            if path is not None:
                save_slices(data_list, path)
        self.classes = dict(data_list[0].classes)
        self.data, self.slices = self.collate(data_list)
