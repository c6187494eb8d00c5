import anndata
import numpy as np
import pytest
import torch

from stofm_pyg.corpus import (
    CorpusDataset,
    CorpusSlices,
    FeatureStore,
    corpus_in_memory,
    corpus_of_data,
)
from stofm_pyg.data import SliceSettings, slices_from_anndata
from stofm_pyg.data.slices.reader import SliceReader
from stofm_pyg.loader import RandomRegions
from stofm_pyg.nn import NodeType
from stofm_pyg.nn.node_type import cell_mask

TENSORS = ("pos", "cell_id", "order", "edge_ptr", "edge_col", "edge_attr", "part_ptr")
FEATURES = ("x", "cluster", "virtual_x", "virtual_pos")


def same_tensors(one, other, names):
    for name in names:
        assert one.get_tensor(name).dtype == other.get_tensor(name).dtype, name
        assert torch.equal(one.get_tensor(name), other.get_tensor(name)), name


def same_shards(corpus, other, tokens=False):
    assert corpus.names == other.names
    for one, two in zip(corpus.shards, other.shards, strict=True):
        for name in (*TENSORS, *(("tokens", "ptr") if tokens else ())):
            assert torch.equal(one.tensor(name), two.tensor(name)), name
        assert torch.equal(one.part_ptr, two.part_ptr)
        assert (one.file, one.entry["slice"]) == (two.file, two.entry["slice"])


def test_tokens_are_those_of_a_corpus_on_disk(corpus, readers, vocab, settings):
    found, store = corpus_in_memory(readers, settings, vocab)
    assert store is None and found.has_tokens and found.vocab == vocab
    assert found.settings == settings and found.directory is None and found.missing == []
    same_shards(found, corpus, tokens=True)
    pairs = [CorpusDataset(found, tokens=True), CorpusDataset(corpus, tokens=True)]
    for one, other in zip(*pairs, strict=True):
        assert set(one.keys()) == set(other.keys())
        assert torch.equal(one.tokens, other.tokens) and torch.equal(one.pos, other.pos)
        assert torch.equal(one.edge_index, other.edge_index) and one.name == other.name


def test_features_are_those_of_a_corpus_on_disk(feature_corpus, readers, features, settings):
    found, store = corpus_in_memory(readers, settings, features=features)
    assert not found.has_tokens and found.features is None
    same_shards(found, feature_corpus)
    on_disk = FeatureStore(settings, feature_corpus.features / features.fingerprint()[:16])
    for one, other in zip(found.shards, feature_corpus.shards, strict=True):
        same_tensors(store.open(one), on_disk.open(other), FEATURES)
    regions = [
        RandomRegions(CorpusSlices(*pair), 15, 30, seed=1)
        for pair in ((found, store), (feature_corpus, on_disk))
    ]
    assert len(regions[0]) == len(regions[1]) > 4
    for one, other in zip(*regions, strict=True):
        assert one.to_dict().keys() == other.to_dict().keys()
        assert torch.equal(one.x, other.x) and torch.equal(one.pos, other.pos)


def test_objects_are_as_their_files(files, readers, features, settings):
    want, kept = corpus_in_memory(readers, settings, features=features)
    objects = [anndata.read_h5ad(file) for file in files]
    kinds = {
        "objects": objects,
        "views": [adata[np.arange(adata.n_obs)] for adata in objects],
        "backed": [anndata.read_h5ad(file, backed="r") for file in files],
    }
    for kind, sources in kinds.items():
        mine = [SliceReader(source, settings) for source in sources]
        found, store = corpus_in_memory(mine, settings, features=features)
        # Objects have no name but their number.
        assert found.names == ["0", "1:x", "1:y", "1:z"], kind
        for one, other in zip(found.shards, want.shards, strict=True):
            assert all(torch.equal(one.tensor(name), other.tensor(name)) for name in TENSORS), kind
            assert one.key == other.key and one.file == ""
            same_tensors(store.open(one), kept.open(other), FEATURES)


def test_names(make_adata, vocab, settings, tmp_path):
    def names(*sources):
        readers = [SliceReader(source, settings) for source in sources]
        return corpus_in_memory(readers, settings, vocab)[0].names

    one, two = make_adata(40), make_adata(40, ("x", "y"))
    bare = one.copy()
    del bare.obs["slice"]
    one.write_h5ad(tmp_path / "one.h5ad")
    two.write_h5ad(tmp_path / "two.h5ad")
    assert names(one) == ["s0"] and names(two) == ["x", "y"] and names(bare) == ["slice"]
    assert names(one, bare) == ["0", "1"] and names(one, two) == ["0", "1:x", "1:y"]
    assert names(tmp_path / "one.h5ad") == ["one"]
    assert names(tmp_path / "two.h5ad", tmp_path / "one.h5ad") == ["one", "two:x", "two:y"]


