r"""The adaptation of a cell encoder to the slices at hand."""

from stofm_pyg.train.adaptation._adapt_cell_encoder import AdaptationResult, adapt_cell_encoder
from stofm_pyg.train.adaptation.held_out_cells import held_out_accuracy, held_out_batches, split_held_out
from stofm_pyg.train.adaptation.settings import AdaptationSettings
from stofm_pyg.train.adaptation.task import AdaptationTask

__all__ = [
    "AdaptationResult",
    "AdaptationSettings",
    "AdaptationTask",
    "adapt_cell_encoder",
    "held_out_accuracy",
    "held_out_batches",
    "split_held_out",
]
