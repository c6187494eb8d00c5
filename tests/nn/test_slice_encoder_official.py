import pytest
import torch

from tests.golden_case import CASES, GoldenCase, largest_error, run_encoder
from tests.nn.attention_case import FAST, FLEX_WARNING, cut_blocks, use_plain_flex_attention
from tests.nn.encoder_case import gradients, with_evaluator


@pytest.mark.filterwarnings(FLEX_WARNING)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["32", "64"])
@pytest.mark.parametrize("evaluator", ["edgewise", *FAST])
def test_agrees_with_the_official_code(monkeypatch, name, dtype, evaluator):
    if dtype == torch.float64:
        use_plain_flex_attention(monkeypatch)
    case = GoldenCase(name)
    encoder = with_evaluator(case.encoder().to(dtype), evaluator)
    output = run_encoder(encoder, case.batch(dtype))
    assert output.pair.evaluator == evaluator
    assert len(output.hidden_states) == case.num_layers + 1
    for layer, hidden in enumerate(output.hidden_states):
        assert largest_error(hidden, case.nodes(f"out.hidden.{layer}")) <= 1e-5
    assert largest_error(output.x, case.nodes("out.last_hidden_state")) <= 1e-5
    expected = case.pairs("out.pair_rep")
    assert largest_error(output.pair.dense()[case.valid_pairs], expected) <= 1e-5
    assert largest_error(output.pair.pairs(output.pair.all_pairs()), expected) <= 1e-5


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("evaluator", ["dense", "blocked", "fused"])
def test_agrees_with_the_official_code_in_many_blocks(monkeypatch, name, evaluator):
    cut_blocks(monkeypatch, 5)
    use_plain_flex_attention(monkeypatch)
    case = GoldenCase(name)
    output = run_encoder(with_evaluator(case.encoder(), evaluator), case.batch())
    assert len(output.pair.logits.blocks) > 2 * len(output.pair.sizes)
    assert largest_error(output.x, case.nodes("out.last_hidden_state")) <= 1e-5
    assert largest_error(output.pair.dense()[case.valid_pairs], case.pairs("out.pair_rep")) <= 1e-5


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    ("dtype", "tolerance", "rows"),
    [(torch.float32, 1e-5, None), (torch.float64, 1e-11, 8)],
    ids=["32, whole", "64, many blocks"],
)
def test_gradients_agree_on_the_official_case(monkeypatch, name, dtype, tolerance, rows):
    use_plain_flex_attention(monkeypatch)
    if rows is not None:
        cut_blocks(monkeypatch, rows)
    case, results = GoldenCase(name), []
    batch = case.batch(dtype)
    weight = torch.sin(torch.arange(case.nodes("out.last_hidden_state").numel())).to(dtype)
    for evaluator in ("edgewise", *FAST):
        encoder = with_evaluator(case.encoder().to(dtype), evaluator)
        output = run_encoder(encoder, batch)
        loss = (output.x.flatten() * weight).sum()
        loss = loss + output.pair.pairs(batch.pair_index).square().mean()
        results.append(gradients(encoder, loss))
    for others in results[1:]:
        for actual, expected in zip(others, results[0], strict=True):
            # The gradient of the one shift of all distances is a sum of large terms that cancel out.
            assert (actual - expected).abs().max() <= tolerance * expected.abs().max().clamp(min=0.1)


@pytest.mark.parametrize("name", CASES)
def test_double_follows_single_precision(name):
    case = GoldenCase(name)
    single = run_encoder(case.encoder(), case.batch())
    double = run_encoder(case.encoder().double(), case.batch(torch.float64))
    for ours, theirs in zip(single.hidden_states, double.hidden_states, strict=True):
        assert ours.dtype == torch.float32 and theirs.dtype == torch.float64
        assert largest_error(ours, theirs) <= 1e-5
    assert largest_error(single.pair.dense(), double.pair.dense()) <= 1e-5


@pytest.mark.parametrize("name", CASES)
def test_without_gradient_agrees_with_the_official_code(name):
    case = GoldenCase(name)
    with torch.no_grad():
        output = run_encoder(case.encoder(), case.batch())
    assert largest_error(output.x, case.nodes("out.last_hidden_state")) <= 1e-5
    assert largest_error(output.pair.dense()[case.valid_pairs], case.pairs("out.pair_rep")) <= 1e-5
