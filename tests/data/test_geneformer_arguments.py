import logging

import pytest

from stofm_pyg.data.geneformer_arguments import geneformer_arguments

TOKENS = {"<pad>": 0, "<mask>": 1, "A": 2, "B": 3}
MEDIANS = {"A": 0.5, "B": 2.0}


def test_v1_has_no_cls():
    found = geneformer_arguments(TOKENS, MEDIANS, {"a": "A"}, "here")
    assert found == {
        "token_ids": {"A": 2, "B": 3},
        "medians": MEDIANS,
        "symbols": {"a": "A"},
        "num_tokens": 4,
        "pad_token_id": 0,
        "mask_token_id": 1,
        "cls_token_id": None,
        "eos_token_id": None,
    }


def test_v2_has_cls_and_eos():
    tokens = {"<pad>": 0, "<mask>": 1, "<cls>": 2, "<eos>": 3, "A": 4, "B": 5}
    found = geneformer_arguments(tokens, MEDIANS, {}, "here")
    assert (found["cls_token_id"], found["eos_token_id"], found["num_tokens"]) == (2, 3, 6)
    assert found["token_ids"] == {"A": 4, "B": 5}


def test_genes_without_median_are_left_out_and_their_tokens_stay(caplog):
    tokens = {**TOKENS, "C": 4, "<odd>": 5}
    with caplog.at_level(logging.WARNING):
        found = geneformer_arguments(tokens, MEDIANS, {}, "here")
    assert found["token_ids"] == {"A": 2, "B": 3} and found["num_tokens"] == 6
    assert "1 of 3 genes in 'here' have a token but no median and are left out, e.g. C" in caplog.text


@pytest.mark.parametrize(
    "tokens, medians, message",
    [
        ({**TOKENS, "C": 5}, MEDIANS, "not 0 to 4, each once: 4 is missing"),
        ({**TOKENS, "C": 3}, MEDIANS, "each once: 4 is missing or there twice"),
        ({"<pad>": 0, "A": 1}, MEDIANS, "has no <mask>"),
        (TOKENS, {"X": 1.0}, "Only 0 of the 2 genes .* not of one version"),
        ({"<pad>": 0, "<mask>": 1}, {}, "Only 0 of the 0 genes"),
    ],
)
def test_tables_that_do_not_fit(tokens, medians, message):
    with pytest.raises(ValueError, match=message):
        geneformer_arguments(tokens, medians, {}, "here")
