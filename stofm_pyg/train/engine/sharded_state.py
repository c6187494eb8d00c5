r"""The state of a module spread over processes (FSDP), in the form that it has in one."""

from typing import Any

import torch


def gather_state(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, names: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    r"""Returns the states of a module and of its optimiser on the first process, on the CPU; empty ones
    on the others. All processes must call it.

    Args:
        model (torch.nn.Module): The wrapped module.
        optimizer (torch.optim.Optimizer): Its optimiser.
        names (list[str]): The names of the optimiser's parameters in the module that was wrapped.
    """
    from torch.distributed.checkpoint import state_dict as dcp  # Slow, and seldom needed.

    options = dcp.StateDictOptions(full_state_dict=True, cpu_offload=True)
    if not optimizer.state:  # It is made by a step of length zero, unless there are gradients.
        optimizer.zero_grad(set_to_none=True)
    module_state = dcp.get_model_state_dict(model, options=options)
    state = dcp.get_optimizer_state_dict(model, optimizer, options=options)
    if not state:
        return module_state, {}
    (group,) = state["param_groups"]
    return module_state, {
        "state": {number: state["state"][name] for number, name in enumerate(names)},
        "param_groups": [{**group, "params": list(range(len(names)))}],
    }


def spread_module(model: torch.nn.Module, state: dict[str, Any]):
    r"""Loads a module's state, which each process has as a whole.

    Args:
        model (torch.nn.Module): The wrapped module.
        state (dict): Its state in one process.
    """
    from torch.distributed.checkpoint import state_dict as dcp

    dcp.set_model_state_dict(model, state, options=dcp.StateDictOptions(full_state_dict=True))


def spread_optimizer(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    names: list[str],
    state: dict[str, Any],
):
    r"""Loads an optimiser's state, which each process has as a whole.

    Args:
        model (torch.nn.Module): The wrapped module.
        optimizer (torch.optim.Optimizer): Its optimiser.
        names (list[str]): The names of the optimiser's parameters in the module that was wrapped.
        state (dict): Its state in one process.
    """
    from torch.distributed.checkpoint import state_dict as dcp

    if not state["state"]:
        return  # No step was done.
    (group,) = state["param_groups"]
    named = {
        "state": {names[number]: value for number, value in state["state"].items()},
        "param_groups": [{**group, "params": list(names)}],
    }
    options = dcp.StateDictOptions(full_state_dict=True)
    dcp.set_optimizer_state_dict(model, optimizer, named, options=options)
