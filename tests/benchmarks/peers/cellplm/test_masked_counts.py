from itertools import islice

import numpy as np
import torch
from scipy import sparse

from benchmarks.peers.cellplm.masked_counts import random_cells


def test_random_cells_of_one_slice():
    counts = [sparse.csr_matrix(np.arange(2.0 * size).reshape(size, 2) + size) for size in (10, 40)]
    slices = [(x, torch.arange(x.shape[0])[:, None].expand(-1, 2).float()) for x in counts]
    batches = list(islice(random_cells(slices, 20, 0), 40))
    again = list(islice(random_cells(slices, 20, 0), 40))
    for batch, other in zip(batches, again, strict=True):
        number = int(batch.batch[0])
        assert len(batch.counts) == (7, 20)[number] and (batch.batch == number).all()
        rows = batch.pos[:, 0].long()
        assert rows.unique().numel() == len(rows)
        np.testing.assert_array_equal(batch.counts.numpy(), counts[number][rows.numpy()].toarray())
        assert torch.equal(batch.pos, other.pos)
    # Four in five cells are in the larger slice.
    assert 0.5 < np.mean([int(batch.batch[0]) for batch in batches]) < 1
