"""The public API as a user's type checker sees it (`make types`); nothing here is run."""

from typing import assert_type

import numpy as np
import torch
from anndata import AnnData
from torch import Tensor
from torch_geometric.data import Data

import stofm_pyg
from stofm_pyg import SToFM
from stofm_pyg.data import (
    GeneVocab,
    SliceSettings,
    from_anndata,
    slices_from_anndata,
    to_anndata,
    validate_counts,
)
from stofm_pyg.datasets import generate_tissue
from stofm_pyg.loader import SpatialClusterData, SubpatchLoader
from stofm_pyg.models import CellEncoder, Domains, ModelCard, ReadOut, embed_in_parts
from stofm_pyg.nn import (
    GaussianDistance,
    PairRepresentation,
    SE2TransformerConv,
    SliceEncoder,
    SliceEncoderOutput,
)
from stofm_pyg.train import PretrainConfig, fit


def check_models(adata: AnnData, data: Data) -> None:
    model = SToFM.fit([adata, "b.h5ad"], slice_key="slice", preset="small")
    assert_type(model, SToFM)
    assert_type(stofm_pyg.SToFM.from_pretrained("user/model", revision="v1"), SToFM)
    assert_type(model.embed(adata), AnnData)
    assert_type(model.embed("a.h5ad"), Tensor)
    of_cells: Tensor = model.embed(adata, key_added=None)
    of_cells = model.embed(data, progress=True)
    of_several: list[Tensor] = model.embed([data, data])
    print(model.embed(adata).obsm["X_stofm"].shape, of_cells.shape, len(of_several))
    assert_type(model.embed_anndata(adata), Tensor)
    assert_type(embed_in_parts(model, "a.h5ad", "parts", share=(0, 2)), np.ndarray | None)
    assert_type(model.slices(adata), list[Data])
    assert_type(model.domains(adata, n=7), Domains)
    assert_type(model.domains([adata, adata]), Domains)
    assert_type(model.finetune(adata, label="layer"), SToFM)
    assert_type(model.predict(adata), AnnData)
    assert_type(model.forward(data), SliceEncoderOutput)
    assert_type(model.settings, SliceSettings)
    assert_type(model.read_out, ReadOut)
    assert_type(model.cell_encoder, CellEncoder | None)
    assert_type(model.vocab, GeneVocab | None)
    assert_type(model.push_to_hub("user/model", card=ModelCard(license="mit")), str)
    model.save_pretrained("my_model", card=ModelCard(metrics={"ARI": 0.5}))
    assert_type(fit(adata, config=PretrainConfig()), SToFM)


def check_data() -> None:
    adata = generate_tissue(num_slices=2)
    assert_type(adata, AnnData)
    settings = SliceSettings(radius=8.0).replace(unit="micron")
    assert_type(settings, SliceSettings)
    slices = slices_from_anndata(adata, settings, labels="domain")
    assert_type(slices, list[Data])
    assert_type(from_anndata(adata, settings), Data)
    assert_type(to_anndata(slices, adata, embedding=[torch.zeros(1, 2)]), AnnData)
    validate_counts(adata.X)
    assert_type(GeneVocab.from_slices([adata]), GeneVocab)
    parts = SpatialClusterData(slices[0], 500)
    assert_type(SubpatchLoader(parts, batch_size=2), SubpatchLoader)


def check_nn(data: Data) -> None:
    conv = SE2TransformerConv(in_channels=50, out_channels=64, heads=4)
    out = conv.forward(data.x, data.edge_index, data.edge_attr)
    assert_type(out, Tensor | tuple[Tensor, PairRepresentation])
    encoder = SliceEncoder(50, 64, num_layers=3, conv="GATv2Conv", heads=4)
    assert_type(encoder.forward(data.x, data.edge_index, data.edge_attr), SliceEncoderOutput)
    assert_type(GaussianDistance(16, 4).forward(torch.from_numpy(np.ones((3, 1)))), Tensor)
