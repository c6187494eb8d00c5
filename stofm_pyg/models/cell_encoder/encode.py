from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from stofm_pyg.data import CellTokens
from stofm_pyg.loader.token_batches import batches_by_length
from stofm_pyg.models.cell_encoder.packed import first_states, pack_cells

if TYPE_CHECKING:
    from transformers import BertModel

Item = TypeVar("Item")
Result = TypeVar("Result")

# What a layer of Geneformer's width holds for so many tokens stays in the cache of a core, and is
# enough to keep a GPU busy.
TOKEN_BUDGETS = {"cpu": 1024, "cuda": 2**16}


def encode_cells(
    bert: BertModel,
    proj: torch.nn.Linear,
    cell_tokens: CellTokens,
    device: torch.device,
    dtype: torch.dtype,
    token_budget: int | None = None,
    progress: bool = False,
) -> Tensor:
    r"""Embeds cells, batch by batch, without dropout and without gradients.

    Args:
        bert (BertModel): The model.
        proj (torch.nn.Linear): What is applied to the state of the first token of each cell.
        cell_tokens (CellTokens): The tokens of the cells, checked.
        device (torch.device): Where to compute.
        dtype (torch.dtype): In what to compute.
        token_budget (int, optional): The largest number of tokens of a batch. If :obj:`None`, it is
            chosen for the device. (default: :obj:`None`)
        progress (bool, optional): Show a progress bar. (default: :obj:`False`)

    Returns:
        The embeddings :math:`(N, C)`, float32 and of length one, on the CPU, in the order of the cells.

    Raises:
        ValueError: If the budget is less than one.
    """
    if token_budget is None:
        token_budget = TOKEN_BUDGETS.get(device.type, TOKEN_BUDGETS["cuda"])
    batches = batches_by_length(cell_tokens.lengths, token_budget)
    # A copy, as the modules of the caller may be in training, and stay so.
    bert, proj = (copy.deepcopy(module).to(device, dtype).eval() for module in (bert, proj))

    @torch.no_grad()
    def embed(batch: Tensor) -> tuple[Tensor, Tensor]:
        cells = pack_cells(cell_tokens.ptr, batch)
        tokens = cell_tokens.tokens[cells.index].to(device, non_blocking=True)
        x = proj(first_states(bert, tokens, cells.to(device)))
        return cells.cells, F.normalize(x.float(), dim=-1)

    results = run_in_threads(embed, batches) if device.type == "cpu" else _one_ahead(map(embed, batches))
    out = torch.empty(len(cell_tokens), proj.out_features)
    with tqdm(total=len(cell_tokens), desc="Encoding", unit="cell", disable=not progress) as bar:
        for cells, x in results:
            out[cells] = x.cpu()
            bar.update(len(cells))
    return out


def run_in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    r"""Calls a function for each item, as many at a time as PyTorch uses threads, each on one thread,
    and yields the results in the order of the items.

    For many small batches this is faster than to share each operation among all threads, which then
    wait for one another after each.

    Gradient mode and autocast are those of new threads: the function has to set them.
    """
    num_threads = torch.get_num_threads()
    if num_threads == 1:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(num_threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(num_threads)  # It is kept per thread, but also for new ones.


def _one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    # A GPU is given the next batch before anybody waits for the last one.
    last = None
    for item in items:
        if last is not None:
            yield last
        last = item
    if last is not None:
        yield last
