import pickle
import tempfile

import anndata
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from stofm_pyg.corpus import CorpusDataset, CorpusSettings, Shard, build_corpus, write_features
from stofm_pyg.data import RankValueTokenizer, from_anndata
from stofm_pyg.loader import SpatialClusterData


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
    cells_per_part=st.integers(5, 60),
    method=st.sampled_from(["metis", "grid"]),
    radius=st.floats(0.5, 4.0),
    num_slices=st.integers(1, 2),
    seed=st.integers(0, 3),
)
def test_a_subpatch_is_that_of_the_whole_slice(
    make_adata, vocab, num_cells, cells_per_part, method, radius, num_slices, seed
):
    adata = make_adata(num_cells, [f"s{i}" for i in range(num_slices)], seed=seed)
    wanted = CorpusSettings(
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
            data = from_anndata(adata[rows].copy(), num_features=4, radius=radius, seed=seed)
            parts = SpatialClusterData(
                data, cells_per_part, method=method, seed=seed, transform=lambda part: part
            )
            stored = parts.partition.node_perm
            assert torch.equal(shard.cell_id, torch.from_numpy(rows)[stored])
            write_features(shard, data.x[stored], f"{folder}/x")
            tokens = RankValueTokenizer(vocab, 9)(adata[rows].copy())
            dataset = CorpusDataset(corpus.select([shard.name]), f"{folder}/x", tokens=True)
            assert torch.equal(dataset.sizes, parts.sizes) and len(dataset) == len(parts)
            for number in range(len(parts)):
                one, whole = dataset[number], parts[number]
                for key in ("pos", "node_type", "cluster", "edge_index", "edge_attr"):
                    assert one[key].dtype == whole[key].dtype and torch.equal(one[key], whole[key]), key
                is_cell = whole.cell_id >= 0
                torch.testing.assert_close(one.x, whole.x)
                assert torch.equal(one.x[is_cell], whole.x[is_cell])
                assert torch.equal((one.cell_id >= 0), is_cell)
                own = tokens[whole.cell_id[is_cell]]
                assert torch.equal(one.tokens, own.tokens.long())
                assert torch.equal(one.lengths, own.lengths) and one.name == shard.name


def test_every_cell_once(corpus):
    dataset = CorpusDataset(corpus, virtual_cells=False)
    assert len(dataset) == sum(shard.num_parts for shard in corpus.shards)
    assert repr(dataset) == f"CorpusDataset({len(dataset)} subpatches, Corpus(4 slices, 240 cells))"
    seen = {}
    for i in range(len(dataset)):
        data = dataset[i]
        assert data.num_nodes == dataset.sizes[i] and data.name == corpus.names[dataset.slice_of[i]]
        assert "x" not in data and "tokens" not in data
        seen.setdefault(data.name, []).extend(data.cell_id.tolist())
    assert [len(seen[name]) for name in corpus.names] == [90, 50, 50, 50]
    assert sorted(seen["b:x"] + seen["b:y"] + seen["b:z"]) == list(range(150))
    adata = anndata.read_h5ad(corpus.shards[1].file)
    assert set(adata.obs["slice"].iloc[seen["b:y"]]) == {"y"}


def test_sizes_with_virtual_cells(corpus):
    dataset = CorpusDataset(corpus)
    assert dataset.sizes.tolist() == [dataset[i].num_nodes for i in range(len(dataset))]
    assert same(dataset[-1], dataset[len(dataset) - 1])
    for index in (len(dataset), -len(dataset) - 1):
        with pytest.raises(IndexError, match=f"of {len(dataset)}"):
            dataset[index]


def test_only_the_subpatch_is_read(corpus, monkeypatch):
    dataset = CorpusDataset(corpus, tokens=True)
    read, whole = {}, []
    real = Shard.read

    def spy(self, name, start, end):
        read[name] = (start, end)
        return real(self, name, start, end)

    monkeypatch.setattr(Shard, "read", spy)
    monkeypatch.setattr(Shard, "tensor", lambda self, name: whole.append(name))
    data = dataset[1]
    shard = corpus.shards[0]
    start, end = shard.part_ptr[1:3].tolist()
    assert 0 < start and not whole
    assert {read[name] for name in ("pos", "cell_id", "cluster")} == {(start, end)}
    assert {read[name] for name in ("ptr", "edge_ptr")} == {(start, end + 1)}
    assert read["tokens"][1] - read["tokens"][0] == data.tokens.numel()
    # What is handed on owns its memory: to another process, nothing more would travel.
    for key in ("pos", "cell_id", "tokens", "edge_index", "edge_attr"):
        assert data[key].untyped_storage().nbytes() == data[key].numel() * data[key].element_size(), key


def test_tensors_are_mapped_from_the_file(corpus, tmp_path):
    shard = corpus.shards[0]
    other = Shard(tmp_path, shard.entry, shard.fingerprint)
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


def test_in_workers_and_pickled(corpus):
    dataset = CorpusDataset(corpus, tokens=True, transform=noise)
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
    write_features(corpus.shards[0], torch.zeros(90, 2), tmp_path)
    with pytest.raises(FileNotFoundError, match="no whole features of 3 slices, e.g. 'b:x'"):
        CorpusDataset(corpus, tmp_path)
    assert CorpusDataset(corpus.select(["a"]), tmp_path)[0].num_features == 2
