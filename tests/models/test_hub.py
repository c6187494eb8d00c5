"""Models on the hub: pushed to and pulled from one on this machine, and found in its client's cache."""

import hashlib
import socket

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants

from stofm_pyg.models import ModelCard, SToFM
from tests.cell_encoders import make_encoder
from tests.models.local_hub import local_hub
from tests.models.test_files import make_whole
from tests.models.test_stofm import make_model, make_slice

TOKEN = "hf_of_the_test"


@pytest.fixture
def client(tmp_path, monkeypatch):
    """The hub's client without a network of its own: it sees what the test names."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def hub(client):
    with local_hub() as server:
        server.tokens.add(TOKEN)
        client.setattr(constants, "ENDPOINT", server.url)
        client.setattr(huggingface_hub.hf_api.api, "endpoint", server.url)
        # What is not told apart by its path is told apart by what it begins with.
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        client.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield server


@pytest.fixture
def nowhere(client):
    """An address at which nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    client.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    client.setattr(huggingface_hub.hf_api.api, "endpoint", f"http://127.0.0.1:{port}")


def saved_files(model, folder, **kwargs):
    model.save_pretrained(folder, **kwargs)
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def write_cache(root, repo, files, sha="a" * 40, branch="main"):
    """The folder of the hub's client as it leaves it: blobs, snapshots of links to them, refs."""
    base = root / f"models--{repo.replace('/', '--')}"
    for name, content in files.items():
        blob = base / "blobs" / hashlib.sha1(content).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        link = base / "snapshots" / sha / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    (base / "refs").mkdir()
    (base / "refs" / branch).write_text(sha)


def test_pushed_and_pulled(hub, tmp_path):
    model, data = make_whole(), make_slice()
    model.fitted_to = {"slices": 2, "cells": 180}
    card = ModelCard(data="Two slices.", metrics={"ARI": 0.5}, license="mit")
    url = model.push_to_hub("someone/tissue", card=card, token=TOKEN)
    assert url == f"{hub.url}/someone/tissue/commit/{hub.sha('someone/tissue')}"
    files = hub.files("someone/tissue", "main")
    assert sorted(files) == [
        "README.md", "config.json", "domains/domains.safetensors", "features/features.json",
        "features/features.safetensors", "model.safetensors",
    ]  # fmt: skip
    assert b'SToFM.from_pretrained("someone/tissue")' in files["README.md"]
    assert hub.messages == ["Upload a model of stofm_pyg"] and hub.private == {"someone/tissue": False}
    loaded = SToFM.from_pretrained("someone/tissue", cache_dir=tmp_path / "mine")
    assert torch.equal(loaded.embed(data), model.embed(data))
    assert loaded.fitted_to == {"slices": 2, "cells": 180} and repr(loaded) == repr(model)
    assert (tmp_path / "mine" / "models--someone--tissue" / "refs" / "main").is_file()
    assert not (tmp_path / "cache").exists()


def test_pushed_again_nothing_is_left_of_the_model_before(hub):
    make_whole().push_to_hub("someone/tissue", token=TOKEN, private=True)
    assert hub.private == {"someone/tissue": True}
    other, data = make_model("GCNConv").eval(), make_slice()
    other.push_to_hub("someone/tissue", token=TOKEN, commit_message="Smaller")
    assert hub.messages[1] == "Smaller"
    files = sorted(hub.files("someone/tissue", "main"))
    assert files == ["README.md", "config.json", "model.safetensors"]
    loaded = SToFM.from_pretrained("someone/tissue")
    assert loaded.features is None and torch.equal(loaded.embed(data), other.embed(data))


def test_a_model_with_a_cell_encoder(hub, tmp_path):
    model, data = make_model().eval(), make_slice()
    model.set_cell_encoder(make_encoder(out_channels=6))
    model.push_to_hub("someone/tissue", token=TOKEN)
    loaded = SToFM.from_pretrained("someone/tissue", cache_dir=tmp_path / "mine")
    assert loaded.features.fingerprint() == model.features.fingerprint()
    assert torch.equal(loaded.embed(data), model.embed(data))


def test_a_revision(hub, tmp_path):
    first, second, data = make_model().eval(), make_model("GCNConv").eval(), make_slice()
    before = hub.add("someone/tissue", saved_files(first, tmp_path / "first"))
    hub.add("someone/tissue", saved_files(second, tmp_path / "second"))
    assert SToFM.from_pretrained("someone/tissue").config["conv"] == "GCNConv"
    old = SToFM.from_pretrained("someone/tissue", revision=before)
    assert torch.equal(old.embed(data), first.embed(data))
    first.push_to_hub("someone/tissue", revision="v1", token=TOKEN)
    assert SToFM.from_pretrained("someone/tissue", revision="v1").config["conv"] == "SE2TransformerConv"
    assert SToFM.from_pretrained("someone/tissue").config["conv"] == "GCNConv"
    with pytest.raises(FileNotFoundError, match="someone/tissue has no revision 'v2'"):
        SToFM.from_pretrained("someone/tissue", revision="v2")


