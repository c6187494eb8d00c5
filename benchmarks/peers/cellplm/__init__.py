r"""CellPLM (`"CellPLM: Pre-training of Cell Language Model Beyond Single Cells"
<https://openreview.net/forum?id=BKXvPDekud>`_): a transformer whose tokens are the cells of a slice."""

from benchmarks.peers.cellplm.masked_counts import CountBatch, MaskedCounts
from benchmarks.peers.cellplm.model import CellPLMModel

__all__ = ["CellPLMModel", "CountBatch", "MaskedCounts"]
