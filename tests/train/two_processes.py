"""What each of two processes does in the tests of several processes; the results lie in a folder."""

import torch
from accelerate import FullyShardedDataParallelPlugin
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

from stofm_pyg.train import MicroBatch, Trainer
from tests.train.engine_case import (
    NUM_STEPS,
    Plain,
    Subpatches,
    join,
    make_loader,
    make_pretraining,
    train,
)


def work(rank, folder, number):
    accelerator = join(rank, folder / "rendezvous", number)
    of_one = torch.load(folder / "one.pt", weights_only=True)
    out, states = {}, {}

    def note(name, trainer, history):
        out[name] = history, trainer.state_dict()["module"]

    note("whole", *train(NUM_STEPS, accelerator, states=states))
    note("resumed", *train(NUM_STEPS, accelerator, state=states[4]))
    note("from one", *train(NUM_STEPS, accelerator, state=of_one))
    note("joined", *train(NUM_STEPS, accelerator, size=2))
    note("plain", *train(NUM_STEPS, accelerator, module=Plain()))
    out["state"] = states[4]
    out["not finite"] = not_finite(accelerator)
    out["stop"] = stop(accelerator, rank)
    out["unequal"] = unequal(accelerator, rank)

    # Accelerate offers FSDP on accelerators alone, but it works here.
    for state in (PartialState, AcceleratorState):
        state._shared_state["distributed_type"] = DistributedType.FSDP
    plugin = FullyShardedDataParallelPlugin(fsdp_version=2, reshard_after_forward=True)
    AcceleratorState._shared_state["fsdp_plugin"] = plugin
    note("sharded", *train(NUM_STEPS, accelerator, states=states))
    gathered = [states[4]]
    torch.distributed.broadcast_object_list(gathered)
    out["sharded state"] = gathered[0]
    note("sharded resumed", *train(NUM_STEPS, accelerator, state=gathered[0]))
    note("sharded from one", *train(NUM_STEPS, accelerator, state=of_one))
    out["sharded not finite"] = not_finite(accelerator)

    torch.save(out, folder / f"out-{rank}.pt")
    torch.distributed.destroy_process_group()


def not_finite(accelerator):
    trainer = Trainer(make_pretraining(), lr=0.01, accelerator=accelerator, seed=7)
    try:
        trainer.fit(make_loader(accelerator, bad=8), NUM_STEPS)
    except FloatingPointError as error:
        return str(error), trainer.step, trainer.state_dict()["module"]


def stop(accelerator, rank):
    trainer = Trainer(Plain(), accelerator=accelerator, stop=lambda: rank == 1 and trainer.step == 2)
    return len(trainer.fit(make_loader(accelerator), NUM_STEPS)), trainer.stopped


def unequal(accelerator, rank):
    parts = [MicroBatch(Subpatches()[i, 0]) for i in range(1 + rank)]
    try:
        Trainer(Plain(), accelerator=accelerator).fit([parts], 1)
    except ValueError as error:
        return str(error)
