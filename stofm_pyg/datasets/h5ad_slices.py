import inspect
import os
from collections.abc import Callable, Sequence

from torch_geometric.data import InMemoryDataset

from stofm_pyg.data import Keys
from stofm_pyg.data.slices.convert import slices_from_anndata
from stofm_pyg.data.slices.files import file_paths
from stofm_pyg.datasets._convert_files import convert_files
from stofm_pyg.datasets._slice_cache import load_slices, save_slices, slices_path


class H5adSlices(InMemoryDataset):
    r"""The slices of any h5ad files as a PyG dataset, one :class:`~torch_geometric.data.Data` each.

    Slices hold what :meth:`~stofm_pyg.data.slices.convert` says, and :obj:`data.file`, the file that
    :obj:`data.cell_id` counts the rows of. Slices of several files share the numbers of their
    classes and, with :obj:`features="pca"`, their principal components: found over the genes (by
    name) that all files have, on all cells together, then centred in each slice.

    Args:
        files (str or PathLike or sequence of these): One or more h5ad files.
        slice_key (str, optional): The column of :obj:`obs` that tells slices apart. A file without
            a column :obj:`"slice"` is one slice, called like the file; any other column must exist.
            If :obj:`None`, each file is one slice. (default: :obj:`"slice"`)
        root (str, optional): Folder in which converted slices are kept. They are converted again
            when a file or a setting is another one. If :obj:`None`, nothing is written.
            (default: :obj:`None`)
        transform (callable, optional): Applied to a slice at each access. (default: :obj:`None`)
        pre_transform (callable, optional): Applied to each slice once, before it is kept. Slices
            are kept only if it is a :class:`~torch_geometric.transforms.BaseTransform`, whose
            settings can be compared. (default: :obj:`None`)
        force_reload (bool, optional): Converts the files again. (default: :obj:`False`)
        **kwargs (optional): Arguments of :meth:`~stofm_pyg.data.slices.convert`, *e.g.*,
            :obj:`labels`. A label may be missing in some of the files, where it is -1.

    Example:
        >>> dataset = H5adSlices(["a.h5ad", "b.h5ad"], root="cache", labels="domain")
        >>> [data.name for data in dataset]
        ['a:1', 'a:2', 'b:1']
    """

    def __init__(
        self,
        files: str | os.PathLike | Sequence[str | os.PathLike],
        *,
        slice_key: str | None = Keys.SLICE,
        root: str | None = None,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
        **kwargs,
    ):
        super().__init__(
            None if root is None else os.fspath(root),
            transform,
            pre_transform,
            force_reload=force_reload,
        )
        self.files = file_paths(files)
        # Also fills in the defaults, and refuses an argument that does not exist.
        arguments = inspect.signature(slices_from_anndata).bind(None, slice_key=slice_key, **kwargs)
        arguments.apply_defaults()
        self.settings = {key: arguments.arguments[key] for key in arguments.kwargs}

        path = None
        if root is not None:
            settings = {"pre_transform": pre_transform, **self.settings}
            path = slices_path(self.processed_dir, "h5ad_slices", self.files, settings)
        data_list = None if path is None or force_reload else load_slices(path)
        if data_list is None:
            data_list = convert_files(self.files, **self.settings)
            if pre_transform is not None:
                data_list = [pre_transform(data) for data in data_list]
            if path is not None:
                save_slices(data_list, path)
        self.classes = dict(data_list[0].classes)
        self.data, self.slices = self.collate(data_list)
