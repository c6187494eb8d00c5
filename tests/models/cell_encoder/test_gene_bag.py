import numpy as np
import pytest
import torch

from stofm_pyg.data import CellTokens
from stofm_pyg.models.cell_encoder import GeneBag
from stofm_pyg.models.cell_encoder.gene_bag import weigh_genes
from tests.cell_encoders import make_profiles

LENGTHS = tuple(4 + (7 * i) % 9 for i in range(60))


def test_weights_fall_with_rank():
    cells = CellTokens(torch.tensor([9, 3, 5, 9, 9, 4]), torch.tensor([0, 3, 4, 6]))
    found = weigh_genes(cells, 10, sink=2.0, reach=1.0).to_dense()
    expected = torch.zeros(3, 10)
    expected[0, 3], expected[0, 5], expected[2, 4] = 1 / 3.5, 0.5 / 3.5, 1 / 3
    assert torch.allclose(found, expected)


def test_components_are_those_of_scaled_genes_centred_in_each_slice():
    slices = [make_profiles(LENGTHS, seed=seed) for seed in (0, 1)]
    bag = GeneBag.fit(slices, 20, 5)
    x = [weigh_genes(cells, 20, bag.sink).to_dense().double().numpy() for cells in slices]
    x = np.concatenate([part - part.mean(axis=0) for part in x])
    genes = x.std(axis=0) > 0
    u, s, _ = np.linalg.svd(x[:, genes] / x[:, genes].std(axis=0), full_matrices=False)
    expected = np.abs((u * s)[:, :5]) / np.sqrt((s[:5] ** 2).sum() / len(x))
    z = torch.cat([bag(part) - bag(part).mean(dim=0) for part in slices]).numpy()
    assert np.abs(z) == pytest.approx(expected, abs=1e-4)
    assert np.square(z).sum(axis=1).mean() == pytest.approx(1.0, abs=1e-4)
    assert (bag.loadings.gather(0, bag.loadings.abs().argmax(dim=0, keepdim=True)) > 0).all()
    both = torch.cat([bag(part) for part in slices])
    assert torch.allclose(both.mean(dim=0), torch.zeros(5), atol=1e-5)


def test_genes_that_a_slice_lacks_are_no_difference_between_slices():
    full, other = make_profiles(LENGTHS, seed=0), make_profiles(LENGTHS, seed=1)
    keep = (other.tokens >= 8) | (other.tokens == 19)
    length = torch.zeros(60, dtype=torch.long).index_add(
        0, torch.arange(60).repeat_interleave(other.lengths), keep.long()
    )
    ptr = torch.cat([torch.zeros(1, dtype=torch.long), length.cumsum(0)])
    bag = GeneBag.fit([full, CellTokens(other.tokens[keep], ptr)], 20, 20)
    alone = GeneBag.fit([full], 20, 20)
    assert bag.loadings.shape == (20, 17)  # Genes 2 to 18; 0 and 1 are no genes, 19 is CLS.
    # A gene that one slice alone has varies as it does there.
    ratio = bag.loadings[2:8].norm(dim=1) / alone.loadings[2:8].norm(dim=1)
    assert float(ratio.std() / ratio.mean()) < 0.15
    assert (bag.loadings[:2] == 0).all() and (bag.loadings[19] == 0).all()


def test_few_cells():
    bag = GeneBag.fit([make_profiles((1, 1))], 20, 5)
    assert bag.loadings.shape[0] == 20 and (bag.loadings == 0).all()
    assert bag(make_profiles((1, 3))).abs().max() == 0
    assert str(GeneBag.fit([make_profiles(LENGTHS)], 20, 5)) == "GeneBag(20, 5)"
