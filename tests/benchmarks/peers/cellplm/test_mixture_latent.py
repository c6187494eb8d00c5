import torch
from torch.distributions import Normal, kl_divergence

from benchmarks.peers.cellplm.mixture_latent import FREE_NATS, MixtureLatent, gaussian_divergence


def test_the_divergence_of_gaussians():
    torch.manual_seed(0)
    mean, prior_mean = torch.randn(2, 4, 3)
    var, prior_var = torch.rand(2, 4, 3) + 0.1
    want = kl_divergence(Normal(mean, var.sqrt()), Normal(prior_mean, prior_var.sqrt())).sum(dim=-1)
    torch.testing.assert_close(gaussian_divergence(mean, var, prior_mean, prior_var), want)


def test_an_embedding_is_the_mean_in_the_likeliest_cluster():
    torch.manual_seed(0)
    latent, x = MixtureLatent(6, 2, 5, 3), torch.randn(8, 6)
    logits = latent.inference.logits(x)
    out = latent.embed(x)
    for cell in range(8):
        cluster = torch.eye(3)[logits[cell].argmax()][None]
        torch.testing.assert_close(out[cell], latent.inference.place(x[cell : cell + 1], cluster)[0][0])
    assert torch.equal(out, latent.embed(x))  # Nothing is drawn.


def test_places_are_drawn_and_small_divergences_are_free():
    torch.manual_seed(0)
    latent, x = MixtureLatent(6, 2, 5, 3), torch.randn(8, 6)
    with torch.no_grad():  # Far from the prior.
        latent.inference.inference_qzyx[2].mu.bias.fill_(30.0)
    z, far = latent(x)
    assert z.shape == (8, 2) and abs(z.detach().mean() - 30) < 2
    assert not torch.equal(z, latent(x)[0]) and far > 2 * FREE_NATS
    with torch.no_grad():
        latent.inference.inference_qzyx[2].mu.bias.zero_()
    assert latent(x)[1].detach() == 2 * FREE_NATS
