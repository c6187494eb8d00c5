import logging
import re

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertForMaskedLM, BertModel

import stofm_pyg.models.cell_encoder.model as module
from stofm_pyg.data import CellTokens, GeneVocab
from stofm_pyg.models.cell_encoder.feature_scale import FeatureScale
from stofm_pyg.models.cell_encoder.model import CellEncoder
from tests.cell_encoders import (
    RAGGED,
    make_cells,
    make_encoder,
    transformers_embedding,
    transformers_states,
    write_golden,
)


def make_vocab(size=20, name="G"):
    genes = {f"{name}{i}": i for i in range(2, size - 1)}
    return GeneVocab(genes, dict.fromkeys(genes, 1.0))


def same_weights(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_official_numbers(tmp_path):
    cells, expected = write_golden(tmp_path / "official")
    encoder = CellEncoder.from_official(tmp_path / "official")
    assert str(encoder) == "CellEncoder(293, 16, num_layers=2, heads=2, out_channels=12)"
    assert encoder.max_length == 126 and not encoder.bert.training
    for token_budget in (None, 1, 300):
        assert torch.allclose(encoder.encode(cells, token_budget), expected, atol=1e-5)
    with torch.no_grad():
        assert torch.allclose(encoder.eval()(cells), expected, atol=1e-5)


@pytest.mark.realdata
def test_official_numbers_of_the_whole_vocabulary(golden):
    encoder = CellEncoder.from_official(golden / "cell_encoder")
    given = load_file(golden / "tokens.safetensors")
    cells = CellTokens(given["tokens"], given["token_ptr"])[:64]
    cls = CellTokens(torch.full((64,), 25426), torch.arange(65))
    both = CellTokens.concat([cls, cells])[torch.arange(128).view(2, 64).t().flatten()]
    cells = CellTokens(both.tokens, both.ptr[::2]).truncate(512)
    assert torch.allclose(encoder.encode(cells), given["cell_embedding"], atol=1e-5)


def test_the_default_is_the_shape_of_geneformer():
    encoder = CellEncoder(30)
    assert str(encoder) == "CellEncoder(30, 256, num_layers=6, heads=4, out_channels=256)"
    config = encoder.bert.config
    assert (config.hidden_size, config.intermediate_size, config.num_attention_heads) == (256, 512, 4)
    assert (config.max_position_embeddings, config.hidden_act) == (2048, "relu")
    assert config.hidden_dropout_prob == config.attention_probs_dropout_prob == 0.02
    assert (config.layer_norm_eps, config.pad_token_id, config.type_vocab_size) == (1e-12, 0, 2)


@pytest.mark.parametrize("act", ["relu", "gelu"])
def test_encode_and_forward_are_the_model_of_transformers(act):
    encoder, cells = make_encoder(act=act), make_cells()
    with torch.no_grad():
        expected = transformers_embedding(encoder, cells)
    assert torch.allclose(encoder.encode(cells), expected, atol=1e-5)
    assert torch.allclose(encoder(cells), expected, atol=1e-5)


def test_gradients_are_those_of_transformers():
    encoder, cells = make_encoder(), make_cells()
    weight = torch.randn(len(RAGGED), 6)
    named = {key: x for key, x in encoder.named_parameters()}
    ours, theirs = (
        torch.autograd.grad((out * weight).sum(), list(named.values()))
        for out in (encoder(cells), transformers_embedding(encoder, cells))
    )
    assert "proj.weight" in named and "bert.embeddings.word_embeddings.weight" in named
    for name, a, b in zip(named, ours, theirs, strict=True):
        assert torch.allclose(a, b, atol=1e-5 * float(1 + b.abs().max())), name


def test_hidden_states_are_in_the_order_of_the_tokens():
    encoder, cells = make_encoder(), make_cells()
    with torch.no_grad():
        padded, mask = transformers_states(encoder, cells)
    states = encoder.hidden_states(cells.tokens, cells.lengths)
    assert torch.allclose(states, padded[mask], atol=1e-5)
    states.sum().backward()
    assert encoder.bert.embeddings.word_embeddings.weight.grad.abs().sum() > 0


def test_dropout_is_of_training_alone_and_encode_has_none():
    encoder, cells = make_encoder(dropout=0.3), make_cells()
    expected = encoder.encode(cells)
    encoder.train()
    assert not torch.allclose(encoder(cells), encoder(cells))
    assert torch.equal(encoder.encode(cells), expected) and encoder.training


def test_cells_without_genes_and_no_cells():
    encoder = make_encoder()
    cells = make_cells((1, 4, 1))
    x = encoder.encode(cells)
    assert torch.allclose(x[0], x[2], atol=1e-6) and not torch.allclose(x[0], x[1], atol=1e-2)
    with torch.no_grad():
        assert torch.allclose(x, transformers_embedding(encoder, cells), atol=1e-5)
    assert encoder.encode(cells[:0]).shape == (0, 6)


def test_in_another_type():
    encoder, cells = make_encoder(), make_cells()
    expected = encoder.encode(cells)
    half = encoder.encode(cells, dtype=torch.bfloat16)
    assert half.dtype == torch.float32 and 1e-5 < (half - expected).abs().max() < 0.1
    assert torch.allclose(encoder.double().encode(cells), expected, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    encoder, cells = make_encoder(hidden_channels=32), make_cells()
    expected = encoder.encode(cells)
    for token_budget in (1, 20, None):
        x = encoder.encode(cells, token_budget, device="cuda", dtype=torch.float32)
        assert torch.allclose(x, expected, atol=1e-5)
    single = encoder.cuda().encode(cells)
    assert single.device.type == "cpu" and torch.allclose(single, expected, atol=1e-5)
    half = encoder.encode(cells, dtype=torch.bfloat16)
    assert half.device.type == "cpu" and 1e-5 < (half - expected).abs().max() < 0.1
    assert torch.allclose(encoder(cells).cpu(), expected, atol=1e-5)


def test_tokens_that_do_not_fit():
    encoder = make_encoder()
    for embed in (encoder.encode, encoder):
        with pytest.raises(ValueError, match="Cell 1 has token 20, the encoder knows tokens 0 to 19"):
            embed(with_token(20))
        with pytest.raises(ValueError, match="Cell 1 has 17 tokens, .* more than the 16 that"):
            embed(make_cells((3, 17)))
    with pytest.raises(ValueError, match="Cell 1 has token 20"):
        encoder.hidden_states(with_token(20).tokens, with_token(20).lengths)


def with_token(token):
    return CellTokens(torch.tensor([19, 2, 19, token]), torch.tensor([0, 2, 4]))


def test_another_vocabulary():
    vocab, other = make_vocab(), make_vocab(21)
    encoder = make_encoder(vocab_fingerprint=vocab.fingerprint)
    encoder.check_vocab(vocab)
    make_encoder().check_vocab(vocab)
    for odd, message in (
        (other, f"The vocabulary {other} ({other.fingerprint[:12]}) and the encoder {encoder} "),
        (make_vocab(20, "H"), "do not fit"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            encoder.check_vocab(odd)
    with pytest.raises(ValueError, match="of an unknown vocabulary"):
        make_encoder().check_vocab(other)

    assert encoder.encode(make_cells(fingerprint=vocab.fingerprint)).shape == (10, 6)
    assert torch.equal(encoder.encode(make_cells()), make_encoder().encode(make_cells(fingerprint="x")))
    for embed in (encoder, encoder.encode):
        with pytest.raises(ValueError, match=f"of vocabulary {other.fingerprint[:12]}, the encoder"):
            embed(make_cells(fingerprint=other.fingerprint))


def test_save_and_load(tmp_path):
    encoder = make_encoder(gene_head=True, vocab_fingerprint="abc", act="gelu", dropout=0.1)
    encoder.save_pretrained(tmp_path / "new" / "encoder")
    names = {path.name for path in (tmp_path / "new" / "encoder").iterdir()}
    assert names == {"cell_bert", "cell_proj.bin", "gene_head.safetensors", "encoder.json"}
    again = CellEncoder.from_pretrained(tmp_path / "new" / "encoder")
    assert same_weights(again, encoder) and str(again) == str(encoder)
    assert again.vocab_fingerprint == "abc" and again.bert.config.hidden_dropout_prob == 0.1
    cells = make_cells()
    assert torch.equal(again.encode(cells), encoder.encode(cells))
    states = torch.randn(3, 16)
    assert torch.equal(again.gene_logits(states), encoder.gene_logits(states))

    without = CellEncoder.from_official(tmp_path / "new" / "encoder")
    assert without.gene_head is None and torch.equal(without.encode(cells), encoder.encode(cells))
    without.save_pretrained(tmp_path / "new" / "encoder")
    assert CellEncoder.from_pretrained(tmp_path / "new" / "encoder").gene_head is None


def test_scaled_embeddings(tmp_path):
    encoder, cells = make_encoder(), make_cells()
    plain = encoder.encode(cells)
    encoder.scale = FeatureScale.fit([plain], 5)
    assert encoder.out_channels == encoder.scale.num_features == 5
    expected = (plain - plain.mean(dim=0)) @ encoder.scale.weight
    assert torch.allclose(encoder.encode(cells), expected, atol=1e-4)
    assert torch.allclose(encoder(cells), expected, atol=1e-4)
    encoder.save_pretrained(tmp_path)
    again = CellEncoder.from_pretrained(tmp_path)
    assert torch.equal(again.encode(cells), encoder.encode(cells))
    assert torch.equal(CellEncoder.from_official(tmp_path).encode(cells), plain)
    CellEncoder.from_official(tmp_path).save_pretrained(tmp_path)
    assert CellEncoder.from_pretrained(tmp_path).scale is None


def test_the_official_code_can_read_what_is_saved(tmp_path):
    encoder, cells = make_encoder(), make_cells()
    encoder.save_pretrained(tmp_path)
    bert = BertModel.from_pretrained(tmp_path / "cell_bert", local_files_only=True)
    proj = torch.nn.Linear(16, 6)
    proj.load_state_dict(torch.load(tmp_path / "cell_proj.bin"))
    official = make_encoder(seed=1)
    official.bert, official.proj = bert.eval(), proj
    with torch.no_grad():
        assert torch.allclose(transformers_embedding(official, cells), encoder.encode(cells), atol=1e-5)


@pytest.mark.parametrize("name", ["cell_bert", "cell_proj.bin"])
def test_half_an_encoder(tmp_path, name):
    make_encoder().save_pretrained(tmp_path)
    (tmp_path / name).rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match=f"has no '{name}'"):
        CellEncoder.from_pretrained(tmp_path)


def write_geneformer(directory):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=19, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        hidden_act="relu", max_position_embeddings=16,
    )  # fmt: skip
    model = BertForMaskedLM(config).eval()
    model.save_pretrained(directory)
    return model


@pytest.mark.parametrize("gene_head", [False, True])
def test_from_geneformer(tmp_path, caplog, gene_head):
    model, vocab = write_geneformer(tmp_path), make_vocab(20)
    with caplog.at_level(logging.INFO, "stofm_pyg"):
        encoder = CellEncoder.from_geneformer(tmp_path, vocab, out_channels=6, gene_head=gene_head)
    assert ("cls.predictions.bias" in caplog.text) == (not gene_head)
    assert encoder.vocab_size == 20 and encoder.vocab_fingerprint == vocab.fingerprint
    encoder.check_vocab(vocab)
    # A cell without the new token, CLS, has the states that it had.
    tokens = torch.tensor([5, 3, 7, 11])
    states = encoder.eval().hidden_states(tokens, torch.tensor([4]))
    with torch.no_grad():
        expected = model.bert(tokens.view(1, -1)).last_hidden_state[0]
        assert torch.allclose(states, expected, atol=1e-5)
        if gene_head:
            logits = encoder.gene_logits(states)
            assert logits.shape == (4, 20)
            expected = model(tokens.view(1, -1)).logits[0]
            assert torch.allclose(logits[:, :19], expected, atol=1e-5)
        else:
            with pytest.raises(ValueError, match="no head for masked genes"):
                encoder.gene_logits(states)
    assert encoder.encode(make_cells()).shape == (10, 6)


def test_what_is_random_depends_on_the_seed_alone(tmp_path):
    write_geneformer(tmp_path)
    vocab = make_vocab(20)
    torch.manual_seed(7)
    state = torch.get_rng_state()
    encoders = [CellEncoder.from_geneformer(tmp_path, vocab, seed=seed) for seed in (3, 3, 4)]
    assert torch.equal(torch.get_rng_state(), state)
    assert same_weights(*encoders[:2])
    assert not torch.equal(encoders[0].proj.weight, encoders[2].proj.weight)
    assert CellEncoder.from_geneformer(tmp_path).vocab_size == 19
    with pytest.raises(ValueError, match="knows 19 tokens, and the vocabulary GeneVocab\\(18 genes"):
        CellEncoder.from_geneformer(tmp_path, make_vocab(21))


def count_encodings(monkeypatch):
    calls = []

    def encode_cells(*args):
        calls.append(args)
        return original(*args)

    original = module.encode_cells
    monkeypatch.setattr(module, "encode_cells", encode_cells)
    return calls


def test_the_cache_is_read_when_nothing_has_changed(tmp_path, monkeypatch):
    calls = count_encodings(monkeypatch)
    cells = make_cells()
    x = make_encoder().encode(cells, cache=tmp_path)
    assert len(calls) == 1 and len(list(tmp_path.iterdir())) == 1
    again = make_encoder().encode(make_cells(), token_budget=3, cache=str(tmp_path))
    assert torch.equal(again, x) and len(calls) == 1
    make_encoder().encode(cells)
    assert len(calls) == 2


def test_whatever_changes_the_embedding_is_another_entry(tmp_path, monkeypatch):
    calls = count_encodings(monkeypatch)
    tokens = make_cells().tokens.clone()
    tokens[3] = 2 + (tokens[3] - 1) % 17
    changed = make_encoder()
    with torch.no_grad():
        changed.bert.encoder.layer[1].output.dense.bias[0] += 1e-3
    moved = make_encoder()
    with torch.no_grad():
        moved.proj.bias[0] += 1e-3
    scaled = make_encoder()
    scaled.scale = FeatureScale.fit([torch.randn(9, 6)])
    variants = [
        (make_encoder(), make_cells(), {}),
        (make_encoder(), CellTokens(tokens, make_cells().ptr), {}),
        (make_encoder(), CellTokens(make_cells().tokens, make_cells(RAGGED[::-1]).ptr), {}),
        (changed, make_cells(), {}),
        (moved, make_cells(), {}),
        (scaled, make_cells(), {}),
        (make_encoder(act="gelu"), make_cells(), {}),
        (make_encoder(heads=4), make_cells(), {}),
        (make_encoder(), make_cells(), {"dtype": torch.bfloat16}),
    ]
    for count, (encoder, cells, options) in enumerate(variants, 1):
        x = encoder.encode(cells, cache=tmp_path, **options)
        assert len(calls) == count
        assert torch.equal(x, encoder.encode(cells, **options)) and calls.pop()
    for encoder, cells, options in variants:
        encoder.encode(cells, cache=tmp_path, **options)
    assert len(calls) == len(variants)


def test_a_truncated_cache_is_made_again(tmp_path, monkeypatch, caplog):
    calls = count_encodings(monkeypatch)
    encoder, cells = make_encoder(), make_cells()
    x = encoder.encode(cells, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-40])
    assert torch.equal(encoder.encode(cells, cache=tmp_path), x) and len(calls) == 2
    assert "made again" in caplog.text
    assert torch.equal(encoder.encode(cells, cache=tmp_path), x) and len(calls) == 2
