from pathlib import Path

import h5py

from stofm_pyg.data.readers.damage import DamagedFile

# What may be claimed and not be there: columns of one value, which compress to nothing.
LARGEST_EMPTY = 2**30
# No compression in use makes more of a byte, but of what has one value throughout.
LARGEST_RATIO = 2000


def check_hdf5(file: h5py.File, path: Path):
    r"""Checks that all of a file of HDF5 is in it: no link leads to another file, no values are kept
    outside, and no array claims far more values than the file holds, which would take memory.

    Args:
        file (h5py.File): The open file.
        path (Path): Its path, for the message.

    Raises:
        DamagedFile: Something is not in it; the message names what.
    """
    waiting, seen = [file["/"]], set()
    while waiting:
        group = waiting.pop()
        for name in group:
            where = f"{group.name.rstrip('/')}/{name}"
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise _refused(path, f"'{where}' is a link to the file '{link.filename}'")
            if isinstance(link, h5py.SoftLink):
                continue  # To what is looked at where it is.
            item = group[name]
            if isinstance(item, h5py.Group):
                place = h5py.h5o.get_info(item.id).addr
                if place not in seen:  # A group may hold itself.
                    seen.add(place)
                    waiting.append(item)
            elif isinstance(item, h5py.Dataset):
                _check_dataset(item, where, path)


def _check_dataset(item: h5py.Dataset, where: str, path: Path):
    if item.external or item.is_virtual:
        raise _refused(path, f"the values of '{where}' are kept in other files")
    if item.shape is None:
        return
    claimed, there = item.size * item.dtype.itemsize, item.id.get_storage_size()
    if claimed > LARGEST_EMPTY and claimed > LARGEST_RATIO * there:
        raise _refused(
            path, f"'{where}' claims {claimed:,} bytes, of which the file holds {there:,}"
        )


def _refused(path: Path, why: str) -> DamagedFile:
    return DamagedFile(
        f"'{path}' is refused: {why}. Write the AnnData to one file of its own by 'adata.write_h5ad', "
        f"or take it from its original source."
    )
