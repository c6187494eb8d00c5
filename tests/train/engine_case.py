"""Small subpatches with both objectives, and steps of them that processes train on."""

import copy
import os

import torch
from torch_geometric.data import Data
from torch_geometric.nn import MLP

from stofm_pyg.nn import SliceEncoderOutput
from stofm_pyg.train import BatchPlan, MaskedCellModelling, PlanLoader, Pretraining, Trainer

CHANNELS = 6
NUM_STEPS = 8


class Pairs:
    """A pair is represented by what its cells have in common."""

    def __init__(self, x):
        self.x = x

    def pairs(self, index):
        return self.x[index[0]] * self.x[index[1]]


class Model(torch.nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.mlp = MLP([CHANNELS, 16, 4], norm="layer_norm", dropout=dropout)
        self.frozen = torch.nn.Linear(CHANNELS, CHANNELS).requires_grad_(False)

    def forward(self, batch):
        x = self.mlp(self.frozen(batch.x.masked_fill(batch.mask.unsqueeze(-1), 0.0)))
        return SliceEncoderOutput(x, [x], Pairs(x))


class Distances(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(4, 1)

    def forward(self, output, batch):
        pred = self.head(output.pair.pairs(batch.pair_index)).view(-1)
        return pred.sum() if pred.numel() == 0 else (pred - batch.pair_distance).square().mean()

    def count(self, batch):
        return batch.pair_index.size(1)


class Subpatches(torch.utils.data.Dataset):
    """Subpatches of different sizes with different numbers of masked cells and pairs, some without any.
    What is random follows from both numbers."""

    def __init__(self, number=11, bad=None):
        self.sizes = torch.tensor([4 + 3 * (i % 5) for i in range(number)])
        self.bad = bad

    def __getitem__(self, key):
        i, draw = key
        generator = torch.Generator().manual_seed(1000 * draw + i)
        size = int(self.sizes[i])
        x = torch.randn(size, CHANNELS, generator=generator)
        mask = torch.zeros(size, dtype=torch.bool)
        mask[: i % 4] = True
        target = x[mask] * 2
        if i == self.bad:
            x = x * float("nan")
        index = torch.randint(size, (2, 3 * (i % 3)), generator=generator)
        return Data(
            x=x,
            mask=mask,
            target=target,
            pair_index=index,
            pair_distance=torch.rand(index.size(1), generator=generator),
            name=f"slice_{i}",
        )


def make_pretraining(dropout=0.2):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        objectives = {"mcm": MaskedCellModelling(4, CHANNELS), "pdr": Distances()}
        return Pretraining(Model(dropout), objectives, {"pdr": 0.5})


class Plain(torch.nn.Module):
    """A module that does not say how many items its losses are means over."""

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(CHANNELS))

    def forward(self, batch):
        return {"loss": (batch.x.mean(dim=0) - self.w).square().sum()}


def make_loader(accelerator=None, start=0, size=1, batch_size=5, bad=None, **kwargs):
    dataset = Subpatches(bad=bad)
    number = 1 if accelerator is None else accelerator.num_processes
    rank = 0 if accelerator is None else accelerator.process_index
    plan = BatchPlan(dataset.sizes, batch_size, number, rank, seed=3)
    return PlanLoader(dataset, plan, start, micro_batch_size=size, **kwargs)


def train(num_steps, accelerator=None, module=None, size=1, state=None, bad=None, states=None, **kwargs):
    """The trainer and the scalars of its steps; `states` gets the state after each."""

    def keep(step, scalars):
        state = copy.deepcopy(trainer.state_dict())
        if states is not None:
            states[step] = state

    module = make_pretraining() if module is None else module
    trainer = Trainer(module, lr=0.01, accelerator=accelerator, seed=7, on_step=keep, **kwargs)
    start = 0
    if state is not None:
        trainer.load_state_dict(state)
        start = state["step"]
    return trainer, trainer.fit(make_loader(accelerator, start, size, bad=bad), num_steps)


def join(rank, rendezvous, number, **kwargs):
    """The accelerator of one of several processes that find each other by a file."""
    from accelerate import Accelerator

    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(number),
        "LOCAL_WORLD_SIZE": str(number),
        "OMP_NUM_THREADS": "1",
    }
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=number
    )
    return Accelerator(cpu=True, **kwargs)
