from __future__ import annotations

import logging
import os
import re
from pathlib import Path, PurePosixPath

import huggingface_hub
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from stofm_pyg.data.errors import nearest_name

logger = logging.getLogger(__name__)

#: Models that are part of the package.
SHIPPED = Path(__file__).resolve().parents[1] / "pretrained"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# All that 'save_pretrained' writes, and nothing else of what a repository may hold.
WANTED = ["*.json", "*.json.gz", "*.safetensors", "*cell_proj.bin", "README.md"]


def find_model(
    name: str | os.PathLike,
    revision: str | None = None,
    cache_dir: str | os.PathLike | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> Path:
    r"""Returns the folder of a saved model: a folder of that name, a model that ships with the package,
    or a repository on the hub, which is downloaded; see :meth:`SToFM.from_pretrained`."""
    folder = Path(name).expanduser()
    if folder.exists():
        return folder
    shipped = sorted(path.name for path in SHIPPED.glob("*") if path.is_dir())
    if str(name) in shipped:
        return SHIPPED / str(name)
    no_folder = (
        f"There is no model '{name}': it is no folder (looked from '{Path.cwd()}'), none of the models "
        f"that ship with stofm_pyg ({', '.join(shipped) or 'none'})"
    )
    if not isinstance(name, str) or not HUB_ID.fullmatch(name) or name.startswith("."):
        near = nearest_name(str(name), shipped)
        raise FileNotFoundError(f"{no_folder}, and one on the hub is named 'user/model'{near}")
    cache = None if cache_dir is None else Path(cache_dir)
    refused: Exception | None = None
    if not local_files_only:
        try:
            _check_names(name, revision, token)
        except _UnsafeName:
            raise
        except Exception as error:  # Of those of the network there are too many to be told apart.
            refused = error
    try:
        snapshot = huggingface_hub.snapshot_download(
            name, revision=revision, cache_dir=cache, token=token, allow_patterns=WANTED,
            local_files_only=local_files_only or refused is not None,
        )  # fmt: skip
    except Exception as error:
        refused = refused or error
        raise FileNotFoundError(f"{no_folder}, and {_reason(name, revision, refused)}") from refused
    if refused is not None:
        logger.warning(
            "'%s' is taken as it was downloaded before: %s", name, _reason(name, revision, refused)
        )
    return Path(snapshot)


class _UnsafeName(ValueError):
    pass


def _check_names(name: str, revision: str | None, token: str | bool | None):
    info = huggingface_hub.HfApi(token=token).model_info(name, revision=revision)
    for file in (sibling.rfilename for sibling in info.siblings or ()):
        path = PurePosixPath(file)
        if path.is_absolute() or ".." in path.parts or "\\" in file or ":" in path.parts[0]:
            raise _UnsafeName(
                f"The repository '{name}' on the hub has a file '{file}', which would be written "
                f"outside of its folder; nothing was downloaded"
            )


def _reason(name: str, revision: str | None, error: Exception) -> str:
    hub = huggingface_hub.constants.ENDPOINT
    if isinstance(error, GatedRepoError):
        return f"its authors give access on request only: ask for it at {hub}/{name}"
    if isinstance(error, RepositoryNotFoundError):
        return f"{hub} has no such repository, or a private one (log in by 'hf auth login')"
    if isinstance(error, RevisionNotFoundError):
        return f"the repository at {hub}/{name} has no revision '{revision}'"
    said = " ".join(str(error).split())[:200]
    return (
        f"it cannot be had from {hub}: is there a network? Download it elsewhere, and pass the folder "
        f"({type(error).__name__}: {said})"
    )
