"""Graph learning for spatial transcriptomics on PyTorch Geometric.

stofm_pyg turns slices of tissue into graphs, cuts them into subpatches, and embeds every cell in
its neighbourhood with an SE(2) Transformer, as SToFM does (`"SToFM: a Multi-scale Foundation Model
for Spatial Transcriptomics" <https://arxiv.org/abs/2507.11588>`_). Its parts are where a user of
PyTorch Geometric looks for them: :obj:`data`, :obj:`datasets`, :obj:`transforms`, :obj:`loader`,
:obj:`nn`, :obj:`models` and :obj:`train`; :class:`SToFM` is at hand here.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stofm_pyg import corpus, data, datasets, loader, models, nn, plot, train, transforms
    from stofm_pyg.models import SToFM

__version__ = "0.1.0"

__all__ = [
    "SToFM",
    "__version__",
    "corpus",
    "data",
    "datasets",
    "loader",
    "models",
    "nn",
    "plot",
    "train",
    "transforms",
]


def __getattr__(name: str):
    # On use, since some of them take seconds to import, and no room imports the house.
    if name == "SToFM":
        return importlib.import_module("stofm_pyg.models").SToFM
    if name in __all__:
        return importlib.import_module(f"stofm_pyg.{name}")
    raise AttributeError(f"module 'stofm_pyg' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
