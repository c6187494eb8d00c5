import pytest
import torch

import stofm_pyg.nn.attention.fused_attention
from stofm_pyg.nn import PairRepresentation
from stofm_pyg.nn.attention.block_attention import block_attention
from stofm_pyg.nn.attention.fused_attention import fused_attention
from tests.nn.attention_case import (
    FLEX_WARNING,
    SPECIAL,
    assert_near,
    attention_by_pairs,
    cut_blocks,
    plain_flex_attention,
    random_layers,
    random_pair,
    use_plain_flex_attention,
    valid_nodes,
)

pytestmark = pytest.mark.filterwarnings(FLEX_WARNING)


def with_layers(pair, *channels):
    layers = random_layers(pair, *channels)
    for query, key, _ in layers:
        pair.append(query, key)
        pair.logits.append(query, key)
    return layers[-1][2]


@pytest.fixture(params=[True, False], ids=["plain", "flex"])
def plain(request, monkeypatch):
    if request.param:
        use_plain_flex_attention(monkeypatch)


# More than 32 and more than 64 nodes too, since the pairs to leave out are bits of such numbers.
@pytest.mark.parametrize("sizes", [(1,), (7, 4, 2), (35, 8), (60, 32, 70)])
@pytest.mark.parametrize("special", [(), (2,), (1, 2, 2), SPECIAL, (1, 1)], ids=str)
@pytest.mark.parametrize("rows", [None, 5])
def test_is_block_attention(monkeypatch, sizes, special, rows):
    use_plain_flex_attention(monkeypatch)
    if rows is not None:
        cut_blocks(monkeypatch, rows)
    pair = random_pair(sizes, special, evaluator="fused")
    value = with_layers(pair, 4, 3)
    for layer in (1, 2):
        actual = fused_attention(pair.logits, layer, value)
        expected = block_attention(pair.logits, layer, value)
        valid = valid_nodes(pair)
        assert_near(actual[:, valid], expected[:, valid], 1e-12)
        assert actual.isfinite().all()
    assert_near(actual[:, valid], attention_by_pairs(pair, value)[:, valid], 1e-12)


def test_by_flex_attention_itself(monkeypatch):
    cut_blocks(monkeypatch, 16)
    pair = random_pair((40,), evaluator="fused")
    value = with_layers(pair, 4, 3)
    actual = fused_attention(pair.logits, 2, value)
    valid = valid_nodes(pair)
    assert_near(actual[:, valid], attention_by_pairs(pair, value)[:, valid], 1e-12)
    use_plain_flex_attention(monkeypatch)
    assert_near(fused_attention(pair.logits, 2, value), actual, 1e-12)


def test_single_precision():
    pair = random_pair((40, 20), evaluator="fused", dtype=torch.float32)
    value = with_layers(pair, 8, 8)
    actual, valid = fused_attention(pair.logits, 2, value), valid_nodes(pair)
    assert actual.dtype == torch.float32
    assert_near(actual[:, valid], attention_by_pairs(pair, value)[:, valid], 1e-5)


@pytest.mark.parametrize("far", [-1000.0, 1000.0])
def test_far_pairs_that_outweigh_or_vanish(monkeypatch, far):
    use_plain_flex_attention(monkeypatch)
    pair = random_pair((20, 9), evaluator="fused")
    pair.far = torch.full_like(pair.far, far)
    value = with_layers(pair, 4)
    actual, valid = fused_attention(pair.logits, 1, value), valid_nodes(pair)
    assert_near(actual[:, valid], attention_by_pairs(pair, value)[:, valid], 1e-12)


@pytest.mark.parametrize("kind", ["all", "none"])
def test_every_pair_an_edge_or_none(plain, kind):
    edge_index = torch.triu_indices(9, 9, 1)[:, : 0 if kind == "none" else None]
    bias = torch.linspace(-1, 1, 2 * edge_index.size(1), dtype=torch.float64).view(-1, 2)
    far = torch.tensor([0.5, -2.0], dtype=torch.float64)
    pair = PairRepresentation(edge_index, bias, far, 9, evaluator="fused")
    value = with_layers(pair, 3)
    assert_near(fused_attention(pair.logits, 1, value), attention_by_pairs(pair, value), 1e-12)


def test_near_pairs_a_few_at_a_time(monkeypatch):
    use_plain_flex_attention(monkeypatch)
    pair = random_pair(evaluator="fused")
    value = with_layers(pair, 4, 3)
    expected = fused_attention(pair.logits, 2, value)
    for products in (1, 14, 100):
        monkeypatch.setattr(stofm_pyg.nn.attention.fused_attention, "MAX_PRODUCTS", products)
        assert_near(fused_attention(pair.logits, 2, value), expected, 1e-12)


def test_too_many_channels(monkeypatch):
    use_plain_flex_attention(monkeypatch)
    pair = random_pair(evaluator="fused")
    value = with_layers(pair, 200, 56, 1)
    with pytest.raises(ValueError) as error:
        fused_attention(pair.logits, 3, value)
    assert str(error.value) == (
        "The fused evaluator takes up to 256 channels a head, summed over the layers (got 257 after 3 "
        "layers); use evaluator='blocked'"
    )
    valid = valid_nodes(pair)
    expected = block_attention(pair.logits, 2, value)
    assert_near(fused_attention(pair.logits, 2, value)[:, valid], expected[:, valid], 1e-10)


@pytest.mark.parametrize(
    ("channels", "wide"), [((3,), (16, 16)), ((20, 24), (64, 32)), ((16,), (16, 16))], ids=str
)
def test_widths_are_those_that_the_kernel_takes(monkeypatch, channels, wide):
    widths = []

    def note(query, key, value, **kwargs):
        widths.append((query.size(-1), value.size(-1)))
        assert key.size(-1) == query.size(-1)
        return plain_flex_attention(query, key, value, **kwargs)

    monkeypatch.setattr(stofm_pyg.nn.attention.fused_attention, "flex_attention", note)
    pair = random_pair((9, 5), evaluator="fused")
    value = with_layers(pair, *channels)
    actual, valid = fused_attention(pair.logits, len(channels), value), valid_nodes(pair)
    assert set(widths) == {wide} and actual.size(-1) == channels[-1]
    assert_near(actual[:, valid], attention_by_pairs(pair, value)[:, valid], 1e-12)
