import pytest
import torch

from stofm_pyg.data import CellTokens
from stofm_pyg.loader import MaskGenes, TokenBatch
from stofm_pyg.loader.token_batch import IGNORED

CELLS = CellTokens(torch.tensor([0, 1, 2, 100, 200, 201]), torch.tensor([0, 3, 4, 6]))


def test_take():
    batch = TokenBatch.take(CELLS, torch.tensor([2, 0]))
    assert batch.tokens.tolist() == [200, 201, 0, 1, 2] and batch.lengths.tolist() == [2, 3]
    assert batch.ptr.tolist() == [0, 2, 5] and batch.rows.tolist() == [0, 0, 1, 1, 1]
    assert batch.tokens.dtype == torch.int64 and batch.cells.tolist() == [2, 0]
    assert batch.num_tokens == 5 and batch.labels is None and batch.num_views == 1


def test_views_are_stacked_one_after_the_other():
    index = torch.tensor([0, 2])
    views = [TokenBatch.take(cells, index) for cells in (CELLS, CELLS.truncate(1))]
    both = TokenBatch.stack(views)
    assert both.tokens.tolist() == [0, 1, 2, 200, 201, 0, 200]
    assert both.lengths.tolist() == [3, 2, 1, 1]
    assert both.num_views == 2 and both.labels is None and both.cells.tolist() == [0, 2]


def test_labels_are_stacked():
    mask = MaskGenes(torch.arange(3), mask_token_id=50, rate=1.0, mask_share=1.0, random_share=0.0)
    generator = torch.Generator().manual_seed(0)
    index = torch.tensor([0, 1])
    views = [mask(TokenBatch.take(part, index), generator) for part in (CELLS, CELLS.truncate(2))]
    assert TokenBatch.stack(views).labels.tolist() == [0, 1, 2, IGNORED, 0, 1, IGNORED]


@pytest.mark.parametrize("num_rows", [1, 3, 5000])
def test_random_ranks(num_rows):
    lengths = 1 + torch.arange(num_rows) % 7
    batch = TokenBatch(torch.arange(int(lengths.sum())), lengths)
    generator = torch.Generator().manual_seed(0)
    among = torch.rand(batch.num_tokens, generator=generator) < 0.5
    ranks = batch.random_ranks(among, generator)
    for row, mask in zip(ranks.split(lengths.tolist()), among.split(lengths.tolist()), strict=True):
        assert sorted(row.tolist()) == list(range(row.numel()))
        assert (row < mask.sum()).tolist() == mask.tolist()


def test_all_orders_are_as_likely():
    batch = TokenBatch(torch.zeros(18_000, dtype=torch.int64), torch.full((6000,), 3))
    ranks = batch.random_ranks(batch.tokens == 0, torch.Generator().manual_seed(1)).view(-1, 3)
    _, counts = ranks.unique(dim=0, return_counts=True)
    assert counts.numel() == 6 and counts.min() > 900 and counts.max() < 1100


def test_to_another_device():
    batch = TokenBatch.take(CELLS, torch.tensor([1])).to("meta")
    assert batch.tokens.is_meta and batch.lengths.is_meta and batch.cells.is_meta
    assert batch.labels is None and batch.num_views == 1
