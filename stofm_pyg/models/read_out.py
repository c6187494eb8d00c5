from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

LAYERS, READOUTS = ("last", "all"), ("cell", "context")


@dataclass(frozen=True)
class ReadOut:
    r"""What of a model becomes the embedding of a cell.

    Args:
        layers (str, optional): :obj:`"last"`, or :obj:`"all"`: the output of every layer, side by side.
            (default: :obj:`"last"`)
        readout (str, optional): :obj:`"cell"`, a cell in its surroundings, or :obj:`"context"`, its
            surroundings alone: each cell is embedded while it is masked as in masked cell modelling, a
            tenth of the cells at a time, at ten times the cost. (default: :obj:`"cell"`)
        part_shares (tuple[float], optional): Sizes of subpatches, as shares of the wanted one, over
            which embeddings are averaged: borders are chance. (default: :obj:`(1.0,)`)
        num_neighbors (int, optional): So many nearest cells in space are averaged with a cell.
            (default: :obj:`0`)
        own_features (bool, optional): Puts the features that a cell enters with beside its embedding.
            (default: :obj:`False`)

    Raises:
        ValueError: A name is unknown, or a number out of its range.
    """

    layers: str = "last"
    readout: str = "cell"
    part_shares: tuple[float, ...] = (1.0,)
    num_neighbors: int = 0
    own_features: bool = False

    def __post_init__(self):
        object.__setattr__(self, "part_shares", tuple(self.part_shares))
        if self.layers not in LAYERS:
            raise ValueError(f"'layers' must be 'last' or 'all' (got '{self.layers}')")
        if self.readout not in READOUTS:
            raise ValueError(f"'readout' must be 'cell' or 'context' (got '{self.readout}')")
        if not self.part_shares or min(self.part_shares) <= 0:
            raise ValueError(f"'part_shares' must be positive (got {self.part_shares})")
        if self.num_neighbors < 0:
            raise ValueError(f"'num_neighbors' must not be negative (got {self.num_neighbors})")

    def changed(self, layers: str | None = None, readout: str | None = None) -> "ReadOut":
        r"""Returns the same with another :obj:`layers` or :obj:`readout`, if one is given."""
        return replace(
            self,
            layers=self.layers if layers is None else layers,
            readout=self.readout if readout is None else readout,
        )

    def to_dict(self) -> dict[str, Any]:
        r"""Returns plain values, from which :meth:`from_dict` makes the same."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ReadOut":
        r"""Returns what :meth:`to_dict` gave.

        Raises:
            TypeError: A value is unknown.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise TypeError(f"Unknown values {unknown} of a read-out")
        return cls(**values)
