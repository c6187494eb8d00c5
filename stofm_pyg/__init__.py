"""Graph learning for spatial transcriptomics on PyTorch Geometric.

stofm_pyg turns slices of tissue into graphs, cuts them into subpatches, and embeds every cell in
its neighbourhood with an SE(2) Transformer, as SToFM does (`"SToFM: a Multi-scale Foundation Model
for Spatial Transcriptomics" <https://arxiv.org/abs/2507.11588>`_). Its parts are where a user of
PyTorch Geometric looks for them: :obj:`data`, :obj:`datasets`, :obj:`transforms`, :obj:`loader`,
:obj:`nn`, :obj:`models` and :obj:`train`.
"""

__version__ = "0.1.0"
