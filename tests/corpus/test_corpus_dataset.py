import pickle
import tempfile
from itertools import pairwise

import anndata
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from stofm_pyg.corpus import CorpusDataset, CorpusSlices, FeatureStore, Shard, build_corpus
from stofm_pyg.data import RankValueTokenizer, SliceSettings, from_anndata
from stofm_pyg.data.slices.cell_order import name_order
from stofm_pyg.loader import RandomRegions, SpatialClusterData
from stofm_pyg.nn import NodeType


@pytest.fixture(scope="module")
def store(feature_corpus, features):
    """What keeps the features of the corpus."""
    return FeatureStore(feature_corpus.settings, feature_corpus.features / features.fingerprint()[:16])


def noise(data):
    """A random transform."""
    data.noise = torch.rand(3)
    return data


def same(data, other):
    keys = set(data.keys())
    return keys == set(other.keys()) and all(
        torch.equal(data[key], other[key]) if torch.is_tensor(data[key]) else data[key] == other[key]
        for key in keys
    )


@settings(max_examples=8)
@given(
    num_cells=st.integers(12, 150),
    virtual_cells=st.booleans(),
    cells_per_part=st.integers(5, 60),
    method=st.sampled_from(["metis", "grid"]),
    radius=st.floats(0.5, 4.0),
    num_slices=st.integers(1, 2),
    seed=st.integers(0, 3),
)
def test_a_subpatch_is_that_of_the_whole_slice(
    make_adata, vocab, num_cells, virtual_cells, cells_per_part, method, radius, num_slices, seed
):
    adata = make_adata(num_cells, [f"s{i}" for i in range(num_slices)], seed=seed)
    wanted = SliceSettings(
        virtual_cells=virtual_cells,
        cells_per_part=cells_per_part,
        method=method,
        radius=radius,
        num_features=4,
        max_length=9,
        seed=seed,
    )
    with tempfile.TemporaryDirectory() as folder:
        adata.write_h5ad(f"{folder}/a.h5ad")
        corpus = build_corpus(f"{folder}/a.h5ad", f"{folder}/corpus", vocab, wanted)
        for i, shard in enumerate(corpus.shards):
            rows = (adata.obs["slice"] == f"s{i}").to_numpy().nonzero()[0]
            data = from_anndata(adata[rows].copy(), wanted)
            parts = SpatialClusterData(
                data, cells_per_part, method=method, seed=seed, transform=lambda part: part
            )
            stored = parts.partition.node_perm
            assert torch.equal(shard.cell_id, torch.from_numpy(rows)[stored])
            store = FeatureStore(wanted, f"{folder}/x")
            store.write(shard, data.x[: len(rows)][name_order(adata.obs_names[rows])])
            tokens = RankValueTokenizer(vocab, 9)(adata[rows].copy())
            dataset = CorpusDataset(corpus.select([shard.name]), store, True, virtual_cells)
            assert torch.equal(dataset.sizes, parts.sizes) and len(dataset) == len(parts)
            for number in range(len(parts)):
                one, whole = dataset[number], parts[number]
                keys = ["x", "pos", "node_type", "edge_index", "edge_attr"]
                for key in [*keys, *(["cluster"] if virtual_cells else [])]:
                    assert one[key].dtype == whole[key].dtype and torch.equal(one[key], whole[key]), key
                is_cell = whole.cell_id >= 0
                assert torch.equal((one.cell_id >= 0), is_cell)
                assert torch.equal(one.cell_id[is_cell], torch.from_numpy(rows)[whole.cell_id[is_cell]])
                own = tokens[whole.cell_id[is_cell]]
                assert torch.equal(one.tokens, own.tokens.long())
                assert torch.equal(one.lengths, own.lengths) and one.name == shard.name


