from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from tqdm import tqdm

from stofm_pyg.data import CellTokens
from stofm_pyg.models.folded_encoder import FoldedEncoder
from stofm_pyg.models.packed_cells import pack_cells
from stofm_pyg.models.run_in_threads import run_in_threads
from stofm_pyg.models.token_batches import token_batches

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
