import torch
from torch.distributions import NegativeBinomial

from benchmarks.peers.cellplm.count_decoder import CountDecoder, negative_binomial_loss


def test_the_negative_binomial():
    counts = torch.tensor([0.0, 1.0, 4.0, 30.0])
    mean, dispersion = torch.tensor([0.2, 3.0, 4.0, 10.0]), torch.tensor([0.5, 1.0, 7.0, 2.0])
    logits = (mean / dispersion).log()
    want = -NegativeBinomial(dispersion, logits=logits).log_prob(counts)
    torch.testing.assert_close(negative_binomial_loss(counts, mean, dispersion), want)


def test_a_covariate_changes_the_counts_of_its_cells_alone():
    torch.manual_seed(0)
    decoder, z = CountDecoder(3, 8, 5, 3, {"batch": 2}, 0.0), torch.randn(4, 3)
    first, dispersion = decoder(z, {"batch": torch.tensor([0, 0, 1, 1])})
    second, _ = decoder(z, {"batch": torch.tensor([0, 1, 1, 1])})
    same = (first == second).all(dim=1)
    assert same.tolist() == [True, False, True, True]
    assert (first > 0).all() and torch.equal(dispersion[0], dispersion[3])
