r"""What `--data` names: h5ad files, published data sets, or a YAML file of several data sets."""

import difflib
from argparse import Namespace
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from benchmarks.names import names_in
from benchmarks.tasks import TASKS
from stofm_pyg.data.errors import known_names
from stofm_pyg.datasets import download_published, published_label, published_names

YAML_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class DataSet:
    r"""Slices that tasks are run on together; what is :obj:`None` is as the command line says.

    Args:
        name (str): Its name, that of its folder of results.
        files (tuple[str], optional): The h5ad files; generated tissue without. (default: :obj:`()`)
        label (str or dict, optional): The column of labels, or one for each task by its name.
            (default: :obj:`None`)
        tasks (tuple[str], optional): The tasks to run on it, of those asked for; all without.
            (default: :obj:`()`)
        slice_key (str, optional): The column that tells slices apart. (default: :obj:`None`)
        layer (str, optional): The layer of raw counts. (default: :obj:`None`)
        reference (str, optional): Single cells with types, for deconvolution. (default: :obj:`None`)
        split (str, optional): How labelled cells are divided. (default: :obj:`None`)
    """

    name: str
    files: tuple[str, ...] = ()
    label: str | Mapping[str, str] | None = None
    tasks: tuple[str, ...] = ()
    slice_key: str | None = None
    layer: str | None = None
    reference: str | None = None
    split: str | None = None

    def args_of(self, args: Namespace, task: str, out: Path) -> Namespace:
        r"""The options of the command line for one task on this data set."""
        made = copy(args)
        made.task, made.out = task, out
        made.data = list(self.files) or None
        label = args.label if self.label is None else self.label
        made.label = label_of(label, task, args.task == "all")
        for name in ("slice_key", "layer", "reference", "split"):
            if getattr(self, name) is not None:
                setattr(made, name, getattr(self, name))
        if args.task == "all" and not TASKS[task].has_splits:
            made.split, made.unseen = None, False
        if args.task == "all" and task != "deconvolution":
            made.reference = None
        return made


def label_of(label: str | Mapping[str, str] | None, task: str, all_tasks: bool) -> str | None:
    r"""The label of one task. Where all tasks are run, one that is named for all is that of the task
    that it is the default of, else of segmentation, and of clustering; others keep theirs."""
    if isinstance(label, Mapping):
        return label.get(task)
    if label is None or not all_tasks:
        return label
    meant = {name for name in TASKS if TASKS[name].default_label == label} or {"segmentation"}
    return label if task in meant | {"clustering"} else None


def data_sets(
    asked: Sequence[str] | None,
    root: str | None = None,
    folder: str | None = None,
    only: str | None = None,
) -> list[DataSet]:
    r"""The data sets that :obj:`--data` names.

    Args:
        asked (sequence of str, optional): h5ad files, which are one data set together; or YAML files and
            names of published data sets, each of its own.
        root (str, optional): The folder for what is downloaded. (default: :obj:`None`)
        folder (str, optional): The folder of the files that YAML files name; that of the YAML file
            without. (default: :obj:`None`)
        only (str, optional): The names of data sets to take, with commas; all without.
            (default: :obj:`None`)

    Raises:
        ValueError: Files and others are mixed, a name is there twice or unknown, or a YAML file is none
            of data sets.
        OSError: A file is missing, or cannot be downloaded.
    """
    found = _data_sets(asked, root, folder)
    names = [item.name for item in found]
    wanted = names if only is None else names_in(only, names, "data set")
    found = [item for item in found if item.name in wanted]
    if "yaml" in map(_kind, asked or ()):
        _check_there(found)
    return found


def _check_there(sets: Sequence[DataSet]):
    for item in sets:
        for file in (*item.files, *([item.reference] if item.reference else [])):
            if not Path(file).exists():
                raise FileNotFoundError(
                    f"Data set '{item.name}' names '{file}', which is not there; --data-dir says where "
                    f"files are, and --only which data sets to take"
                )


def _data_sets(asked: Sequence[str] | None, root: str | None, folder: str | None) -> list[DataSet]:
    if not asked:
        return [DataSet("generated")]
    kinds = [_kind(item) for item in asked]
    if set(kinds) == {"file"}:
        return [DataSet("data", tuple(map(str, asked)))]
    if "file" in kinds:
        raise ValueError(
            f"--data takes h5ad files, or YAML files and names of published data sets, not both (got "
            f"{', '.join(map(str, asked))}); put the files into the YAML file"
        )
    out = []
    for item, kind in zip(asked, kinds, strict=True):
        out += read_data_sets(Path(item), folder) if kind == "yaml" else [published(item, root)]
    names = [item.name for item in out]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"The data set '{name}' is there twice; give each a name of its own")
    return out


def _kind(item: str) -> str:
    path = Path(item)
    if path.suffix.lower() in YAML_SUFFIXES:
        return "yaml"
    if item in published_names() and not path.exists():
        return "published"
    if path.suffix == "" and not path.exists():
        hint = known_names(item, published_names())
        raise ValueError(f"'{item}' is no file and no published data set; {hint}")
    return "file"


def published(name: str, root: str | None = None) -> DataSet:
    r"""A published data set, downloaded if need be."""
    return DataSet(name, (str(download_published(name, root)),), label=published_label(name))


def read_data_sets(path: Path, folder: str | None = None) -> list[DataSet]:
    r"""Reads a YAML file of data sets: for each name its :obj:`files` and other values of
    :class:`DataSet`.

    Args:
        path (Path): The YAML file.
        folder (str, optional): What paths in it are seen from; its own folder without.
            (default: :obj:`None`)

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no YAML, or not of this form; the message names the data set and the key.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file '{path}' of data sets; check the path")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"'{path}' is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, Mapping) or not values:
        raise ValueError(f"'{path}' holds no data sets; write 'name: {{files: [slices.h5ad]}}' lines")
    within = path.parent if folder is None else Path(folder).expanduser()
    return [_data_set(str(name), value, path, within) for name, value in values.items()]


def _data_set(name: str, values: Any, path: Path, folder: Path) -> DataSet:
    where = f"Data set '{name}' in '{path}'"
    if not name or any(sign in name for sign in "/\\") or name in (".", ".."):
        raise ValueError(f"{where} has a name that no folder can have")
    if not isinstance(values, Mapping):
        raise ValueError(f"{where} needs keys of its own (got {values!r}), as 'files: [slices.h5ad]'")
    known = [field.name for field in fields(DataSet) if field.name != "name"]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
            raise ValueError(f"{where} has the unknown key '{key}'; {hint}")
    made = {key: value for key, value in values.items() if value is not None}
    for key in ("files", "tasks"):
        value = made.get(key, [])
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError(f"{where}: '{key}' takes a list of names (got {value!r})")
        made[key] = tuple(value)
    for key in ("slice_key", "layer", "reference", "split"):
        if not isinstance(made.get(key, ""), str):
            raise ValueError(f"{where}: '{key}' takes a name (got {made[key]!r})")
    label = made.get("label", "")
    by_task = label if isinstance(label, Mapping) else dict.fromkeys(made["tasks"], label)
    for task, column in by_task.items():
        if task not in TASKS or not isinstance(column, str):
            raise ValueError(
                f"{where}: '{task}: {column}' is no label of a task; tasks are {', '.join(TASKS)}"
            )
    if not made["files"]:
        raise ValueError(f"{where} names no files; write 'files: [slices.h5ad]'")
    made["files"] = tuple(str(folder / Path(file).expanduser()) for file in made["files"])
    if "reference" in made:
        made["reference"] = str(folder / Path(made["reference"]).expanduser())
    return DataSet(name, **made)
