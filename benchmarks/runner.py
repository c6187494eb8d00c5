r"""Runs the rows of a task with each seed, one after another or side by side."""

import multiprocessing
import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from benchmarks.budget import Budget
from benchmarks.data_sets import DataSet
from benchmarks.report import write_page
from benchmarks.results import Results, check_writable
from benchmarks.rows import Row
from benchmarks.tables import slug
from benchmarks.tasks import TASKS
from benchmarks.tasks.task import Task
from stofm_pyg._files import locked
from stofm_pyg.train import find_device

Work = list[tuple[int, str]]


def run_all(args: Namespace, sets: Sequence[DataSet]) -> int:
    r"""Runs the tasks that are asked for on each data set and makes a page of all; returns the exit
    status.

    A task that does not suit a data set is left out with a word. Where one breaks off with an error, the
    others are run all the same. Methods embed each data set once for all tasks.

    Args:
        args (Namespace): The options of the command line.
        sets (sequence of DataSet): The data sets.
    """
    args.method = args.method or ("all" if args.task == "all" else None)
    out = args.out or Path("results" if args.task == "all" else f"results/{args.task}")
    several = len(sets) > 1 or sets[0].name not in ("data", "generated")
    args.budget = out  # One for all tasks, which share embeddings.
    done, status = [], 0
    with tempfile.TemporaryDirectory() as cache:
        args.cache = Path(cache)
        for item in sets:
            folder = out / item.name if several else out
            for name in TASKS if args.task == "all" else [args.task]:
                if item.tasks and name not in item.tasks:
                    continue
                place = folder / name if args.task == "all" else folder
                try:
                    print(f"\n{item.name}: {name}" if several else f"\n{name}", flush=True)
                    code = run_task(item.args_of(args, name, place))
                except Unsuited as error:
                    print(f"left out: {error}", flush=True)
                    continue
                except (ValueError, OSError, ImportError, FloatingPointError) as error:
                    print(f"error: {error}", file=sys.stderr, flush=True)
                    status = 2
                    continue
                done.append(place)
                if code != 0:
                    return code
    if not done:
        raise ValueError("No task was run to its end; see above")
    write_page(done, out)
    print(f"\nA page of all results is in {out / 'report.html'}")
    return status


def run_task(args: Namespace) -> int:
    r"""Runs the task :obj:`args.task` as the command line says; returns the exit status.

    Raises:
        Unsuited: The data does not suit the task; nothing was run.
        ValueError: An option or what --out holds is wrong, or a row broke off.
    """
    if args.runs < 1:
        raise ValueError(f"--runs must be at least 1 (got {args.runs})")
    if args.jobs < 1:
        raise ValueError(f"--jobs must be at least 1 (got {args.jobs})")
    tasks = TasksBySeed(args)
    task = TASKS[args.task](args)
    rows = task.rows()
    if not rows:
        raise ValueError(f"--method {args.method} has no row in task '{task.name}'; add others")
    check_writable(args.out)
    if not task.has_splits and (args.split or args.unseen):
        raise ValueError(f"Task '{task.name}' divides no cells; leave out --split and --unseen")
    try:
        tasks.of(args.seed)
    except ValueError as error:
        raise Unsuited(str(error)) from error
    with locked(args.out):
        return _run_rows(args, tasks, rows)


def _run_rows(args: Namespace, tasks: "TasksBySeed", rows: Mapping[str, Row]) -> int:
    task = tasks.of(args.seed)
    notes = task.notes() + (" Each run has a tissue of its own." if tasks.several else "")
    if args.seconds is not None:
        notes += f" Each method that trains got the steps that take {args.seconds:g} s."
    results = Results(args.out, task.metrics, task.lower, notes.strip())
    told = {name: row.settings for name, row in rows.items()}
    results.start(told, args.fresh, **settings_of(task, rows))
    seeds = range(args.seed, args.seed + args.runs)
    work = [
        (seed, name)
        for seed in seeds
        for name, row in rows.items()
        if (seed == args.seed or row.seeded or task.draws or tasks.several)
        and not results.has(name, seed)
    ]
    if args.seconds is not None:
        budget = Budget(args.seconds, getattr(args, "budget", args.out))
        args.steps = budget.steps_of({name: rows[name] for _, name in work}, task.data)
        _set_steps(rows, args)
    pictures = args.out / "pictures"
    pictures.mkdir(exist_ok=True)
    interrupted = False
    with logging_redirect_tqdm(), tqdm(total=len(work), desc=task.name, unit="row") as bar:
        try:
            for name, seed, result in _results(tasks, rows, work, bar, pictures):
                results.add(name, seed, rows[name].settings, result)
                bar.update()
        except KeyboardInterrupt:
            interrupted = True
    print(results.finish(list(rows), interrupted=interrupted))
    return 130 if interrupted else 0


