import anndata
import numpy as np
import torch

from stofm_pyg.corpus.convert_slice import convert_slice
from stofm_pyg.data import RankValueTokenizer, from_anndata


def test_each_cell_keeps_its_own(make_adata, vocab, settings):
    adata = make_adata(90)
    rows = np.arange(90) * 3 + 7
    tensors, _ = convert_slice(adata, rows, vocab, settings)
    data = from_anndata(adata, num_features=5, radius=2.5)
    tokens = RankValueTokenizer(vocab, 12)(adata)
    order = (tensors["cell_id"] - 7) // 3
    assert sorted(order.tolist()) == list(range(90))
    assert torch.equal(tensors["pos"], data.pos[order])
    assert torch.equal(tensors["cluster"], data.cluster[order])
    assert torch.equal(tensors["tokens"], tokens[order].tokens)
    assert torch.equal(tensors["ptr"], tokens[order].ptr)
    row = torch.arange(90).repeat_interleave(tensors["edge_ptr"].diff())
    found = torch.stack([order[row], order[tensors["edge_col"].long()]])
    edges = {(i, j): d for i, j, d in zip(*found.tolist(), tensors["edge_attr"].tolist(), strict=True)}
    want = zip(*data.edge_index.tolist(), data.edge_attr.view(-1).tolist(), strict=True)
    assert edges == {(i, j): d for i, j, d in want}
    assert torch.equal(tensors["virtual_pos"], data.pos[90:])


def test_report(make_adata, vocab, settings):
    adata = make_adata(90)
    counts = adata.X.toarray()
    counts[4, :28] = 0
    adata.X = type(adata.X)(counts)
    tensors, report = convert_slice(adata, np.arange(90), vocab, settings)
    assert report["cells"] == 90 and report["subpatches"] == len(report["part_ptr"]) - 1 == 4
    assert report["part_ptr"] == tensors["part_ptr"].tolist()
    assert report["virtual_cells"] == tensors["virtual_pos"].size(0)
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
        convert_slice(adata, np.arange(60), vocab, settings)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert isinstance(adata, anndata.AnnData) and (adata.X != before.X).nnz == 0
    assert list(adata.obs) == list(before.obs) and list(adata.var) == list(before.var)
