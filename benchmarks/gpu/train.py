r"""Part 4 of the check on a GPU: building, encoding, both stages, `fit` and `embed`, end to end."""

import json
import sys
import tempfile
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.benchmark import timer

from benchmarks.gpu.part import Part
from benchmarks.speed.harness import high_water
from benchmarks.speed.pretrain import CASES, PretrainBenchmark, run_case
from stofm_pyg.datasets import generate_tissue
from stofm_pyg.models import SToFM

WAITING = 0.1
TINY = {
    "cell_encoder": {"hidden_channels": 8, "num_layers": 1, "heads": 2, "ffn_channels": 8,
                     "max_length": 12, "out_channels": 6},
    "model": {"hidden_channels": 8, "num_layers": 1, "heads": 2, "ffn_channels": 8, "num_gaussians": 4},
}  # fmt: skip


def run(part: Part):
    r"""Measures the stages at the sizes of the paper, then `fit` and `embed` on generated tissue."""
    with tempfile.TemporaryDirectory() as work:
        stages(part, Path(work))
    if part.has_time("fit"):
        fit_and_embed(part)


def stages(part: Part, work: Path):
    r"""Measures building, encoding and both stages, as :mod:`benchmarks.speed.pretrain` does."""
    options = ["--synthetic", "400" if part.smoke else "20000", f"--device={part.device}"]
    if part.smoke:
        options += ["--preset=tiny", "--num-workers=0"]
        (work / "config.json").write_text(json.dumps(TINY))
        options += ["--steps=2", "--steps-2=1", "--warm-up=1", "--genes=30", "--detected=10"]
        options += ["--slice-cells=200", "--cells-per-part=50", f"--config={work / 'config.json'}"]
    else:
        options += ["--preset=paper", "--num-workers=4", "--steps=20", "--steps-2=4", "--bf16"]
    args = PretrainBenchmark.parse(options)
    args.work = str(work)
    for case in CASES:
        if part.has_time(case):
            row = run_case(case, args.synthetic[0], args, part.device)
            row["seconds"] = row.pop("median_s")
            share = row.get("loading_share")
            if share is not None:
                met = "met" if share < WAITING else "missed"
                row["note"] = f"waits for data {share:.1%} of the time (aim under {WAITING:.0%}: {met})"
            part.row(case=case, side="stofm_pyg", cells=args.synthetic[0], **row)


def fit_and_embed(part: Part):
    r"""Measures :meth:`SToFM.fit` and :meth:`SToFM.embed`, and what of the latter takes the time."""
    cells, steps = (300, 4) if part.smoke else (20_000, 200)
    tissue = generate_tissue(2, cells // 2, num_genes=40 if part.smoke else 300, num_unobserved=0)
    config = {"stage_1": {"max_steps": steps}, **(TINY if part.smoke else {})}
    preset, workers = ("tiny", 0) if part.smoke else ("small", 4)
    high_water(part.device, reset=True)
    start = timer()
    model = SToFM.fit(tissue, preset=preset, config=config, slice_key="slice", device=part.device,
                      num_workers=workers, progress=False)  # fmt: skip
    seconds = timer() - start
    note = f"from counts to a model in {steps} steps"
    part.row(case="fit", side="stofm_pyg", cells=cells, seconds=seconds,
             peak_mib=high_water(part.device), note=note)  # fmt: skip
    one = model.slices(tissue[tissue.obs["slice"] == "slice0"].copy())
    model.embed(one, device=part.device)
    high_water(part.device, reset=True)
    start = timer()
    model.embed(one, device=part.device)
    seconds = timer() - start
    part.row(case="embed", side="stofm_pyg", cells=cells // 2, seconds=seconds,
             cells_per_second=cells // 2 / seconds, peak_mib=high_water(part.device))  # fmt: skip
    part.row(case="embed", side="what takes the time", note=most_time(model, one, part.device))


def most_time(model: SToFM, data, device: torch.device) -> str:
    r"""The operators that take the most time of embedding, with their share of it."""
    on_gpu = device.type == "cuda"
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
    with profile(activities=kinds) as profiler:
        model.embed(data, device=device)
    name = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    times = {event.key: getattr(event, name) for event in profiler.key_averages()}
    total = sum(times.values()) or 1.0
    largest = sorted(times, key=times.get, reverse=True)[:5]
    return ", ".join(f"{key[:60]} {times[key] / total:.0%}" for key in largest)


if __name__ == "__main__":
    sys.exit(Part.main(run))