def _set_steps(rows: Mapping[str, Row], args: Namespace):
    for name, steps in getattr(args, "steps", {}).items():
        rows[name].method.steps = steps


class TasksBySeed:
    r"""The prepared task of each seed: on generated tissue every run has a tissue of its own, since one
    says little about others; on files all runs have the same.

    Args:
        args (Namespace): The options of the command line.
    """

    def __init__(self, args: Namespace):
        self.args = args
        self.several = not args.data
        self._made: dict[int, Task] = {}

    def of(self, seed: int) -> Task:
        r"""The task of a seed."""
        seed = seed if self.several else self.args.seed
        if seed not in self._made:
            self._made.clear()  # One tissue at a time.
            task = TASKS[self.args.task](Namespace(**{**vars(self.args), "seed": seed}))
            task.prepare()
            self._made[seed] = task
        return self._made[seed]


class Unsuited(ValueError):
    r"""Data that a task cannot be run on, or an option that does not go with it."""


def settings_of(task: Task, rows: Mapping[str, Row]) -> dict[str, Any]:
    r"""What decides the numbers of a task, as plain values."""
    args, data = task.args, task.data
    return {
        "task": task.name,
        "data": [str(file) for file in args.data] if args.data else "SyntheticTissue",
        "hashes": data.hashes(),
        "label": task.label,
        **task.settings(),
        "methods": list(rows),
        "conv": args.conv,
        "features": args.features,
        "ablate": args.ablate,
        "missing_genes": args.missing_genes,
        "train_seconds": args.seconds,
        "model": args.model,
        "seed": args.seed,
        "runs": args.runs,
        "preset": args.preset,
        "settings": data.settings.to_dict(),
        "device": str(find_device(args.device)),
        "slices": [{"name": s.name, "cells": int((s.cell_id >= 0).sum())} for s in data.slices],
    }


def _results(
    tasks: TasksBySeed, rows: Mapping[str, Row], work: Work, bar: tqdm, pictures: Path
) -> Iterator[tuple[str, int, dict[str, Any]]]:
    args = tasks.args
    jobs = min(args.jobs, len(work))
    if jobs > 1:
        yield from _side_by_side(args, work, bar, pictures, jobs)
        return
    for seed, name in work:
        bar.set_description(f"{args.task}: {name}, seed {seed}")
        yield name, seed, _run(tasks, rows, name, seed, pictures)


def _run(
    tasks: TasksBySeed, rows: Mapping[str, Row], name: str, seed: int, pictures: Path
) -> dict[str, Any]:
    task = tasks.of(seed)
    result = task.one_run(rows[name], seed)
    if seed == tasks.args.seed:
        task.draw(slug(name), result, pictures)
    result.pop("drawn", None)
    return result


def _side_by_side(
    args: Namespace, work: Work, bar: tqdm, pictures: Path, jobs: int
) -> Iterator[tuple[str, int, dict[str, Any]]]:
    # Processes that begin anew: what threads of torch hold in this one would not survive a fork.
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // jobs)
    bar.set_description(f"{args.task}, {jobs} rows at a time")
    with ProcessPoolExecutor(jobs, context, _begin, (args, threads)) as pool:
        asked = {pool.submit(_in_child, name, seed, pictures): (name, seed) for seed, name in work}
        try:
            for done in as_completed(asked):
                yield *asked[done], done.result()
        except BrokenProcessPool as error:
            raise ValueError(
                "A process that ran a row was ended from outside, or had not enough memory; the same "
                "command with fewer --jobs goes on from what was done"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_mine: dict[str, Any] = {}


def _begin(args: Namespace, threads: int):
    torch.set_num_threads(threads)
    _mine.update(tasks=TasksBySeed(args), rows=TASKS[args.task](args).rows())
    _set_steps(_mine["rows"], args)


def _in_child(name: str, seed: int, pictures: Path) -> dict[str, Any]:
    return _run(_mine["tasks"], _mine["rows"], name, seed, pictures)
