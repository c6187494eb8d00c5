import anndata
import numpy as np
import torch

from stofm_pyg.corpus.convert_slice import convert_slice
from stofm_pyg.data import RankValueTokenizer, from_anndata
from stofm_pyg.data.slices.cell_order import name_order
from stofm_pyg.loader import SpatialClusterData


def test_each_cell_keeps_its_own(make_adata, vocab, settings):
    adata = make_adata(90)
    adata = adata[name_order(adata.obs_names)].copy()
    rows = np.arange(90) * 3 + 7
    tensors, _ = convert_slice(adata, rows, settings, vocab)
    data = from_anndata(adata, settings)
    tokens = RankValueTokenizer(vocab, 12)(adata)
    order = tensors["order"]
    assert sorted(order.tolist()) == list(range(90))
    assert torch.equal(tensors["cell_id"], torch.from_numpy(rows)[order])
    assert tensors["pos"].dtype == torch.float64
    assert torch.equal(tensors["pos"].float(), data.pos[order])
    assert torch.equal(tensors["tokens"], tokens[order].tokens)
    assert torch.equal(tensors["ptr"], tokens[order].ptr)
    row = torch.arange(90).repeat_interleave(tensors["edge_ptr"].diff())
    found = torch.stack([order[row], order[tensors["edge_col"].long()]])
    edges = {(i, j): d for i, j, d in zip(*found.tolist(), tensors["edge_attr"].tolist(), strict=True)}
    want = zip(*data.edge_index.tolist(), data.edge_attr.view(-1).tolist(), strict=True)
    assert edges == {(i, j): d for i, j, d in want}
    parts = SpatialClusterData(data, 20)
    assert torch.equal(tensors["part_ptr"], parts.partition.partptr)
    assert torch.equal(order, parts.partition.node_perm)


def test_without_a_vocabulary_there_are_no_tokens(make_adata, vocab, settings):
    adata = make_adata(90)
    whole, _ = convert_slice(adata, np.arange(90), settings, vocab)
    tensors, report = convert_slice(adata, np.arange(90), settings)
    assert set(whole) - set(tensors) == {"tokens", "ptr"}
    assert all(torch.equal(tensors[name], whole[name]) for name in tensors)
    assert report["tokens"] == 0 and report["genes"] == 30 and "mapping" not in report
    bare = anndata.AnnData(obs=adata.obs[[]], obsm={"spatial": adata.obsm["spatial"]})
    again, report = convert_slice(bare, np.arange(90), settings)
    assert report["genes"] == 0
    assert all(torch.equal(tensors[name], again[name]) for name in tensors)


def test_report(make_adata, vocab, settings):
    adata = make_adata(90)
    counts = adata.X.toarray()
    counts[4, :28] = 0
    adata.X = type(adata.X)(counts)
    tensors, report = convert_slice(adata, np.arange(90), settings, vocab)
    assert report["cells"] == 90 and report["subpatches"] == len(report["part_ptr"]) - 1 == 4
    assert report["part_ptr"] == tensors["part_ptr"].tolist()
    assert report["tokens"] == tensors["tokens"].numel() == int(tensors["ptr"][-1])
    assert report["edges"] == tensors["edge_col"].numel()
    assert (report["genes"], report["genes_matched"]) == (30, 28)
    np.testing.assert_allclose(report["share_counts_matched"], counts[:, :28].sum() / counts.sum())
    assert report["unmatched"] == ["GENE28", "GENE29"] and report["cells_without_genes"] == 1
    assert report["cells_truncated"] == int(((counts[:, :28] > 0).sum(axis=1) > 11).sum())
    assert "28 of 30 columns match" in report["mapping"]


def test_number_of_threads_and_counts_stay(make_adata, vocab, settings):
    adata = make_adata(60)
    before, threads = adata.copy(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        convert_slice(adata, np.arange(60), settings, vocab)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert isinstance(adata, anndata.AnnData) and (adata.X != before.X).nnz == 0
    assert list(adata.obs) == list(before.obs) and list(adata.var) == list(before.var)
