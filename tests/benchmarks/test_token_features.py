import anndata
import numpy as np
import pytest
import torch

from benchmarks.encoder_preset import EncoderPreset
from benchmarks.presets import Preset
from benchmarks.slice_source import SliceSource
from benchmarks.token_features import TokenFeatures
from stofm_pyg.data import GeneVocab, RankValueTokenizer
from stofm_pyg.datasets.generate_tissue import generate_tissue
from stofm_pyg.models import CellEncoder
from stofm_pyg.nn import NodeType

TINY = EncoderPreset(
    hidden_channels=16,
    heads=2,
    out_channels=16,
    max_length=64,
    num_steps=3,
    max_tokens=600,
    num_features=8,
)


class Writer:
    def __init__(self):
        self.scalars = {}

    def add_scalar(self, name, value, step):
        self.scalars[name, step] = value


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("tissue") / "tissue.h5ad"
    generate_tissue(num_slices=2, cells_per_slice=110, num_genes=40, seed=3).write_h5ad(path)
    return path


@pytest.fixture
def source(file):
    return SliceSource([str(file)], "slice", Preset(), 6.0, 0)


def features(made, seed=0):
    steps, writer = [], Writer()
    return made.slices(seed, steps.append, writer), steps, writer


def test_shapes_progress_and_curves(source):
    made = TokenFeatures(source, TINY)
    slices, steps, writer = features(made)
    assert [int((data.node_type == NodeType.CELL).sum()) for data in slices] == [110, 110]
    assert all(data.x.size(1) == 8 for data in slices)
    assert sum(steps) == made.work() == 3
    assert ("adaptation/loss", 1) in writer.scalars and ("adaptation/contrastive", 3) in writer.scalars
    for data in slices:
        x = data.x[data.node_type == NodeType.CELL]
        torch.testing.assert_close(x.mean(dim=0), torch.zeros(8), atol=1e-5, rtol=0)
        assert (x.std(dim=0) > 0).all()
    assert made.seconds > 0


def test_made_once_for_a_seed_and_shared(source):
    made = TokenFeatures(source, TINY)
    first, _, _ = features(made)
    again, steps, writer = features(made)
    assert again is first and steps == [] and writer.scalars == {}
    torch.manual_seed(5)
    before = torch.get_rng_state()
    other, steps, _ = features(made, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert sum(steps) == 3 and not torch.equal(first[0].x, other[0].x)
    fresh, _, _ = features(TokenFeatures(source, TINY), seed=1)
    assert torch.equal(fresh[0].x, other[0].x) and torch.equal(fresh[1].x, other[1].x)


@pytest.fixture
def adapted(file, tmp_path):
    """The folder of an encoder of the slices' vocabulary, as `adapt` writes it."""
    vocab = GeneVocab.from_slices([file])
    torch.manual_seed(2)
    TINY.make(vocab).save_pretrained(tmp_path / "encoder")
    vocab.save(tmp_path / "encoder" / "vocab.json")
    return tmp_path / "encoder"


def test_an_adapted_encoder_is_taken_as_it_is(source, file, adapted):
    made = TokenFeatures(source, TINY, cell_encoder=str(adapted))
    slices, steps, writer = features(made)
    assert sum(steps) == made.work() == 1 and writer.scalars == {}
    encoder = CellEncoder.from_pretrained(adapted).eval()
    x = encoder.encode(RankValueTokenizer(GeneVocab.load(adapted / "vocab.json"), 64)(file))
    for number, data in enumerate(slices):
        cells = data.node_type == NodeType.CELL
        own = x[data.cell_id[cells]].double()
        assert data.cell_id[cells].min() == 110 * number
        own = own - own.mean(dim=0)
        # Components beyond the eighth are left out: what is left is the same up to a turn, but smaller.
        assert (torch.linalg.norm(data.x[cells], dim=1) <= torch.linalg.norm(own, dim=1) + 1e-6).all()
    whole = TokenFeatures(source, EncoderPreset(num_features=50), cell_encoder=str(adapted))
    for data in features(whole)[0]:
        cells = data.node_type == NodeType.CELL
        own = x[data.cell_id[cells]]
        want = torch.cdist(own.double(), own.double()).float()
        torch.testing.assert_close(torch.cdist(data.x[cells], data.x[cells]), want, atol=2e-3, rtol=0)


def test_an_encoder_without_its_vocabulary(source, adapted):
    (adapted / "vocab.json").rename(adapted.parent / "v.json")
    with pytest.raises(FileNotFoundError, match="no 'vocab.json' beside its weights.*by --vocab"):
        TokenFeatures(source, TINY, cell_encoder=str(adapted))
    made = TokenFeatures(source, TINY, str(adapted.parent / "v.json"), str(adapted))
    assert made.vocab == GeneVocab.load(adapted.parent / "v.json")


def test_a_vocabulary_that_does_not_fit_the_encoder(source, adapted, tmp_path):
    GeneVocab({"gene001": 2, "gene002": 3}, {"gene001": 1.0, "gene002": 1.0}).save(tmp_path / "v.json")
    with pytest.raises(ValueError, match="do not fit: take the vocabulary that the encoder was trained"):
        TokenFeatures(source, TINY, str(tmp_path / "v.json"), str(adapted))


def test_a_vocabulary_that_matches_no_gene_names_the_file(source, tmp_path):
    other = {f"ENSG0000000000{i}": 2 + i for i in range(5)}
    GeneVocab(other, dict.fromkeys(other, 1.0)).save(tmp_path / "v.json")
    with pytest.raises(ValueError, match=r"In '.*tissue\.h5ad': .*gene0"):
        TokenFeatures(source, TINY, str(tmp_path / "v.json"))


def test_neither_folder_nor_encoder(source, tmp_path):
    with pytest.raises(FileNotFoundError, match="cell_bert"):
        TokenFeatures(source, TINY, cell_encoder=str(tmp_path))


def test_generated_tissue_and_its_vocabulary():
    source = SliceSource(None, "slice", Preset(num_slices=1, cells_per_slice=120), 6.0, 0)
    made = TokenFeatures(source, TINY)
    assert set(made.vocab.genes) <= set(source.counts[0].var_names)
    (data,), _, _ = features(made)
    assert np.isfinite(data.x.numpy()).all()


def test_raw_counts_in_a_layer(source, file, tmp_path):
    adata = anndata.read_h5ad(file)
    adata.layers["raw"] = adata.X.copy()
    adata.X = adata.X.log1p()
    adata.write_h5ad(tmp_path / "layer.h5ad")
    files = [str(tmp_path / "layer.h5ad")]
    with pytest.raises(ValueError, match="layer"):
        TokenFeatures(SliceSource(files, "slice", Preset(), 6.0, 0), TINY)
    other = SliceSource(files, "slice", Preset(), 6.0, 0, layer="raw")
    assert torch.equal(
        TokenFeatures(other, TINY).tokens[0].tokens, TokenFeatures(source, TINY).tokens[0].tokens
    )
    one, two = (s.with_pca("domain") for s in (source, other))
    assert all(torch.equal(a.x, b.x) for a, b in zip(one, two, strict=True))
