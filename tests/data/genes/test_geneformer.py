import logging
import pickle
import shutil

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from stofm_pyg.data.genes.geneformer import geneformer_arguments, read_geneformer

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


@pytest.fixture
def hub(monkeypatch):
    """Stands in for the hub: returns `hub.folder` and keeps what it was asked for."""

    class Hub:
        folder, asked = None, []

    def snapshot_download(repo_id, *, revision=None, allow_patterns=None):
        Hub.asked.append((repo_id, revision, allow_patterns))
        if Hub.folder is None:
            raise LocalEntryNotFoundError("no network")
        return str(Hub.folder)

    Hub.asked = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return Hub


@pytest.mark.parametrize("version, marks", [("V1", 2), ("V2", 4)])
def test_values(write_geneformer, tmp_path, version, marks):
    folder = write_geneformer(tmp_path / "tables", version)
    tokens, medians, symbols = read_geneformer(folder)
    assert list(tokens)[:3] == ["<pad>", "<mask>", "<cls>" if marks == 4 else "ENSG00000141510"]
    assert tokens["ENSG00000128683"] == marks + 1 and type(tokens["ENSG00000128683"]) is int
    assert medians["ENSG00000128683"] == 1.5 and type(medians["ENSG00000128683"]) is float
    assert symbols["GAD1"] == "ENSG00000128683"


def test_found_in_the_folder_geneformer(write_geneformer, tmp_path, hub):
    write_geneformer(tmp_path / "hub" / "geneformer", "V2")
    expected = read_geneformer(tmp_path / "hub" / "geneformer")
    assert read_geneformer(str(tmp_path / "hub")) == expected and hub.asked == []


def test_the_folder_itself_comes_first(write_geneformer, tmp_path):
    write_geneformer(tmp_path, "V1")
    write_geneformer(tmp_path / "geneformer", "V2")
    assert "<cls>" not in read_geneformer(tmp_path)[0]
    assert "<cls>" in read_geneformer(tmp_path, subfolder="geneformer")[0]


def test_downloaded_from_the_hub(write_geneformer, tmp_path, hub):
    hub.folder = tmp_path / "snapshot"
    write_geneformer(hub.folder / "geneformer", "V2")
    tokens, _, _ = read_geneformer("someone/Geneformer", revision="v1.0")
    assert tokens["<eos>"] == 3
    (repo_id, revision, patterns) = hub.asked[0]
    assert (repo_id, revision) == ("someone/Geneformer", "v1.0")
    assert "geneformer/token_dictionary*.pkl" in patterns and "gene_name_id_dict*.pkl" in patterns
    assert all(pattern.endswith(".pkl") for pattern in patterns)


def test_subfolder_on_the_hub(write_geneformer, tmp_path, hub):
    hub.folder = tmp_path / "snapshot"
    write_geneformer(hub.folder / "geneformer", "V2")
    write_geneformer(hub.folder / "geneformer" / "old", "V1")
    assert "<cls>" not in read_geneformer("someone/Geneformer", subfolder="geneformer/old")[0]
    assert hub.asked[0][2][0] == "geneformer/old/token_dictionary*.pkl"


def test_neither_directory_nor_repository(hub):
    with pytest.raises(FileNotFoundError, match="'no/where' is no directory .* no network"):
        read_geneformer("no/where")


def test_no_id_at_all():
    with pytest.raises(FileNotFoundError, match="'./no/such/folder' is no directory"):
        read_geneformer("./no/such/folder")


def test_ambiguous_files_are_listed(write_geneformer, tmp_path):
    write_geneformer(tmp_path, "V1")
    write_geneformer(tmp_path, "V2")
    with pytest.raises(ValueError, match="'token_dictionary.pkl', 'token_dictionary_gc104M.pkl'"):
        read_geneformer(tmp_path)


def test_a_missing_table(geneformer):
    (geneformer / "gene_median_dictionary.pkl").unlink()
    with pytest.raises(FileNotFoundError, match="no 'gene_median_dictionary.*which holds 'gene_name_id"):
        read_geneformer(geneformer)


def test_no_table(tmp_path):
    with pytest.raises(FileNotFoundError, match="no 'token_dictionary.*subfolder="):
        read_geneformer(tmp_path)


def test_a_table_under_the_name_of_another(geneformer):
    shutil.copy(geneformer / "gene_name_id_dict.pkl", geneformer / "token_dictionary.pkl")
    with pytest.raises(ValueError, match="'TP53': 'ENSG00000141510', expected .* type int"):
        read_geneformer(geneformer)


def test_a_hostile_table(geneformer):
    (geneformer / "token_dictionary.pkl").write_bytes(pickle.dumps({"a": eval}))
    with pytest.raises(ValueError, match="tries to import 'builtins.eval'"):
        read_geneformer(geneformer)
