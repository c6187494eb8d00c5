from enum import IntEnum


class NodeType(IntEnum):
    r"""What a node of a slice is, in the codes of the official SToFM implementation.

    ``CELL`` is a measured cell or spot, ``CLS`` the read-out token of a subpatch, ``VIRTUAL`` the mean
    of a Leiden cluster (the macro scale) and ``PADDING`` fills up dense batches.
    """

    CELL = 0
    CLS = 1
    VIRTUAL = 2
    PADDING = 3
