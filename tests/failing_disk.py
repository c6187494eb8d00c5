"""A double of the file system that refuses one write: `with failing(folder, number, errno.ENOSPC)`."""

import builtins
import io
import os
from contextlib import contextmanager
from pathlib import Path

import h5py
import pytest
import safetensors.torch
from safetensors import SafetensorError

WRITING = set("wax+")


class Disk:
    """Counts what is written below a folder; what has a given number (from 1 on) fails."""

    def __init__(self, root, number=0, error=0):
        self.root, self.number, self.error = str(root), number, error
        self.writes = []

    def holds(self, path):
        return isinstance(path, (str, bytes, os.PathLike)) and os.fsdecode(path).startswith(self.root)

    def touch(self, what, path):
        """Whether this is the write that fails."""
        if not self.holds(path):
            return False
        self.writes.append((what, Path(os.fsdecode(path)).name))
        return len(self.writes) == self.number

    def refuse(self, path=None):
        raise OSError(self.error, os.strerror(self.error), None if path is None else str(path))


class _File:
    """An open file of which a write may fail, after the half of it is there."""

    def __init__(self, file, disk, path):
        self._file, self._disk, self._path = file, disk, path

    def write(self, data):
        if self._disk.touch("write", self._path):
            self._file.write(data[: len(data) // 2])
            self._disk.refuse()
        return self._file.write(data)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()

    def __getattr__(self, name):
        return getattr(self._file, name)


@contextmanager
def failing(root, number=0, error=0):
    """A context in which a write below a folder fails; without a number they are counted."""
    disk = Disk(root, number, error)
    real = {"open": io.open, "os_open": os.open, "mkdir": os.mkdir, "replace": os.replace}
    serialize, h5_init = safetensors.torch.serialize_file, h5py.File.__init__
    h5_dataset = h5py.Group.create_dataset

    def opened(file, mode="r", *args, **kwargs):
        if not WRITING & set(mode):
            return real["open"](file, mode, *args, **kwargs)
        if disk.touch("open", file):
            disk.refuse(file)
        made = real["open"](file, mode, *args, **kwargs)
        return _File(made, disk, file) if disk.holds(file) else made

    def os_opened(path, flags, *args, **kwargs):
        if flags & os.O_CREAT and disk.touch("open", path):
            disk.refuse(path)
        return real["os_open"](path, flags, *args, **kwargs)

    def made(path, *args, **kwargs):
        if not os.path.isdir(path) and disk.touch("mkdir", path):
            disk.refuse(path)
        return real["mkdir"](path, *args, **kwargs)

    def replaced(source, to, *args, **kwargs):
        if disk.touch("replace", to):
            raise OSError(error, os.strerror(error), str(source), None, str(to))
        return real["replace"](source, to, *args, **kwargs)

    def serialized(tensors, path, **kwargs):
        if disk.touch("safetensors", path):
            Path(path).write_bytes(b"half")
            told = f"{os.strerror(error)} (os error {error})"
            raise SafetensorError(f"Error while serializing: I/O error: {told}")
        return serialize(tensors, path, **kwargs)

    def h5_opened(self, name, mode="r", *args, **kwargs):
        if mode != "r" and disk.touch("h5 open", name):
            told = f"(unable to open file: name = '{name}', errno = {error}, error message = '...')"
            raise OSError(f"Unable to synchronously create file {told}")
        h5_init(self, name, mode, *args, **kwargs)

    def h5_written(self, name, *args, **kwargs):
        if disk.touch("h5 write", self.file.filename):
            told = f"(file write failed: time = now\n, errno = {error}, error message = '...')"
            raise OSError(f"Can't synchronously write data {told}")
        return h5_dataset(self, name, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "open", opened)
        patch.setattr(io, "open", opened)
        patch.setattr(os, "open", os_opened)
        patch.setattr(os, "mkdir", made)
        patch.setattr(os, "replace", replaced)
        patch.setattr(safetensors.torch, "serialize_file", serialized)
        patch.setattr(h5py.File, "__init__", h5_opened)
        patch.setattr(h5py.Group, "create_dataset", h5_written)
        yield disk
