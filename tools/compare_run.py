"""Our numbers for a recorded run of the official code, and how far they are from its own."""

from typing import NamedTuple

import torch
from torch import Tensor

from stofm_pyg.models.official.names import UNUSED
from tools.official_run import OfficialRun, largest_error, run_encoder
from tools.plain_numbers import plain_numbers

TOLERANCE = 1e-5
# Errors of rounding differ from one order of summation to another, but not by orders of magnitude.
ALIKE = 10
NUM_PLAIN = 3
EPSILON = torch.finfo(torch.float32).eps


class Row(NamedTuple):
    """How far one tensor is off; a note says why an error above the tolerance is nobody's mistake."""

    name: str
    error: float
    note: str = ""

    @property
    def failed(self):
        return self.error > TOLERANCE and not self.note


def compare(run: OfficialRun, device: str = "cpu", **kwargs) -> list[Row]:
    """One row per output, loss and gradient; `kwargs` are further arguments of our encoder.

    Where an error is above the tolerance, double precision and plain evaluations in single precision
    tell a mistake from rounding.
    """
    expected = expected_numbers(run)
    ours = our_numbers(run, torch.float32, device, **kwargs)
    errors = {name: largest_error(ours[name], value) for name, value in expected.items()}
    if all(error <= TOLERANCE for error in errors.values()):
        return [Row(name, error) for name, error in errors.items()]

    exact = our_numbers(run, torch.float64, device, **kwargs)
    plain = [plain_numbers(run, seed) for seed in range(NUM_PLAIN)]
    largest = max(float(v.abs().max()) for k, v in expected.items() if k.startswith("grad."))
    rows = []
    for name, error in errors.items():
        note = ""
        if error > TOLERANCE:
            samples = [numbers[name] for numbers in plain]
            note = explain(ours[name], expected[name], exact[name], samples, largest)
        rows.append(Row(name, error, note))
    return rows


def explain(
    ours: Tensor, official: Tensor, exact: Tensor, plain: list[Tensor], largest: float
) -> str:
    """Says why two results in single precision differ, if that is by rounding alone, else nothing.

    It is rounding if the exact value is zero and both are nothing beside the rounding of the `largest`
    gradient. It is also rounding if the official result is off from the exact one about as much as
    `plain` evaluations are, and ours is not more so.
    """
    sizes = [float(x.abs().max()) for x in (exact, ours, official)]
    if sizes[0] <= 1e-14 * largest:
        is_rounding = max(sizes) <= EPSILON * largest
        return f"rounding: the exact value is 0, the official one {sizes[2]:.0e}" if is_rounding else ""
    our_error, their_error = largest_error(ours, exact), largest_error(official, exact)
    usual_error = max(largest_error(sample, exact) for sample in plain)
    if max(our_error, their_error) <= ALIKE * usual_error and our_error <= ALIKE * their_error:
        return f"rounding: the official one is {their_error:.1e} off from double precision"
    return ""


def expected_numbers(run: OfficialRun) -> dict[str, Tensor]:
    """What the run holds, by its names, without padding."""
    names = [f"out.hidden.{layer}" for layer in range(run.num_layers + 1)]
    out = {name: run.nodes(name) for name in [*names, "out.last_hidden_state"]}
    out["out.pair_rep"] = run.pairs("out.pair_rep")
    for name in ("out.mcm_cosine_loss", "out.pdr_mse_loss"):
        out[name] = run.tensors[name]
    gradients = {
        name.replace("state.", "grad.", 1): value.shape
        for name, value in run.tensors.items()
        if name.startswith("state.") and name.removeprefix("state.model.") not in UNUSED
    }
    for name, shape in gradients.items():
        if name not in run.tensors:
            raise ValueError(f"The file lacks {name}; is it a whole run?")
        if run.tensors[name].shape != shape:
            raise ValueError(
                f"'{name}' must have the shape of its weight, {list(shape)} (got "
                f"{list(run.tensors[name].shape)})"
            )
        out[name] = run.tensors[name]
    return out


def our_numbers(
    run: OfficialRun, dtype: torch.dtype, device: str = "cpu", **kwargs
) -> dict[str, Tensor]:
    """What our layers make of the run, by its names."""
    batch = run.batch(dtype).to(device)
    encoder = run.encoder(**kwargs).to(device, dtype)
    objectives = {name: head.to(device, dtype) for name, head in run.objectives().items()}
    output = run_encoder(encoder, batch)
    losses = {name: objective(output, batch) for name, objective in objectives.items()}
    sum(losses.values()).backward()

    out = {f"out.hidden.{layer}": x for layer, x in enumerate(output.hidden_states)}
    out["out.last_hidden_state"] = output.x
    with torch.no_grad():
        sizes = torch.bincount(batch.batch)
        is_node = torch.arange(int(sizes.max()), device=sizes.device) < sizes.unsqueeze(1)
        out["out.pair_rep"] = output.pair.dense()[is_node.unsqueeze(1) & is_node.unsqueeze(2)]
    out["out.mcm_cosine_loss"], out["out.pdr_mse_loss"] = losses["mcm"], losses["pdr"]

    out |= run.gradients(encoder, objectives)
    return {name: value.detach().cpu() for name, value in out.items()}


def left_out(run: OfficialRun) -> list[str]:
    """Results in the file that nothing here is compared with."""
    known = expected_numbers(run)
    return [k for k in run.tensors if k.startswith(("out.", "grad.")) and k not in known]
