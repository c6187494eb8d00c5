import numpy as np
import torch

from benchmarks.data import BenchmarkData
from benchmarks.methods.pca import PCA
from stofm_pyg.data import SliceSettings
from stofm_pyg.data.slices.components import expression_pca
from tests.models.fit_case import make_tissue


def test_the_components_of_all_slices_centred_in_each(tmp_path):
    adata = make_tissue()
    adata.write_h5ad(tmp_path / "a.h5ad")
    data = BenchmarkData([str(tmp_path / "a.h5ad")], "domain", SliceSettings(num_features=5))
    out = PCA().embed(data)
    want = expression_pca(adata.X.tocsr(), 5, batch=np.repeat([0, 1], 100))
    np.testing.assert_allclose(np.concatenate(out), want, atol=1e-5)
    # Without a slice, they are found on the others, and the slice is embedded all the same.
    unseen = PCA().embed(data, without=1)
    alone = expression_pca(adata.X.tocsr()[:100], 5, batch=np.zeros(100, dtype=int))
    np.testing.assert_allclose(unseen[0], alone, atol=1e-5)
    assert unseen[1].shape == (100, 5)
    assert not np.allclose(np.abs(unseen[1]), np.abs(out[1]), atol=1e-2)
    assert torch.equal(data.slices[0].cell_id[:100], torch.arange(100))
