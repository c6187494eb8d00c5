"""A corpus of generated tissue and a model so small that it is pre-trained in a second."""

from stofm_pyg.corpus import build_corpus
from stofm_pyg.data import GeneVocab, SliceSettings
from stofm_pyg.datasets import generate_tissue
from stofm_pyg.train.pretraining.config import PretrainConfig

CONFIG = {
    "cell_encoder": {
        "hidden_channels": 8, "num_layers": 1, "heads": 2, "ffn_channels": 8, "max_length": 12,
        "out_channels": 6, "dropout": 0.1,
    },
    "model": {
        "hidden_channels": 8, "num_layers": 1, "heads": 2, "ffn_channels": 8, "num_gaussians": 4,
        "dropout": 0.1,
    },
    "adaptation": {"num_steps": 4, "max_tokens": 256},
    "stage_1": {"num_epochs": 1, "lr": 1e-2, "batch_size": 2, "evaluate_every": 2, "save_every": 1},
    "stage_2": {"num_epochs": 1, "lr": 1e-2, "batch_size": 2, "save_every": 2, "max_tokens": 64},
    "held_out_draws": 1,
}  # fmt: skip


def make_config(**changes):
    return PretrainConfig.from_dict(changes, PretrainConfig.from_dict(CONFIG))


def make_tissue(num_slices=3, cells_per_slice=90):
    return generate_tissue(
        num_slices, cells_per_slice, num_genes=30, num_unobserved=0, num_domains=3, num_cell_types=3
    )


def make_corpus(folder, num_slices=3, cells_per_slice=90):
    adata = make_tissue(num_slices, cells_per_slice)
    adata.write_h5ad(folder / "tissue.h5ad")
    settings = SliceSettings(cells_per_part=30, radius=2.5, num_features=5, max_length=16)
    vocab = GeneVocab.from_slices([adata])
    return build_corpus([folder / "tissue.h5ad"], folder / "corpus", vocab, settings)
