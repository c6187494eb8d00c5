import pytest
import torch

from stofm_pyg.loader import SubsampleGenes, TokenBatch

CLS, EOS, PAD = 2, 3, 0


def make_batch(lengths, eos=False):
    width = max(lengths) + 1 + eos
    ids = torch.full((len(lengths), width), PAD)
    for row, n in enumerate(lengths):
        tokens = [CLS, *range(10, 10 + n), *([EOS] if eos else [])]
        ids[row, : len(tokens)] = torch.tensor(tokens)
    return TokenBatch(ids, ids != PAD, cells=torch.arange(len(lengths)))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_genes_keep_their_order_and_cls_stays():
    batch = make_batch([30, 20, 0])
    for seed in range(20):
        out = SubsampleGenes(0.3)(batch, generator(seed))
        assert out.input_ids[:, 0].tolist() == [CLS] * 3
        for row, n in enumerate([30, 20, 0]):
            kept = out.input_ids[row][out.attention_mask[row]][1:]
            assert (kept.diff() > 0).all() and 0.3 * n - 0.5 <= kept.numel() <= n
            assert torch.isin(kept, torch.arange(10, 10 + n)).all()
        assert (out.input_ids[~out.attention_mask] == PAD).all()
        assert out.attention_mask.sum(dim=1).max() == out.input_ids.size(1)
        assert out.cells.tolist() == [0, 1, 2]


def test_the_share_is_one_for_a_batch_and_differs_between_batches():
    batch = make_batch([40] * 8)
    sizes = set()
    for seed in range(200):
        lengths = SubsampleGenes(0.5)(batch, generator(seed)).attention_mask.sum(dim=1) - 1
        assert lengths.unique().numel() == 1
        sizes.add(int(lengths[0]))
    assert min(sizes) in (20, 21) and max(sizes) in (39, 40) and len(sizes) > 18


def test_all_genes_may_stay_or_go():
    batch = make_batch([20] * 500)
    out = SubsampleGenes(0.5)(batch, generator(1))
    kept = torch.stack([(out.input_ids == gene).any(dim=1).float().mean() for gene in range(10, 30)])
    share = (out.attention_mask.sum(dim=1) - 1)[0] / 20
    assert (kept - share).abs().max() < 0.1


def test_eos_stays():
    out = SubsampleGenes(0.3, eos_token_id=EOS)(make_batch([20, 10], eos=True), generator(3))
    last = out.attention_mask.sum(dim=1) - 1
    assert out.input_ids.gather(1, last[:, None]).view(-1).tolist() == [EOS, EOS]


def test_everything_is_kept_at_one():
    batch = make_batch([7, 4])
    out = SubsampleGenes(1.0)(batch, generator())
    assert torch.equal(out.input_ids, batch.input_ids)


def test_masked_genes_are_refused():
    batch = make_batch([4])
    masked = TokenBatch(batch.input_ids, batch.attention_mask, batch.input_ids)
    with pytest.raises(ValueError, match="apply SubsampleGenes before MaskGenes"):
        SubsampleGenes()(masked, generator())


@pytest.mark.parametrize("bad", [0.0, -0.2, 1.2])
def test_bad_share(bad):
    with pytest.raises(ValueError, match=rf"'min_share' must lie in \(0, 1\] \(got {bad}\)"):
        SubsampleGenes(bad)


def test_repr():
    assert repr(SubsampleGenes(0.4)) == "SubsampleGenes(min_share=0.4)"
