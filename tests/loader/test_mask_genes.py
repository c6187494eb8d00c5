import pytest
import torch

from stofm_pyg.loader import MaskGenes, TokenBatch
from stofm_pyg.loader.token_batch import IGNORED

MASK, CLS, EOS = 1, 2, 3
GENES = torch.arange(10, 110)


def make_batch(rows=200, genes=40):
    """Rows of one length, so that a batch is a table."""
    torch.manual_seed(0)
    body = GENES[torch.rand(rows, len(GENES)).argsort(dim=1)[:, :genes]]
    column = torch.ones(rows, 1, dtype=torch.int64)
    tokens = torch.cat([CLS * column, body, EOS * column], dim=1)
    return TokenBatch(tokens.flatten(), torch.full((rows,), genes + 2))


def table(x, batch):
    return x.view(batch.lengths.numel(), -1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_how_many_are_chosen_and_never_what_is_no_gene():
    batch = make_batch()
    out = MaskGenes(GENES, MASK)(batch, generator())
    chosen = out.labels != IGNORED
    assert table(chosen, batch).sum(dim=1).tolist() == [6] * 200  # 15 % of 40
    assert not table(chosen, batch)[:, [0, 41]].any()
    assert torch.equal(out.labels[chosen], batch.tokens[chosen])
    assert torch.equal(out.tokens[~chosen], batch.tokens[~chosen])
    assert torch.equal(out.lengths, batch.lengths)


def test_each_of_rows_of_unlike_length_has_its_share():
    lengths = torch.tensor([41, 1, 21, 3])
    tokens = torch.cat([torch.tensor([CLS, *GENES[: n - 1].tolist()]) for n in lengths.tolist()])
    for seed in range(20):
        out = MaskGenes(GENES, MASK)(TokenBatch(tokens, lengths), generator(seed))
        assert out.count(out.labels != IGNORED).tolist() == [6, 0, 3, 1]


def test_the_rule():
    batch = make_batch(rows=2000)
    out = MaskGenes(GENES, MASK)(batch, generator())
    chosen = out.labels != IGNORED
    now, before = out.tokens[chosen], batch.tokens[chosen]
    assert (now == MASK).float().mean().item() == pytest.approx(0.8, abs=0.02)
    # One in a hundred random genes is the same by chance.
    assert (now == before).float().mean().item() == pytest.approx(0.101, abs=0.01)
    swapped = now[(now != MASK) & (now != before)]
    assert swapped.numel() / now.numel() == pytest.approx(0.099, abs=0.01)
    assert torch.isin(swapped, GENES).all() and swapped.unique().numel() > 95


def test_all_masked():
    out = MaskGenes(GENES, MASK, 0.5, 1.0, 0.0)(make_batch(), generator())
    chosen = out.labels != IGNORED
    assert out.count(chosen).tolist() == [20] * 200
    assert (out.tokens[chosen] == MASK).all() and not (out.tokens[~chosen] == MASK).any()


@pytest.mark.parametrize(("genes", "expected"), [(0, 0), (1, 0), (2, 1), (5, 1), (10, 2), (40, 6)])
def test_short_cells(genes, expected):
    out = MaskGenes(GENES, MASK)(make_batch(rows=3, genes=genes), generator())
    assert out.count(out.labels != IGNORED).tolist() == [expected] * 3


def test_all_places_are_as_likely():
    out = MaskGenes(GENES, MASK)(make_batch(rows=4000), generator())
    share = table(out.labels != IGNORED, out).float().mean(dim=0)[1:41]
    assert share.min() > 0.12 and share.max() < 0.18


def test_seeds():
    batch, mask = make_batch(), MaskGenes(GENES, MASK)
    assert torch.equal(mask(batch, generator(1)).labels, mask(batch, generator(1)).labels)
    assert not torch.equal(mask(batch, generator(1)).labels, mask(batch, generator(2)).labels)
    assert (batch.tokens != MASK).all() and batch.labels is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 0.0}, r"'rate' must lie in \(0, 1\] \(got 0.0\)"),
        ({"rate": 1.5}, r"'rate' must lie in \(0, 1\] \(got 1.5\)"),
        ({"mask_share": 0.95}, r"one at most together \(got 0.95 and 0.1\)"),
        ({"random_share": -0.1}, r"\(got 0.8 and -0.1\)"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        MaskGenes(GENES, MASK, **arguments)


def test_no_gene():
    with pytest.raises(ValueError, match="'gene_tokens' is empty"):
        MaskGenes(torch.empty(0))


def test_repr():
    assert repr(MaskGenes(GENES)) == (
        "MaskGenes(100 genes, rate=0.15, mask_share=0.8, random_share=0.1)"
    )
