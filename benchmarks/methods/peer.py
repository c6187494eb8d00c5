from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.data import BenchmarkData
from benchmarks.peers._train import train
from benchmarks.peers.slice_cells import SliceCells, read_slices
from stofm_pyg.data import CellTokens
from stofm_pyg.loader import TokenBatch
from stofm_pyg.loader.token_batches import batches_by_length
from stofm_pyg.train import find_device
from stofm_pyg.train.engine.random_state import seeded

TOKENS_PER_BATCH = 16_384


class Peer:
    r"""A system that the SToFM paper compares with: a small model of its kind, trained from scratch,
    without labels, on the slices that it then embeds, or its published weights as they are.

    A subclass says how in :meth:`fit`, :meth:`load` and :meth:`encode`.

    Args:
        preset (str, optional): The size of the model and its training, a key of :attr:`presets`.
            (default: :obj:`"small"`)
        device (str, optional): Where to train. (default: :obj:`"auto"`)
        checkpoint (str, optional): The folder of published weights, with which nothing is trained.
            (default: :obj:`None`)

    Raises:
        ValueError: If there is no such preset.
    """

    seeded = True
    #: Values by name for each preset.
    presets: dict[str, dict[str, Any]]

    def __init__(self, preset: str = "small", device: str = "auto", checkpoint: str | None = None):
        if preset not in self.presets:
            raise ValueError(f"Unknown preset '{preset}'; known: {', '.join(self.presets)}")
        self.values = self.presets[preset]
        self.device = device
        self.checkpoint = checkpoint
        #: The number of steps; that of the preset without.
        self.steps: int | None = None
        #: Its number of parameters, and what :meth:`StepTimes.info` says.
        self.info: dict[str, float] = {}
        #: The losses of each step of the last training.
        self.history: list[dict[str, float]] = []
        #: The model of the last call.
        self.model: torch.nn.Module | None = None

    @property
    def learns(self) -> bool:
        r"""Whether anything is learned from the slices."""
        return self.checkpoint is None

    @property
    def trains(self) -> bool:
        r"""Whether :attr:`steps` are trained."""
        return self.learns

    def embed(
        self, data: BenchmarkData, seed: int = 0, without: int | None = None
    ) -> list[np.ndarray]:
        r"""The embedding of the cells of each slice."""
        slices, device = read_slices(data), find_device(self.device)
        with seeded(device, [seed]):
            if self.learns:
                seen = [part for number, part in enumerate(slices) if number != without]
                model = self.fit(seen, seed, device)
            else:
                model = self.load(slices)
            self.model = model.to(device).eval()
            self.info["parameters"] = sum(p.numel() for p in model.parameters())
            with torch.inference_mode():
                return [self.encode(model, part, device).cpu().numpy() for part in slices]

    def fit(self, slices: Sequence[SliceCells], seed: int, device: torch.device) -> torch.nn.Module:
        r"""Trains a model from scratch on some slices."""
        raise NotImplementedError

    def train(self, task: torch.nn.Module, batches: Iterable, seed: int):
        r"""Trains by :attr:`steps` and the learning rate of the preset, see
        :meth:`benchmarks.peers._train.train`; notes the losses and the time that it took."""
        self.history, times = train(task, batches, self.num_steps, self.values["lr"], seed)
        self.info |= times

    @property
    def num_steps(self) -> int:
        r"""The number of steps that are trained."""
        return self.values["steps"] if self.steps is None else self.steps

    def load(self, slices: Sequence[SliceCells]) -> torch.nn.Module:
        r"""Reads the model of :attr:`checkpoint`."""
        raise NotImplementedError

    def encode(self, model: torch.nn.Module, part: SliceCells, device: torch.device) -> Tensor:
        r"""Embeds the cells of a slice :math:`(N, D)`."""
        raise NotImplementedError


def encode_tokens(
    embed: Callable[[TokenBatch], Tensor], cells: CellTokens, device: torch.device
) -> Tensor:
    r"""Embeds cells :math:`(N, D)` from their tokens, some at a time, those of like length together.

    Args:
        embed (Callable): From a batch :math:`B` to embeddings :math:`(B, D)`.
        cells (CellTokens): The cells.
        device (torch.device): Where to compute.
    """
    batches = batches_by_length(cells.lengths + 1, TOKENS_PER_BATCH)
    out = torch.cat([embed(TokenBatch.take(cells, index).to(device)).cpu() for index in batches])
    return out[torch.cat(batches).argsort()]
