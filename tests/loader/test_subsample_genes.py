import pytest
import torch

from stofm_pyg.loader import SubsampleGenes, TokenBatch

CLS, EOS = 2, 3


def make_batch(lengths, eos=False):
    rows = [[CLS, *range(10, 10 + n), *([EOS] if eos else [])] for n in lengths]
    sizes = torch.tensor([len(row) for row in rows])
    return TokenBatch(torch.tensor(sum(rows, [])), sizes, cells=torch.arange(len(rows)))


def rows(batch):
    return batch.tokens.split(batch.lengths.tolist())


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_genes_keep_their_order_and_cls_stays():
    batch = make_batch([30, 20, 0])
    for seed in range(20):
        out = SubsampleGenes(0.3)(batch, generator(seed))
        for row, n in zip(rows(out), [30, 20, 0], strict=True):
            kept = row[1:]
            assert row[0] == CLS
            assert (kept.diff() > 0).all() and 0.3 * n - 0.5 <= kept.numel() <= n
            assert torch.isin(kept, torch.arange(10, 10 + n)).all()
        assert out.cells.tolist() == [0, 1, 2]


def test_the_share_is_one_for_a_batch_and_differs_between_batches():
    batch = make_batch([40] * 8)
    sizes = set()
    for seed in range(200):
        lengths = SubsampleGenes(0.5)(batch, generator(seed)).lengths - 1
        assert lengths.unique().numel() == 1
        sizes.add(int(lengths[0]))
    assert min(sizes) in (20, 21) and max(sizes) in (39, 40) and len(sizes) > 18


def test_all_genes_may_stay_or_go():
    batch = make_batch([20] * 500)
    out = SubsampleGenes(0.5)(batch, generator(1))
    kept = torch.stack([(out.tokens == gene).sum() / 500 for gene in range(10, 30)])
    share = (out.lengths[0] - 1) / 20
    assert (kept - share).abs().max() < 0.1


def test_eos_stays():
    out = SubsampleGenes(0.3, eos_token_id=EOS)(make_batch([20, 10], eos=True), generator(3))
    assert [int(row[-1]) for row in rows(out)] == [EOS, EOS]


def test_everything_is_kept_at_one():
    batch = make_batch([7, 4])
    out = SubsampleGenes(1.0)(batch, generator())
    assert torch.equal(out.tokens, batch.tokens) and torch.equal(out.lengths, batch.lengths)


def test_masked_genes_are_refused():
    batch = make_batch([4])
    masked = TokenBatch(batch.tokens, batch.lengths, batch.tokens)
    with pytest.raises(ValueError, match="apply SubsampleGenes before MaskGenes"):
        SubsampleGenes()(masked, generator())


@pytest.mark.parametrize("bad", [0.0, -0.2, 1.2])
def test_bad_share(bad):
    with pytest.raises(ValueError, match=rf"'min_share' must lie in \(0, 1\] \(got {bad}\)"):
        SubsampleGenes(bad)


def test_repr():
    assert repr(SubsampleGenes(0.4)) == "SubsampleGenes(min_share=0.4)"