def test_the_fingerprint_is_of_the_content(make_adata, vocab, settings):
    def fingerprint(seed=0, settings=settings, change=None):
        adata = make_adata(40, seed=seed)
        if change is not None:
            change(adata)
        return corpus_in_memory([SliceReader(adata, settings)], settings, vocab)[0].fingerprint

    same = {fingerprint(), fingerprint()}
    other = {fingerprint(seed=1), fingerprint(settings=settings.replace(radius=2.0))}
    other.add(fingerprint(change=lambda adata: adata.X.data.__setitem__(0, 77)))
    assert len(same) == 1 and len(same | other) == 4


@pytest.fixture
def slices(make_adata, settings):
    adata = make_adata(120, ("u", "v"))
    return slices_from_anndata(adata, settings)


def test_slices_as_data(slices, settings):
    corpus, store = corpus_of_data(slices, settings)
    assert corpus.names == ["0:u", "1:v"] and corpus.num_cells == 120
    for shard, data in zip(corpus.shards, slices, strict=True):
        cells = cell_mask(data)
        # Cells are taken in the order of their names' hashes.
        order, kept = data.cell_hash[cells].argsort()[shard.order], store.open(shard)
        assert torch.equal(shard.pos.float(), data.pos[cells][order])
        assert torch.equal(shard.cell_id, data.cell_id[cells][order])
        assert torch.equal(kept.get_tensor("x"), data.x[cells][order])
        assert len(kept.get_tensor("virtual_x")) == int((~cells).sum())
    parts = CorpusDataset(corpus, store)
    edges = sum(part.num_edges for part in parts if part.name == "0:u")
    assert 0 < edges <= slices[0].num_edges


def test_slices_as_data_without_names_ids_and_types(slices, settings):
    bare = [data.subgraph(cell_mask(data)) for data in slices]
    for data in bare:
        del data.name, data.cell_id, data.cell_hash, data.node_type, data.settings
    corpus, store = corpus_of_data(bare, settings)
    assert corpus.names == ["0:slice", "1:slice"]
    for shard in corpus.shards:
        assert shard.cell_id.sort().values.tolist() == list(range(60))
        assert torch.equal(shard.cell_id, shard.order)
    first = CorpusDataset(corpus, store)[0]
    assert (first.node_type == NodeType.VIRTUAL).any()
    again, _ = corpus_of_data(bare, settings)
    assert again.fingerprint == corpus.fingerprint
    bare[1].x = bare[1].x + 1
    assert corpus_of_data(bare, settings)[0].fingerprint != corpus.fingerprint


def test_slices_as_data_without_a_graph(slices, settings):
    bare = [data.clone() for data in slices]
    for data in bare:
        del data.edge_index, data.edge_attr
    corpus, store = corpus_of_data(bare, settings)
    whole, kept = corpus_of_data(slices, settings)
    assert corpus.num_cells == 120 and all(part.num_edges == 0 for part in CorpusDataset(corpus))
    assert corpus.fingerprint != whole.fingerprint
    one, other = RandomRegions(CorpusSlices(corpus, store)), RandomRegions(CorpusSlices(whole, kept))
    for region, want in zip(one, other, strict=True):
        cells, ours = region.cell_id.sort(stable=True), want.cell_id.sort(stable=True)
        assert torch.equal(cells.values, ours.values)
        assert torch.equal(region.x[cells.indices], want.x[ours.indices])
    bare[0].edge_index = slices[0].edge_index
    with pytest.raises(ValueError, match="'u' has edges but no distances in 'edge_attr'"):
        corpus_of_data(bare, settings)


def test_data_is_not_changed(slices, settings):
    before = [data.clone() for data in slices]
    corpus_of_data(slices, SliceSettings(cells_per_part=30, virtual_cells=False))
    for data, was in zip(slices, before, strict=True):
        assert set(data.keys()) == set(was.keys())
        assert all(
            torch.equal(data[key], was[key]) if torch.is_tensor(was[key]) else data[key] == was[key]
            for key in was.keys()
        )


def test_two_names_of_one_file_are_refused(files, settings, vocab, tmp_path):
    (tmp_path / "link.h5ad").symlink_to(files[0])
    named = [SliceReader(path, settings) for path in (files[0], tmp_path / "link.h5ad")]
    with pytest.raises(ValueError, match="link.h5ad' is in 'files' twice: '.*a.h5ad' is the same file"):
        corpus_in_memory(named, settings, vocab)


def test_a_slice_that_is_there_twice(make_adata, vocab, settings):
    adata = make_adata(40)
    readers = [SliceReader(source, settings) for source in (adata, make_adata(40, seed=1), adata.copy())]
    with pytest.raises(ValueError, match="The slice '2' is '0' once more; pass each slice once"):
        corpus_in_memory(readers, settings, vocab)
