import os
from pathlib import Path

import huggingface_hub

from stofm_pyg.data.read_pickled_dict import read_pickled_dict

TABLES = ("token_dictionary", "gene_median_dictionary", "gene_name_id_dict")


def read_geneformer(
    path_or_hub_id: str | os.PathLike, subfolder: str | None = None, revision: str | None = None
) -> tuple[dict[str, int], dict[str, float], dict[str, str]]:
    r"""Returns Geneformer's three tables: tokens, medians and the genes of symbols.

    They are the files :obj:`token_dictionary*.pkl`, :obj:`gene_median_dictionary*.pkl` and
    :obj:`gene_name_id_dict*.pkl` of one folder: the given one, or :obj:`geneformer` in it.

    Args:
        path_or_hub_id (str or PathLike): A directory, or else the id of a repository on the
            Hugging Face hub, of which these files alone are downloaded.
        subfolder (str, optional): Looks in this folder below instead. (default: :obj:`None`)
        revision (str, optional): Branch, tag or commit on the hub. (default: :obj:`None`)

    Raises:
        FileNotFoundError: There is neither such a directory nor such a repository, or a table is
            not in it.
        ValueError: Several files could be one table, or a file is refused or damaged.
    """
    root = Path(path_or_hub_id).expanduser()
    folders = ["", "geneformer"] if subfolder is None else [subfolder]
    if not root.is_dir():
        root = _download(str(path_or_hub_id), folders, revision)

    choices = [root / folder for folder in folders]
    found = [folder for folder in choices if _candidates(folder, TABLES[0])]
    if not found:
        listed = " or ".join(f"'{folder}'" for folder in choices)
        raise FileNotFoundError(
            f"There is no 'token_dictionary*.pkl' in {listed}. Give the folder of Geneformer that "
            f"holds {', '.join(f'{name}*.pkl' for name in TABLES)} (or name it by 'subfolder=')."
        )
    files = [_the_file(found[0], name) for name in TABLES]
    kinds = (int, float, str)
    return tuple(read_pickled_dict(file, kind) for file, kind in zip(files, kinds, strict=True))


def _download(hub_id: str, folders: list[str], revision: str | None) -> Path:
    patterns = [f"{folder}/{name}*.pkl".lstrip("/") for folder in folders for name in TABLES]
    try:
        return Path(
            huggingface_hub.snapshot_download(hub_id, revision=revision, allow_patterns=patterns)
        )
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"'{hub_id}' is no directory (looked from '{Path.cwd()}'), and as the id of a "
            f"repository on the hub it cannot be downloaded: {error}"
        ) from error


def _candidates(folder: Path, name: str) -> list[Path]:
    return sorted(folder.glob(f"{name}*.pkl"))


def _the_file(folder: Path, name: str) -> Path:
    files = _candidates(folder, name)
    if not files:
        present = ", ".join(repr(path.name) for path in sorted(folder.glob("*.pkl")))
        raise FileNotFoundError(
            f"There is no '{name}*.pkl' in '{folder}', which holds {present}. Copy it from where "
            f"the others came from: the three tables belong together."
        )
    if len(files) > 1:
        listed = ", ".join(repr(path.name) for path in files)
        raise ValueError(
            f"'{folder}' holds several files '{name}*.pkl': {listed}. Put the three tables of one "
            f"version of Geneformer into a folder of their own."
        )
    return files[0]
