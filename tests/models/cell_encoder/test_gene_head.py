import torch
from transformers import BertConfig, BertForMaskedLM

from stofm_pyg.models.cell_encoder.gene_head import GeneHead
from stofm_pyg.models.cell_encoder.geneformer import HEAD


def test_it_is_the_head_of_a_bert_for_masked_words():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=11, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        hidden_act="gelu", layer_norm_eps=1e-5,
    )  # fmt: skip
    theirs = BertForMaskedLM(config).cls.predictions
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.copy_(torch.randn_like(weight))
    ours = GeneHead(8, 11, act="gelu", eps=1e-5)
    ours.load_state_dict({name: theirs.state_dict()[key] for name, key in HEAD.items()})
    x = torch.randn(4, 8)
    assert torch.allclose(ours(x, theirs.decoder.weight), theirs(x), atol=1e-5)
    assert str(ours) == "GeneHead(8, 11)"
    ours.reset_parameters()
    assert ours.bias.abs().sum() == 0 and ours.lin.weight.std() < 0.05
