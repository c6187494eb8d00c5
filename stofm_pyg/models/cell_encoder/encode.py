from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

from stofm_pyg.data import CellTokens
from stofm_pyg.models.cell_encoder.folded import FoldedEncoder
from stofm_pyg.models.cell_encoder.packed import pack_cells


def token_batches(lengths: Tensor, token_budget: int) -> list[Tensor]:
    r"""Splits cells into batches of at most so many tokens, cells of like length together.

    Args:
        lengths (torch.Tensor): The number of tokens of each cell :math:`(N)`.
        token_budget (int): The largest number of tokens of a batch. A cell that is longer is a batch
            of its own.

    Returns:
        The cells of each batch, longest cells first.

    Raises:
        ValueError: If the budget is less than one.
    """
    if token_budget < 1:
        raise ValueError(f"'token_budget' must be at least 1 (got {token_budget})")
    lengths, cells = lengths.sort(descending=True, stable=True)
    ends = lengths.cumsum(0)
    batches, start, done = [], 0, 0
    while start < cells.numel():
        stop = int(torch.searchsorted(ends, done + token_budget, right=True))
        stop = max(stop, start + 1)
        batches.append(cells[start:stop])
        start, done = stop, int(ends[stop - 1])
    return batches


Item = TypeVar("Item")
Result = TypeVar("Result")


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


# What a layer of Geneformer's width holds for so many tokens stays in the cache of a core, and is
# enough to keep a GPU busy.
TOKEN_BUDGETS = {"cpu": 1024, "cuda": 2**16}


def encode_cells(
    encoder: FoldedEncoder,
    cell_tokens: CellTokens,
    token_budget: int | None = None,
    progress: bool = False,
) -> Tensor:
    r"""Embeds cells, batch by batch.

    Args:
        encoder (FoldedEncoder): The encoder.
        cell_tokens (CellTokens): The tokens of the cells, checked.
        token_budget (int, optional): The largest number of tokens of a batch. If :obj:`None`, it is
            chosen for the device. (default: :obj:`None`)
        progress (bool, optional): Show a progress bar. (default: :obj:`False`)

    Returns:
        The embeddings :math:`(N, C)` on the CPU, in the order of the cells.
    """
    device = encoder.device
    if token_budget is None:
        token_budget = TOKEN_BUDGETS.get(device.type, TOKEN_BUDGETS["cuda"])
    batches = token_batches(cell_tokens.lengths, token_budget)

    def embed(batch: Tensor) -> tuple[Tensor, Tensor]:
        cells = pack_cells(cell_tokens.ptr, batch)
        return cells.cells, encoder(cell_tokens.tokens[cells.index], cells)

    results = run_in_threads(embed, batches) if device.type == "cpu" else _one_ahead(map(embed, batches))
    out = torch.empty(len(cell_tokens), encoder.out_channels)
    with tqdm(total=len(cell_tokens), desc="Encoding", unit="cell", disable=not progress) as bar:
        for cells, x in results:
            out[cells] = x.cpu()
            bar.update(len(cells))
    return out


def _one_ahead(items: Iterable) -> Iterator:
    # A GPU is given the next batch before anybody waits for the last one.
    last = None
    for item in items:
        if last is not None:
            yield last
        last = item
    if last is not None:
        yield last
