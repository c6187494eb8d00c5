r"""Pictures of slices and of what was found in them, drawn without pyplot and its state.

Every function returns a matplotlib figure and writes it where it is given a path.
"""

from stofm_pyg.plot._marker_genes import marker_genes
from stofm_pyg.plot._plot_attention import plot_attention
from stofm_pyg.plot._plot_composition import plot_composition
from stofm_pyg.plot._plot_confusion import plot_confusion
from stofm_pyg.plot._plot_domains import plot_domains
from stofm_pyg.plot._plot_embedding import plot_embedding
from stofm_pyg.plot._plot_graph import plot_graph
from stofm_pyg.plot._plot_marker_genes import plot_marker_genes
from stofm_pyg.plot._plot_pair_representation import plot_pair_representation
from stofm_pyg.plot._plot_slice import plot_slice
from stofm_pyg.plot._plot_subpatches import plot_subpatches
from stofm_pyg.plot._plot_training_curves import plot_training_curves
from stofm_pyg.plot._plot_truth_and_prediction import plot_truth_and_prediction
from stofm_pyg.plot._plot_virtual_cells import plot_virtual_cells
from stofm_pyg.plot._write_html import write_html
from stofm_pyg.plot.colors import class_colors, colors_of
from stofm_pyg.plot.slice_view import SliceView, show, slice_html

__all__ = [
    "SliceView",
    "class_colors",
    "colors_of",
    "marker_genes",
    "plot_attention",
    "plot_composition",
    "plot_confusion",
    "plot_domains",
    "plot_embedding",
    "plot_graph",
    "plot_marker_genes",
    "plot_pair_representation",
    "plot_slice",
    "plot_subpatches",
    "plot_training_curves",
    "plot_truth_and_prediction",
    "plot_virtual_cells",
    "show",
    "slice_html",
    "write_html",
]
