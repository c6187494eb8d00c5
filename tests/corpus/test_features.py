import pytest
import torch

from stofm_pyg.corpus import CorpusDataset, has_features, write_features
from stofm_pyg.corpus.features import features_path, open_features
from stofm_pyg.nn import NodeType


def test_cells_and_means_of_clusters(corpus, tmp_path):
    shard = corpus.shards[0]
    x = torch.randn(90, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert not has_features(shard, tmp_path / "new")
    write_features(shard, x, tmp_path / "new")
    assert has_features(shard, tmp_path / "new")
    assert not has_features(corpus.shards[1], tmp_path / "new")
    file = open_features(shard, tmp_path / "new")
    assert torch.equal(file.get_tensor("x"), x.float())
    means = torch.stack([x[shard.cluster == c].mean(dim=0) for c in range(shard.num_virtual)])
    torch.testing.assert_close(file.get_tensor("virtual_x"), means.float())


def test_truncated_features_are_none(corpus, tmp_path):
    shard = corpus.shards[0]
    write_features(shard, torch.zeros(90, 4), tmp_path)
    path = features_path(shard, tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    assert not has_features(shard, tmp_path)
    with pytest.raises(ValueError, match="is truncated or damaged"):
        open_features(shard, tmp_path)


def test_wrong_features(corpus, tmp_path):
    with pytest.raises(ValueError, match=r"'a' have shape \[89, 4\], expected \[90, C\]"):
        write_features(corpus.shards[0], torch.zeros(89, 4), tmp_path)
    x = torch.zeros(90, 4)
    x[7, 1] = float("nan")
    with pytest.raises(ValueError, match="Features of 1 cells of 'a' are not finite, .* row 7"):
        write_features(corpus.shards[0], x, tmp_path)


def test_centred(corpus, tmp_path):
    shard = corpus.shards[0]
    x = torch.randn(shard.num_cells, 3, generator=torch.Generator().manual_seed(0)) + 5
    write_features(shard, x, tmp_path, center=True)
    dataset = CorpusDataset(corpus.select([shard.name]), tmp_path)
    parts = [dataset[i] for i in range(len(dataset))]
    cells = torch.cat([data.x[data.node_type == NodeType.CELL] for data in parts])
    assert torch.allclose(cells, x - x.mean(dim=0), atol=1e-6)
    virtual = parts[0].x[parts[0].node_type == NodeType.VIRTUAL]
    first = (x - x.mean(dim=0))[shard.cluster == 0].mean(dim=0)
    assert torch.allclose(virtual[0], first, atol=1e-5)
