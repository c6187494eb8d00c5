r"""Transforms of a slice given as a PyG :class:`~torch_geometric.data.Data`."""

from stofm_pyg.transforms.add_cls import AddCLS
from stofm_pyg.transforms.add_virtual_cells import AddVirtualCells
from stofm_pyg.transforms.connect_virtual_cells import ConnectVirtualCells
from stofm_pyg.transforms.drop_cells import DropCells
from stofm_pyg.transforms.jitter_features import JitterFeatures
from stofm_pyg.transforms.ligand_receptor_prior import LigandReceptorPrior
from stofm_pyg.transforms.mask_cells import MaskCells
from stofm_pyg.transforms.normalize_position import NormalizePosition
from stofm_pyg.transforms.official_graph import OfficialGraph
from stofm_pyg.transforms.perturb_positions import PerturbPositions
from stofm_pyg.transforms.scale_positions import ScalePositions
from stofm_pyg.transforms.spatial_radius_graph import SpatialRadiusGraph

__all__ = [
    "AddCLS",
    "AddVirtualCells",
    "ConnectVirtualCells",
    "DropCells",
    "JitterFeatures",
    "LigandReceptorPrior",
    "MaskCells",
    "NormalizePosition",
    "OfficialGraph",
    "PerturbPositions",
    "ScalePositions",
    "SpatialRadiusGraph",
]