def test_every_cell_once(corpus):
    dataset = CorpusDataset(corpus)  # Without features there are no virtual cells.
    assert len(dataset) == sum(shard.num_parts for shard in corpus.shards)
    assert repr(dataset) == f"CorpusDataset({len(dataset)} subpatches, Corpus(4 slices, 240 cells))"
    seen = {}
    for i in range(len(dataset)):
        data = dataset[i]
        assert data.num_nodes == dataset.sizes[i] and data.name == corpus.names[dataset.slice_of[i]]
        assert {"x", "cluster", "tokens", "rings"}.isdisjoint(data.keys())
        seen.setdefault(data.name, []).extend(data.cell_id.tolist())
    assert [len(seen[name]) for name in corpus.names] == [90, 50, 50, 50]
    assert sorted(seen["b:x"] + seen["b:y"] + seen["b:z"]) == list(range(150))
    adata = anndata.read_h5ad(corpus.shards[1].file)
    assert set(adata.obs["slice"].iloc[seen["b:y"]]) == {"y"}


def test_sizes_with_virtual_cells(feature_corpus, store):
    corpus = feature_corpus
    dataset = CorpusDataset(corpus, store)
    for i in range(len(dataset)):
        virtual = dataset[i].node_type == NodeType.VIRTUAL
        assert virtual.any() and int(virtual.int().argmax()) == int((~virtual).sum())
        assert dataset[i].cell_id[virtual].tolist() == [-1] * int(virtual.sum())
        assert dataset[i].cluster[virtual].tolist() == list(range(int(virtual.sum())))
    assert dataset.sizes.tolist() == [dataset[i].num_nodes for i in range(len(dataset))]
    assert same(dataset[-1], dataset[len(dataset) - 1])
    assert [i.num_nodes for i in CorpusDataset(corpus, store, virtual_cells=False)] == [
        end - start for shard in corpus.shards for start, end in pairwise(shard.part_ptr.tolist())
    ]
    for index in (len(dataset), -len(dataset) - 1):
        with pytest.raises(IndexError, match=f"of {len(dataset)}"):
            dataset[index]


def test_what_is_handed_on_owns_its_memory(corpus, tmp_path, settings):
    # To another process, nothing more would travel.
    store = FeatureStore(settings, tmp_path)
    for shard in corpus.shards:
        store.write(shard, torch.randn(shard.num_cells, 3))
        store.write_rings(shard)
    whole = CorpusSlices(corpus, store, True, rings=True)[0].take(slice(None))
    for dataset in (CorpusDataset(corpus), CorpusDataset(corpus, store, True, rings=True)):
        data = dataset[1]
        tensors = {key: value for key, value in data.to_dict().items() if torch.is_tensor(value)}
        assert set(tensors) >= {"pos", "cell_id", "node_type", "edge_index", "edge_attr"}
        for key, value in tensors.items():
            assert value.untyped_storage().nbytes() == value.numel() * value.element_size(), key
    start, end = corpus.shards[0].part_ptr[1:3].tolist()
    assert set(tensors) >= {"x", "cluster", "rings", "tokens", "lengths"}
    assert torch.equal(data.rings[: end - start], whole.rings[start:end])
    assert not data.rings[end - start :].any() and data.rings.size(0) == data.num_nodes


def test_tensors_are_mapped_from_the_file(corpus, tmp_path):
    shard = corpus.shards[0]
    other = Shard(shard.entry, tmp_path, shard.fingerprint)
    other.path.parent.mkdir()
    other.path.write_bytes(shard.path.read_bytes())
    tokens = other.tokens().tokens
    content = tokens.numpy().tobytes()
    where = other.path.read_bytes().index(content)
    with open(other.path, "r+b") as file:
        file.seek(where)
        file.write((77).to_bytes(4, "little"))
    assert tokens[0] == 77


def test_randomness_follows_from_seed_index_and_draw(corpus):
    dataset = CorpusDataset(corpus, transform=noise, seed=3)
    before = torch.get_rng_state()
    first = dataset[2]
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    again = CorpusDataset(corpus, transform=noise, seed=3)
    assert same(again[2], first) and same(again[2, 0], first)
    other = [dataset[3], dataset[2, 1], CorpusDataset(corpus, transform=noise, seed=4)[2]]
    assert len({tuple(data.noise.tolist()) for data in [first, *other]}) == 4


