"""What each of several processes on one device does in the tests; its result lies in a folder."""

import os

import torch
from accelerate import Accelerator, FullyShardedDataParallelPlugin
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

from stofm_pyg.train import Trainer
from tests.train.engine_case import NUM_STEPS, make_loader, make_pretraining


def work(rank, folder, number, backend, device, sharded):
    # All of them share the first GPU; NCCL takes one process for each.
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": "0", "WORLD_SIZE": str(number), "LOCAL_WORLD_SIZE": str(number),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")
    torch.distributed.init_process_group(
        backend, init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=number
    )
    accelerator = Accelerator(cpu=device == "cpu")
    assert accelerator.device.type == device and accelerator.num_processes == number
    if sharded:
        for state in (PartialState, AcceleratorState):
            state._shared_state["distributed_type"] = DistributedType.FSDP
        plugin = FullyShardedDataParallelPlugin(fsdp_version=2, reshard_after_forward=True)
        AcceleratorState._shared_state["fsdp_plugin"] = plugin
    trainer = Trainer(make_pretraining(0.0), lr=0.01, accelerator=accelerator, seed=7)
    history = trainer.fit(make_loader(accelerator), NUM_STEPS)
    weights = {name: value.cpu() for name, value in trainer.state_dict()["module"].items()}
    torch.save((history, weights), folder / f"out-{rank}.pt")
    torch.distributed.destroy_process_group()
