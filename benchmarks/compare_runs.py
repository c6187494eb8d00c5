import hashlib
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from stofm_pyg.train.pretraining.run import CHECKPOINTS, CURVES

# What the clock and the machine say differs from run to run.
UNLIKE = ("train/cells_per_second", "train/loading_share", "train/memory_mib")
# Not results: what a run needs to go on, and its curves, which are compared by value.
WORKING = (CHECKPOINTS, CURVES)

Curves = dict[str, list[tuple[int, float]]]


def read_curves(out: Path) -> Curves:
    r"""Reads the curves of a run of pre-training from its TensorBoard files: :obj:`"stage/tag"` to steps
    and values, in the order that they were written. What a run wrote after the checkpoint from which
    another went on is left out, as TensorBoard does.

    Args:
        out (Path): The folder of the run.
    """
    curves: Curves = {}
    for folder in sorted(path for path in (out / CURVES).glob("*") if path.is_dir()):
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        events.Reload()
        for tag in events.Tags()["scalars"]:
            points = [(event.step, event.value) for event in events.Scalars(tag)]
            curves[f"{folder.name}/{tag}"] = points
    return curves


def curve_differences(one: Curves, other: Curves) -> list[str]:
    r"""Says in which points two runs differ, digit by digit; what the clock says is left out.

    Args:
        one (dict): The curves of a run.
        other (dict): Those of the other one.
    """
    out = []
    for name in sorted({*one, *other}):
        if name.endswith(UNLIKE):
            continue
        if name not in one or name not in other:
            out.append(f"{name} is in {'the first' if name in one else 'the second'} run alone")
            continue
        first, second = one[name], other[name]
        # Written out, as nothing equals NaN, and zero its negative.
        if [(step, repr(value)) for step, value in first] == [
            (step, repr(value)) for step, value in second
        ]:
            continue
        steps = [step for step, _ in first], [step for step, _ in second]
        if steps[0] != steps[1]:
            out.append(f"{name} has {len(first)} points and {len(second)}, or other steps")
            continue
        pairs = zip(first, second, strict=True)
        step, a, b = next((s, a, b) for (s, a), (_, b) in pairs if repr(a) != repr(b))
        out.append(f"{name} differs from step {step} on: {a!r} and {b!r}")
    return out


def file_differences(one: Path, other: Path) -> list[str]:
    r"""Says which files of two runs differ, bit by bit: weights, embeddings, configuration and errors.

    Args:
        one (Path): The folder of a run.
        other (Path): That of the other one.
    """
    first, second = _hashes(one), _hashes(other)
    out = []
    for name in sorted({*first, *second}):
        if name not in first or name not in second:
            out.append(f"{name} is in {'the first' if name in first else 'the second'} run alone")
        elif first[name] != second[name]:
            out.append(f"{name} differs")
    return out


def left_over(out: Path) -> list[str]:
    r"""Returns the temporary files that a killed run left behind, which nothing reads.

    Args:
        out (Path): The folder of the run.
    """
    return sorted(str(path.relative_to(out)) for path in out.rglob("*.tmp"))


def weights(out: Path) -> list[str]:
    r"""Returns the files of weights and embeddings of a run.

    Args:
        out (Path): The folder of the run.
    """
    return sorted(name for name in _hashes(out) if name.endswith((".safetensors", ".bin")))


def _hashes(out: Path) -> dict[str, str]:
    files = [path for path in out.rglob("*") if path.is_file() and not path.name.endswith(".tmp")]
    named = {str(path.relative_to(out)): path for path in files}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in named.items()
        if Path(name).parts[0] not in WORKING
    }
