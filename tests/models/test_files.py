"""A model on disk: read as it was written, and refused where it is not whole."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import stofm_pyg.models._files as module
from stofm_pyg._files import sealed
from stofm_pyg.data import GeneVocab, SliceSettings
from stofm_pyg.models import Domains, LabelHead, ReadOut, SToFM
from stofm_pyg.models.features import GivenFeatures, ObsmFeatures
from tests.models.fit_case import fitted, make_tissue
from tests.models.test_stofm import make_model, make_slice

ROOT = Path(__file__).resolve().parents[2]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def make_whole():
    """A model with something in each part."""
    model = make_model().eval()
    model.settings = SliceSettings(slice_key=None, unit="micron", radius=40.0)
    model.read_out = ReadOut("all", part_shares=(1.0, 0.5), num_neighbors=2)
    model.features = GivenFeatures(np.linspace(0.5, 2, 6))
    head = LabelHead(16, ["A", "B"])
    head.standardise(torch.randn(9, 16, generator=torch.Generator().manual_seed(0)))
    model.heads["layer"] = head
    rng = np.random.default_rng(0)
    model.found_domains = Domains.fit(rng.normal(size=(60, 16)), n=3)
    return model


def test_save_and_load(tmp_path):
    model, data = make_model(ffn_channels=12, pre_norm=True, far=50.0).eval(), make_slice()
    with torch.no_grad():
        model.mask_token.normal_()
    model.save_pretrained(tmp_path / "new" / "model")
    loaded = SToFM.from_pretrained(tmp_path / "new" / "model")
    assert repr(loaded) == repr(model) and loaded.config == model.config
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)
    assert torch.equal(loaded.embed(data), model.embed(data))
    assert names(tmp_path / "new" / "model") == ["config.json", "model.safetensors"]
    assert loaded.features is None and loaded.found_domains is None and len(loaded.heads) == 0


def test_every_part_comes_back(tmp_path):
    model, data = make_whole(), make_slice()
    model.save_pretrained(tmp_path)
    assert names(tmp_path) == ["config.json", "domains", "features", "model.safetensors"]
    loaded = SToFM.from_pretrained(tmp_path)
    assert loaded.settings == model.settings and loaded.read_out == model.read_out
    assert loaded.features.fingerprint() == model.features.fingerprint()
    assert loaded.heads["layer"].classes == ["A", "B"]
    z = model.embed(data)
    assert z.shape == (90, 16) and torch.equal(loaded.embed(data), z)
    assert torch.equal(loaded.heads["layer"](z), model.heads["layer"](z))
    assert loaded.found_domains.n == 3
    assert (loaded.found_domains.assign(z.numpy()) == model.found_domains.assign(z.numpy())).all()


@pytest.mark.parametrize("training", [True, False])
def test_a_loaded_model_is_in_evaluation_mode(tmp_path, training):
    model, data = make_model(dropout=0.5).train(training), make_slice()
    model.save_pretrained(tmp_path)
    assert model.training is training
    loaded = SToFM.from_pretrained(tmp_path)
    assert not any(part.training for part in loaded.modules())
    with torch.no_grad():
        assert torch.equal(loaded(data).x, loaded(data).x)


@pytest.mark.parametrize("conv", ["GCNConv", "GPSConv", "PNAConv", "NNConv"])
def test_other_convs(tmp_path, conv):
    model, data = make_model(conv).eval(), make_slice()
    model.save_pretrained(str(tmp_path))
    assert torch.equal(SToFM.from_pretrained(str(tmp_path)).embed(data), model.embed(data))


def test_a_new_process_finds_the_same(tmp_path):
    adata = make_tissue(seed=6)
    for name in ("pca", "tokens"):
        fitted(name).save_pretrained(tmp_path / name)
    adata.write_h5ad(tmp_path / "a.h5ad")
    script = (
        "import sys, numpy as np\n"
        "from stofm_pyg import SToFM\n"
        "for name in ('pca', 'tokens'):\n"
        "    z = SToFM.from_pretrained(f'{sys.argv[1]}/{name}').embed(f'{sys.argv[1]}/a.h5ad')\n"
        "    np.save(f'{sys.argv[1]}/{name}.npy', z.numpy())"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, check=True, timeout=300)
    for name in ("pca", "tokens"):
        z = fitted(name).embed_anndata(adata).numpy()
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), z, rtol=1e-6, atol=1e-6)


def test_nothing_is_left_of_the_model_before(tmp_path):
    make_whole().save_pretrained(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    other = make_model("GCNConv").eval()
    other.save_pretrained(tmp_path)
    assert names(tmp_path) == ["config.json", "model.safetensors", "notes.txt"]
    loaded = SToFM.from_pretrained(tmp_path)
    assert loaded.features is None and loaded.found_domains is None and len(loaded.heads) == 0
    other.features = ObsmFeatures("X_a", np.ones(6))
    other.save_pretrained(tmp_path)
    other.features = GivenFeatures(np.ones(6))
    other.save_pretrained(tmp_path)
    assert names(tmp_path / "features") == ["features.json", "features.safetensors"]
    assert isinstance(SToFM.from_pretrained(tmp_path).features, GivenFeatures)


@pytest.mark.parametrize("failing", ["model.safetensors", "config.json", "domains.safetensors"])
def test_a_failed_save_leaves_the_old_model(tmp_path, monkeypatch, failing):
    old = make_whole()
    old.save_pretrained(tmp_path)
    before = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    original = module.write_atomically

    def full_disk(path, write):
        def half(temporary):
            temporary.write_bytes(b"half")
            raise OSError(28, "No space left on device")

        original(path, half if path.name == failing else write)

    monkeypatch.setattr(module, "write_atomically", full_disk)
    monkeypatch.setattr("stofm_pyg.models.domains.write_atomically", full_disk)
    other = make_whole()
    other.reset_parameters()
    with pytest.raises(OSError, match="No space left"):
        other.save_pretrained(tmp_path)
    now = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert now == before and not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    data = make_slice()
    assert torch.equal(SToFM.from_pretrained(tmp_path).embed(data), old.embed(data))


@pytest.fixture
def saved(tmp_path):
    make_whole().save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file(saved, name):
    (saved / name).unlink()
    with pytest.raises(FileNotFoundError) as error:
        SToFM.from_pretrained(saved)
    assert str(error.value) == (
        f"'{saved}' has no '{name}'; pass a directory that 'save_pretrained' wrote"
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("features/features.json", "has no 'features.json'; copy the model again, as a whole"),
        ("features/features.safetensors", "has no 'features.safetensors'; copy the model again"),
        ("domains/domains.safetensors", "has no 'domains.safetensors'; copy the model again"),
    ],
)
def test_a_missing_part(saved, name, words):
    (saved / name).unlink()
    with pytest.raises(FileNotFoundError, match=words):
        SToFM.from_pretrained(saved)


def test_a_missing_folder(saved):
    (saved / "features").rename(saved / "elsewhere")
    with pytest.raises(FileNotFoundError, match="has no folder 'features'; copy the model again"):
        SToFM.from_pretrained(saved)


@pytest.mark.parametrize(
    "name",
    ["config.json", "model.safetensors", "features/features.json", "features/features.safetensors",
     "domains/domains.safetensors"],
)  # fmt: skip
@pytest.mark.parametrize("left", [0.0, 0.5, 0.9])
def test_a_file_that_was_cut(saved, name, left):
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: int(left * len(content))])
    with pytest.raises(ValueError, match="damaged.*(again|save_pretrained)"):
        SToFM.from_pretrained(saved)


def change_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(sealed({**config, **changes})))


@pytest.mark.parametrize("number", [4, 2, None, "3"])
def test_another_format(saved, number):
    change_config(saved, format=number)
    with pytest.raises(ValueError) as error:
        SToFM.from_pretrained(saved)
    assert f"is of format {number!r}, this release of stofm_pyg reads format 3" in str(error.value)


@pytest.mark.parametrize(
    "changes", [{"settings": {"radios": 3}}, {"model": {"channels": 3}}, {"heads": {"x": []}}]
)
def test_a_configuration_that_says_something_else(saved, changes):
    change_config(saved, **changes)
    with pytest.raises(ValueError, match="is damaged .*; save the model again"):
        SToFM.from_pretrained(saved)


@pytest.mark.parametrize("change", [{"num_layers": 10**9}, {"hidden_channels": 10**9, "heads": 1}])
def test_a_configuration_that_asks_for_too_much(saved, change):
    config = json.loads((saved / "config.json").read_text())
    change_config(saved, model={**config["model"], **change})
    with pytest.raises(ValueError, match="is 1,000,000,000, more than its weights have"):
        SToFM.from_pretrained(saved)


def test_a_configuration_of_which_a_number_changed(saved):
    config = json.loads((saved / "config.json").read_text())
    config["settings"]["radius"] = 41.0
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="is damaged .its content is not what was written"):
        SToFM.from_pretrained(saved)


def test_domains_of_another_model(saved):
    rng = np.random.default_rng(1)
    Domains.fit(rng.normal(size=(60, 16)), n=3).save(saved / "domains")
    with pytest.raises(ValueError, match="domains.safetensors' is damaged, or not the file"):
        SToFM.from_pretrained(saved)


def test_weights_of_another_model(saved, tmp_path_factory):
    other = make_whole()
    other.reset_parameters()
    folder = tmp_path_factory.mktemp("other")
    other.save_pretrained(folder)
    (saved / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match="is damaged, or not the file that belongs to"):
        SToFM.from_pretrained(saved)


@pytest.mark.parametrize(
    ("layers", "words"), [(3, "Missing key.*blocks.2"), (1, "Unexpected key.*blocks.1")]
)
def test_weights_of_another_size(saved, layers, words):
    config = json.loads((saved / "config.json").read_text())
    change_config(saved, model={**config["model"], "num_layers": layers})
    with pytest.raises(ValueError, match=words):
        SToFM.from_pretrained(saved)


def test_a_weight_too_many(saved):
    weights = load_file(saved / "model.safetensors") | {"more": torch.zeros(1)}
    save_file(weights, saved / "model.safetensors")
    change_config(saved, weights=module.file_hash(saved / "model.safetensors"))
    with pytest.raises(ValueError, match="Unexpected key.*more"):
        SToFM.from_pretrained(saved)


def test_features_of_another_model(saved):
    GivenFeatures(np.full(6, 3.0)).save(saved / "features")
    with pytest.raises(ValueError, match="are not those that belong to"):
        SToFM.from_pretrained(saved)
    GivenFeatures(np.ones(5)).save(saved / "features")
    with pytest.raises(ValueError, match="are 5 a cell, the model takes 6; they are of another model"):
        SToFM.from_pretrained(saved)


def test_another_vocabulary(tmp_path):
    fitted("tokens").save_pretrained(tmp_path)
    vocab = GeneVocab.from_slices([make_tissue(seed=9)])
    vocab.save(tmp_path / "features" / "vocab.json.gz")
    with pytest.raises(ValueError, match="do not fit|not those that belong"):
        SToFM.from_pretrained(tmp_path)
    (tmp_path / "features" / "vocab.json.gz").unlink()
    with pytest.raises(ValueError, match="are not those that belong to"):
        SToFM.from_pretrained(tmp_path)


def test_features_of_a_newer_release(saved):
    (saved / "features" / "features.json").write_text('{"name": "genes2vec"}')
    with pytest.raises(ValueError, match="names features 'genes2vec', this release knows pca"):
        SToFM.from_pretrained(saved)


def test_in_the_place_of_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "model"):
        with pytest.raises(NotADirectoryError, match="is a file, in whose place a folder is needed"):
            make_model().save_pretrained(path)
    assert (tmp_path / "file").read_text() == "mine" and names(tmp_path) == ["file"]


def test_what_cannot_be_saved_is_told_before_anything_is_written(tmp_path):
    with pytest.raises(TypeError, match=r"made with act=ReLU\(\), which cannot be saved"):
        make_model(act=torch.nn.ReLU()).save_pretrained(tmp_path / "a")
    with pytest.raises(ValueError, match="on the meta device and has no weights to save"):
        make_model().to("meta").save_pretrained(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_weights_that_are_not_finite_are_refused(tmp_path):
    model = make_model()
    model.mask_token.data[2] = torch.nan
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is damaged .the weights 'mask_token' are not finite.;"):
        SToFM.from_pretrained(tmp_path)


def test_a_name_that_is_nearly_that_of_a_model():
    with pytest.raises(FileNotFoundError, match="'user/model'. Did you mean 'generated-tissue'"):
        SToFM.from_pretrained("generated-tisue")
