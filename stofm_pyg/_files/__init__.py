r"""Files that are there as a whole or not at all, and are found out where they are not."""

from stofm_pyg._files.bounded import bounded_text, unzip
from stofm_pyg._files.hashes import checked, file_hash, sealed
from stofm_pyg._files.lock import locked
from stofm_pyg._files.torch_file import READ_ERRORS, check_archive, load_torch, save_torch
from stofm_pyg._files.write import (
    check_writable,
    naming,
    saved_together,
    saving,
    write_atomically,
    write_together,
)

__all__ = [
    "READ_ERRORS",
    "bounded_text",
    "check_archive",
    "check_writable",
    "checked",
    "file_hash",
    "load_torch",
    "locked",
    "naming",
    "save_torch",
    "saved_together",
    "saving",
    "sealed",
    "unzip",
    "write_atomically",
    "write_together",
]
