import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import huggingface_hub

from stofm_pyg.data.genes.pickles import read_pickled_dict

logger = logging.getLogger(__name__)

SPECIAL = {
    "pad_token_id": "<pad>",
    "mask_token_id": "<mask>",
    "cls_token_id": "<cls>",
    "eos_token_id": "<eos>",
}
TABLES = ("token_dictionary", "gene_median_dictionary", "gene_name_id_dict")


def geneformer_arguments(
    tokens: Mapping[str, int],
    medians: Mapping[str, float],
    symbols: Mapping[str, str],
    source: str,
) -> dict[str, Any]:
    r"""Returns the arguments of :class:`~stofm_pyg.data.GeneVocab` for the tables of Geneformer.

    Genes with a token but no median cannot be ranked and are left out; their tokens stay reserved.

    Args:
        tokens (dict): Genes and marks such as :obj:`"<pad>"`, and their token ids.
        medians (dict): Genes and medians.
        symbols (dict): Symbols and genes.
        source (str): Where they come from, for errors.

    Raises:
        ValueError: Token ids are not 0, 1, ..., a mark is missing, or tokens and medians are not of
            the same genes.
    """
    ids = sorted(tokens.values())
    if ids != list(range(len(ids))):
        odd = next(i for i, token in enumerate(ids) if token != i)
        raise ValueError(
            f"The tokens of '{source}' are not 0 to {len(ids) - 1}, each once: {odd} is missing or "
            f"there twice. Download or copy the token dictionary again."
        )
    missing = [SPECIAL[key] for key in ("pad_token_id", "mask_token_id") if SPECIAL[key] not in tokens]
    if missing:
        raise ValueError(
            f"The token dictionary of '{source}' has no {' and no '.join(missing)}: it is none of "
            f"Geneformer's."
        )

    genes = [name for name in tokens if not (name.startswith("<") and name.endswith(">"))]
    known = [gene for gene in genes if gene in medians]
    if 2 * len(known) < len(genes) or not known:
        raise ValueError(
            f"Only {len(known):,} of the {len(genes):,} genes that have a token in '{source}' have "
            f"a median: the two tables are not of one version of Geneformer."
        )
    if len(known) < len(genes):
        logger.warning(
            "%d of %d genes in '%s' have a token but no median and are left out, e.g. %s",
            len(genes) - len(known),
            len(genes),
            source,
            next(gene for gene in genes if gene not in medians),
        )
    return {
        "token_ids": {gene: tokens[gene] for gene in known},
        "medians": {gene: medians[gene] for gene in known},
        "symbols": symbols,
        "num_tokens": len(tokens),
        **{key: tokens.get(mark) for key, mark in SPECIAL.items()},
    }


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
