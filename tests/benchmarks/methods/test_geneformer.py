import pickle
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM

from benchmarks.methods.geneformer import Geneformer, mean_over_genes
from stofm_pyg.data import CellTokens
from stofm_pyg.loader import TokenBatch
from tests.benchmarks.peer_case import (
    GENES,
    PeerData,
    check_cells_are_alone,
    check_learning,
    check_peer,
    make_peer,
)
from tests.cell_encoders import make_encoder

IDS = [f"ENSG{i:011d}" for i in range(12)]


def test_what_holds_for_each_peer():
    peer, out = check_peer(Geneformer)
    assert out[0].shape == (30, 32)
    assert all("contrastive" not in step for step in peer.history)
    check_cells_are_alone(peer, PeerData())


def test_training_lowers_the_loss():
    # Twelve genes leave little to know of one of them: it begins near the logarithm of their number.
    check_learning(Geneformer, share=0.98, max_tokens=600, lr=1e-2)


def test_the_mean_leaves_out_cls():
    encoder = make_encoder()
    cells = CellTokens(torch.tensor([19, 4, 7, 19, 19, 5]), torch.tensor([0, 3, 4, 6]))
    out = mean_over_genes(encoder, TokenBatch.take(cells, torch.arange(3)))
    for row, cell in enumerate(([19, 4, 7], [19], [19, 5])):
        states = encoder.bert(torch.tensor([cell])).last_hidden_state[0]
        want = states[1:].mean(dim=0) if len(cell) > 1 else states[0]
        torch.testing.assert_close(out[row], want, atol=1e-5, rtol=0)


def publish(folder):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=15, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=6,
        max_position_embeddings=16, hidden_act="relu",
    )  # fmt: skip
    model = BertForMaskedLM(config).eval()
    model.save_pretrained(folder)
    tokens = {"<pad>": 0, "<mask>": 1, "<cls>": 2, **{gene: 3 + i for i, gene in enumerate(IDS)}}
    tables = {
        "token_dictionary": tokens,
        "gene_median_dictionary": dict.fromkeys(IDS, 1.0),
        "gene_name_id_dict": dict(zip(GENES, IDS, strict=True)),
    }
    for name, table in tables.items():
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(table))
    return model


def test_published_weights(tmp_path):
    model, data = publish(tmp_path), PeerData()
    names = load_file(tmp_path / "model.safetensors").keys()
    assert {"bert.embeddings.word_embeddings.weight", "cls.predictions.transform.dense.bias"} <= names
    assert {name.split(".")[0] for name in names} == {"bert", "cls"}
    peer = make_peer(Geneformer, checkpoint=str(tmp_path))
    out = peer.embed(data, 5)
    # Without division by a median, ranks are those of counts.
    counts = data.parts[1][7].toarray()[0]
    order = np.lexsort((np.arange(12), -counts))[: (counts > 0).sum()]
    states = model.bert(torch.tensor([[2, *(3 + order)]])).last_hidden_state[0, 1:]
    np.testing.assert_allclose(out[1][7], states.mean(dim=0).detach().numpy(), atol=1e-5)
    assert not peer.learns


@pytest.mark.parametrize("lost", ["bert.encoder.layer.1.output.dense.bias", "cls.predictions.bias"])
def test_weights_that_do_not_fit(tmp_path, lost):
    publish(tmp_path)
    path = tmp_path / "model.safetensors"
    state = load_file(path)

    def refused(changed, text):
        save_file(changed, path, {"format": "pt"})
        with pytest.raises(ValueError, match=text):
            make_peer(Geneformer, checkpoint=str(tmp_path)).embed(PeerData(), 0)

    refused({name: x for name, x in state.items() if name != lost}, f"lacks .*{re.escape(lost)}")
    more = "bert.encoder.layer.7.output.dense.bias"
    refused({**state, more: torch.zeros(8)}, f"no place for.*{re.escape(more)}")
