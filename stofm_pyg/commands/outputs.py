r"""What a command writes: found out before its work whether it can be written, and may be."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from anndata import AnnData

from stofm_pyg._files import write_atomically
from stofm_pyg.data.slices.files import file_names

H5AD = (".h5ad",)


def output_file(
    path: Path,
    inputs: Sequence[Path] = (),
    overwrite: bool = False,
    endings: Sequence[str] = H5AD,
    option: str = "--out",
) -> Path:
    r"""Checks that a file can be written.

    Args:
        path (Path): The file.
        inputs (sequence of Path, optional): What the command reads. (default: :obj:`()`)
        overwrite (bool, optional): Whether it may replace a file, even one that the command reads.
            (default: :obj:`False`)
        endings (sequence of str, optional): How it may end. (default: :obj:`(".h5ad",)`)
        option (str, optional): The option that names it. (default: :obj:`"--out"`)

    Raises:
        OSError: Its folder cannot be written to.
        ValueError: It is a folder, has another ending, or is there already.
    """
    path = path.expanduser()
    if path.is_dir():
        raise ValueError(f"{option} {path} is a folder; name a file")
    if path.suffix.lower() not in endings:
        raise ValueError(
            f"{option} {path} must end in {' or '.join(endings)}; call it '{path}{endings[0]}'"
        )
    if path.exists() and not overwrite:
        same = any(other.exists() and path.samefile(other) for other in inputs)
        what = "is the file that is read" if same else "is there already"
        raise ValueError(f"{option}: '{path}' {what}; name another one, or pass --overwrite")
    check_folder(path.parent, option)
    return path


def output_files(out: Path, sources: Sequence[Path], overwrite: bool = False) -> list[Path]:
    r"""Returns where the copies of some sources go: of one source to a file, of several to files of
    their names in a folder.

    The arguments, and what is raised, are those of :meth:`output_file`.
    """
    if len(sources) == 1:
        return [output_file(out, sources, overwrite)]
    if out.suffix in H5AD or out.is_file():
        raise ValueError(f"--out {out} is a file, but there are {len(sources)} to write; name a folder")
    names = [name.replace("/", "_") for name in file_names(sources)]
    return [output_file(out / f"{name}.h5ad", sources, overwrite) for name in names]


def output_folder(path: Path, overwrite: bool = True, option: str = "--out") -> Path:
    r"""Checks that a folder can be written to, which is made later.

    Args:
        path (Path): The folder.
        overwrite (bool, optional): Whether it may hold something. (default: :obj:`True`)
        option (str, optional): The option that names it. (default: :obj:`"--out"`)

    Raises:
        OSError: It cannot be written to.
        ValueError: It is a file, or holds something.
    """
    path = path.expanduser()
    if path.exists() and not path.is_dir():
        raise ValueError(f"{option} {path} is a file; name a folder")
    check_folder(path, option)
    if not overwrite and path.is_dir() and any(path.iterdir()):
        raise ValueError(
            f"{option} {path} holds something already; name another folder, or pass --overwrite"
        )
    return path


def check_run(out: Path, resume: str):
    r"""Checks that a run may go on, or begin, in a folder.

    Args:
        out (Path): The folder.
        resume (str): :obj:`"auto"` or :obj:`"never"`, as the option says.

    Raises:
        ValueError: It holds checkpoints, which are not to be gone on from, or a model of no run.
    """
    if resume == "never" and any(out.glob("checkpoints/**/step-*.pt")):
        raise ValueError(
            f"'{out}' holds the checkpoints of a run already; go on with '--resume auto', or name "
            f"another folder by --out"
        )
    if (out / "model.safetensors").exists() and not (out / "run.json").exists():
        raise ValueError(f"'{out}' holds a model that no run made there; name another folder by --out")


def check_folder(folder: Path, option: str = "--out"):
    r"""Checks that files can be written to a folder, or that it can be made.

    Raises:
        OSError: They cannot.
    """
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise OSError(
            f"{option}: nothing can be written to '{place}' ({os.strerror(error.errno)}); name another "
            f"place"
        ) from error


def write_h5ad(adata: AnnData, path: Path):
    r"""Writes an AnnData as a whole or not at all, and makes the folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda part: adata.write_h5ad(part, compression="gzip", compression_opts=1))