def test_the_generator_is_restored_after_an_error(corpus):
    def fail(data):
        torch.rand(1)
        raise ValueError("no")

    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="no"):
        CorpusDataset(corpus, transform=fail)[0]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_in_workers_and_pickled(corpus, tmp_path, settings, where):
    store = FeatureStore(settings, tmp_path if where == "disk" else None)
    for shard in corpus.shards:
        store.write(shard, torch.randn(shard.num_cells, 3))
    dataset = CorpusDataset(corpus, store, tokens=True, transform=noise)
    direct = [dataset[i] for i in range(6)]
    copy = pickle.loads(pickle.dumps(dataset))
    assert all(same(copy[i], direct[i]) for i in range(6))
    loader = DataLoader(dataset, sampler=range(6), batch_size=None, num_workers=2)
    assert all(same(data, want) for data, want in zip(loader, direct, strict=True))


def test_few_files_are_open(corpus, monkeypatch):
    monkeypatch.setattr("stofm_pyg.corpus.corpus_dataset.MAX_OPEN", 2)
    dataset = CorpusDataset(corpus)
    want = [dataset[i] for i in range(len(dataset))]
    assert sum(shard._file is not None for shard in corpus.shards) <= 2
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0)).tolist()
    assert all(same(dataset[i], want[i]) for i in order)


def test_features_that_are_not_there(corpus, tmp_path):
    store = FeatureStore(corpus.settings, tmp_path)
    store.write(corpus.shards[0], torch.zeros(90, 2))
    with pytest.raises(FileNotFoundError, match="no whole features of 3 slices, e.g. 'b:x'"):
        CorpusDataset(corpus, store)
    assert CorpusDataset(corpus.select(["a"]), store)[0].num_features == 2


def test_regions_of_a_corpus_are_those_of_its_slices(files, feature_corpus, store, settings):
    adatas = {file.stem: anndata.read_h5ad(file) for file in files}
    slices = []
    for shard in feature_corpus.shards:
        # The slice as 'Data', its cells in the order of the shard.
        adata = adatas[shard.name[0]]
        part = adata[(adata.obs["slice"] == shard.entry["slice"]).to_numpy()].copy()
        place = torch.from_numpy(name_order(part.obs_names))[shard.order]
        x = torch.empty(shard.num_cells, 5)
        x[place] = store.open(shard).get_tensor("x")
        data = from_anndata(part, settings, features=x.numpy())
        nodes = torch.cat([place, torch.arange(shard.num_cells, data.num_nodes)])
        rows = torch.from_numpy(adata.obs["slice"].eq(shard.entry["slice"]).to_numpy()).nonzero()
        data.cell_id[: shard.num_cells] = rows.view(-1)
        data = data.subgraph(nodes)
        del data.classes, data.cell_hash, data.unit, data.settings, data.edge_index, data.edge_attr
        slices.append(data)
    first = RandomRegions(slices, 15, 30, noise, seed=2)
    second = RandomRegions(CorpusSlices(feature_corpus, store), 15, 30, noise, seed=2)
    assert len(first) == len(second) and torch.equal(first.slice_of, second.slice_of)
    assert torch.equal(first.sizes, second.sizes)
    for index in [(i, draw) for i in range(len(first)) for draw in range(2)]:
        one, other = first[index], second[index]
        assert other.name == feature_corpus.names[second.slice_of[index[0]]]
        del other.name
        assert same(one, other), index


def test_regions_of_a_corpus_in_workers(feature_corpus, store):
    regions = RandomRegions(CorpusSlices(feature_corpus, store, rings=False), 15, 30, noise)
    direct = [regions[i] for i in range(len(regions))]
    loader = DataLoader(regions, batch_size=None, num_workers=2)
    assert all(same(data, want) for data, want in zip(loader, direct, strict=True))
    seen = torch.cat([data.cell_id[data.cell_id >= 0] for data in direct if data.name == "a"])
    assert set(seen.tolist()) <= set(range(90)) and seen.unique().numel() > 45
    with pytest.raises(IndexError, match="Slice 4 of 4"):
        CorpusSlices(feature_corpus, store)[4]
