r"""Layers of SToFM, on torch and PyG alone."""

from stofm_pyg.nn._attention_weights import attention_weights
from stofm_pyg.nn._start_local import start_local
from stofm_pyg.nn.gaussian_distance import GaussianDistance
from stofm_pyg.nn.node_type import NodeType
from stofm_pyg.nn.pair_representation import PairRepresentation
from stofm_pyg.nn.se2_transformer_conv import SE2TransformerConv
from stofm_pyg.nn.slice_encoder import SliceEncoder, SliceEncoderOutput

__all__ = [
    "GaussianDistance",
    "NodeType",
    "PairRepresentation",
    "SE2TransformerConv",
    "SliceEncoder",
    "SliceEncoderOutput",
    "attention_weights",
    "start_local",
]
