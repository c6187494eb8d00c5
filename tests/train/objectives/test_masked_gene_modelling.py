import math

import pytest
import torch
import torch.nn.functional as F

from stofm_pyg.models.cell_encoder.gene_head import GeneHead
from stofm_pyg.train import MaskedGeneModelling


def make_head(channels, vocab_size, act="gelu"):
    torch.manual_seed(0)
    head = GeneHead(channels, vocab_size, act)
    torch.nn.init.normal_(head.bias)
    return head


def test_by_hand():
    # A head whose linear map is the identity and whose norm gives (1, -1): logits are what the table
    # says, (1, 0, -2) . (1, -1) plus bias.
    head = GeneHead(2, 3, "relu", eps=0.0)
    head.lin.weight.data = torch.eye(2)
    head.bias.data = torch.tensor([0.0, 0.5, 0.0])
    table = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    states = torch.tensor([[[5.0, 3.0], [9.0, 9.0]]])
    labels = torch.tensor([[1, -100]])
    loss, accuracy = MaskedGeneModelling(3)(states, labels, head, table)
    logits = [1.0, 0.5, -2.0]
    total = sum(math.exp(logit) for logit in logits)
    assert loss.item() == pytest.approx(-math.log(math.exp(0.5) / total), abs=1e-5)
    assert accuracy.item() == 0.0
    _, accuracy = MaskedGeneModelling(3)(states, torch.tensor([[0, -100]]), head, table)
    assert accuracy.item() == 1.0


def test_only_masked_positions_count():
    head, table = make_head(4, 7), torch.randn(7, 4)
    states, labels = torch.randn(2, 5, 4), torch.full((2, 5), -100)
    labels[0, 1], labels[1, 3], labels[1, 4] = 3, 0, 6
    loss, accuracy = MaskedGeneModelling(7)(states, labels, head, table)
    logits = head(states, table)
    expected = F.cross_entropy(logits.view(-1, 7), labels.view(-1))
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
    found = (logits.argmax(-1) == labels)[labels >= 0]
    assert accuracy.item() == pytest.approx(found.float().mean().item())


def test_among_some_tokens():
    head, table = make_head(4, 9), torch.randn(9, 4)
    states, labels = torch.randn(1, 3, 4), torch.tensor([[2, -100, 8]])
    mgm = MaskedGeneModelling(9, torch.tensor([8, 2, 5, 5]))
    assert mgm.tokens.tolist() == [2, 5, 8]
    logits = head(states[0, [0, 2]], table)[:, [2, 5, 8]]
    assert torch.allclose(mgm.logits(states[0, [0, 2]], head, table), logits, atol=1e-6)
    loss, accuracy = mgm(states, labels, head, table)
    truth = torch.tensor([0, 2])
    assert loss.item() == pytest.approx(F.cross_entropy(logits, truth).item(), abs=1e-6)
    assert accuracy.item() == (logits.argmax(-1) == truth).float().mean().item()


def test_tokens_that_cannot_be_the_answer_are_left_alone():
    head, table = make_head(4, 6), torch.randn(6, 4, requires_grad=True)
    mgm = MaskedGeneModelling(6, torch.tensor([2, 4]))
    mgm(torch.randn(1, 2, 4), torch.tensor([[2, 4]]), head, table)[0].backward()
    assert table.grad[[0, 1, 3, 5]].abs().max() == 0 and table.grad[[2, 4]].abs().min() > 0
    assert head.bias.grad[[0, 1, 3, 5]].abs().max() == 0


def test_nothing_masked():
    states = torch.randn(1, 2, 4, requires_grad=True)
    labels = torch.full((1, 2), -100)
    loss, accuracy = MaskedGeneModelling(6)(states, labels, make_head(4, 6), torch.randn(6, 4))
    loss.backward()
    assert loss.item() == 0 and accuracy.item() == 0 and states.grad.abs().sum() == 0


def test_an_answer_that_is_not_among_the_tokens():
    mgm = MaskedGeneModelling(6, torch.tensor([2, 4]))
    with pytest.raises(ValueError, match="1 masked genes are not among the 'tokens'.* token 3"):
        mgm(torch.randn(1, 2, 4), torch.tensor([[2, 3]]), make_head(4, 6), torch.randn(6, 4))


@pytest.mark.parametrize("tokens", [[], [-1, 2], [3, 6]])
def test_bad_tokens(tokens):
    with pytest.raises(ValueError, match="'tokens' must be some of 0 to 5"):
        MaskedGeneModelling(6, torch.tensor(tokens, dtype=torch.int64))


def test_repr():
    assert repr(MaskedGeneModelling(6, torch.tensor([1, 2]))) == "MaskedGeneModelling(2 of 6 tokens)"
