import torch

from benchmarks.peers.padding import pad_rows, padding_of
from stofm_pyg.data import CellTokens
from stofm_pyg.loader import TokenBatch


def test_rows_of_unlike_length():
    cells = CellTokens(torch.tensor([5, 6, 7, 8]), torch.tensor([0, 1, 1, 4]))
    batch = TokenBatch.take(cells, torch.arange(3))
    assert pad_rows(batch.tokens, batch, 9).tolist() == [[5, 9, 9], [9, 9, 9], [6, 7, 8]]
    assert pad_rows(batch.tokens.float(), batch, -2.0)[1].tolist() == [-2, -2, -2]
    assert padding_of(batch).tolist() == [[False, True, True], [True] * 3, [False] * 3]