def test_what_else_lies_in_the_repository_is_not_downloaded(hub, tmp_path):
    files = saved_files(make_model().eval(), tmp_path / "model")
    hub.add("someone/tissue", {**files, "cells.h5ad": b"large", "code/run.py": b"import os"})
    SToFM.from_pretrained("someone/tissue")
    assert not any("cells.h5ad" in path or "run.py" in path for _, path in hub.requests)


@pytest.mark.parametrize(
    "path", ["../../config.json", "features/../../x.json", "/etc/x.json", "a\\..\\x.json", "C:/x.json"]
)
def test_a_path_that_leaves_the_folder_is_refused(hub, tmp_path, path):
    files = saved_files(make_model().eval(), tmp_path / "model")
    hub.add("someone/tissue", {**files, path: b"{}"})
    with pytest.raises(ValueError) as error:
        SToFM.from_pretrained("someone/tissue")
    assert f"has a file '{path}', which would be written outside" in str(error.value)
    assert not any("/resolve/" in asked for _, asked in hub.requests)
    assert not (tmp_path / "cache").exists()


def test_an_unknown_model(hub):
    with pytest.raises(FileNotFoundError) as error:
        SToFM.from_pretrained("someone/nothing")
    said = str(error.value)
    assert said.startswith("There is no model 'someone/nothing': it is no folder (looked from ")
    assert "none of the models that ship with stofm_pyg (generated-tissue)" in said
    assert said.endswith("has no such repository, or a private one (log in by 'hf auth login')")
    assert "\n" not in said


@pytest.mark.parametrize("name", ["nothing", "/no/such/folder", "./some/folder", "~/no/such", "a/b/c"])
def test_a_name_that_is_none_of_the_hub_asks_no_network(hub, name):
    with pytest.raises(FileNotFoundError) as error:
        SToFM.from_pretrained(name)
    assert f"There is no model '{name}'" in str(error.value)
    assert str(error.value).endswith("one on the hub is named 'user/model'")
    assert hub.requests == []


def test_without_network(nowhere):
    with pytest.raises(FileNotFoundError) as error:
        SToFM.from_pretrained("someone/tissue")
    said = str(error.value)
    assert "There is no model 'someone/tissue': it is no folder" in said
    assert "and it cannot be had from http://127.0.0.1" in said
    assert "is there a network? Download it elsewhere, and pass the folder" in said and "\n" not in said


def test_without_network_the_cache_serves(nowhere, tmp_path, caplog):
    model, data = make_whole(), make_slice()
    write_cache(tmp_path / "cache", "someone/tissue", saved_files(model, tmp_path / "model"))
    assert torch.equal(SToFM.from_pretrained("someone/tissue").embed(data), model.embed(data))
    assert "'someone/tissue' is taken as it was downloaded before: it cannot be had" in caplog.text
    loaded = SToFM.from_pretrained("someone/tissue", revision="a" * 40)
    assert torch.equal(loaded.embed(data), model.embed(data))


def test_local_files_only(hub, tmp_path):
    files = saved_files(make_model("GCNConv").eval(), tmp_path / "new")
    hub.add("someone/tissue", files)
    with pytest.raises(FileNotFoundError, match="and it cannot be had from"):
        SToFM.from_pretrained("someone/tissue", local_files_only=True)
    model = make_whole()
    files = saved_files(model, tmp_path / "model")
    write_cache(tmp_path / "other", "someone/tissue", files, branch="v1")
    where = {"cache_dir": tmp_path / "other", "local_files_only": True}
    loaded = SToFM.from_pretrained("someone/tissue", revision="v1", **where)
    assert repr(loaded) == repr(model)
    assert hub.requests == []


def test_a_folder_comes_before_the_hub(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_model("GCNConv").eval().save_pretrained("someone/tissue")
    assert SToFM.from_pretrained("someone/tissue").config["conv"] == "GCNConv"
    assert hub.requests == []


@pytest.mark.parametrize("token", ["hf_wrong", False])
def test_a_push_that_is_refused(hub, token):
    with pytest.raises(OSError) as error:
        make_model().eval().push_to_hub("someone/tissue", token=token)
    said = str(error.value)
    assert said.startswith(f"The model cannot be uploaded to {hub.url}/someone/tissue (")
    assert "logged in by 'hf auth login'" in said and "\n" not in said
    assert hub.repos == {}


def test_a_push_without_network(nowhere):
    with pytest.raises(OSError, match="cannot be uploaded to http://127.0.0.1.*is there a network"):
        make_model().eval().push_to_hub("someone/tissue", token=TOKEN)
