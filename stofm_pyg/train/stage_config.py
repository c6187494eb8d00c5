from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class StageConfig:
    r"""One stage of pre-training.

    Args:
        num_epochs (int, optional): Passes over all subpatches. (default: :obj:`2`)
        lr (float, optional): The peak learning rate. (default: :obj:`3e-4`)
        weight_decay (float, optional): The weight decay. (default: :obj:`0.01`)
        batch_size (int, optional): Subpatches of a step, over all processes. (default: :obj:`4`)
        micro_batch_size (int, optional): Subpatches that a process computes at a time.
            (default: :obj:`1`)
        objectives (dict, optional): The weight of each objective, see
            :obj:`stofm_pyg.train.objectives`. (default: :obj:`{"mcm": 1.0, "pdr": 0.01}`)
        mcm_loss (str, optional): See :class:`MaskedCellModelling`. (default: :obj:`"mse"`)
        mask_rate (float, optional): The share of cells that are masked. (default: :obj:`0.1`)
        move_rate (float, optional): The share of cells that are moved. (default: :obj:`0.1`)
        sigma (float, optional): The standard deviation of their moves along each axis, in mean spacings
            of cells. (default: :obj:`5.0`)
        drop_rate (float, optional): The share of cells left out of a subpatch, others each time.
            (default: :obj:`0.15`)
        scale (float, optional): Positions are scaled by a random factor between one minus and one plus
            this. (default: :obj:`0.1`)
        jitter (float, optional): The standard deviation of noise added to features of which one is the
            standard deviation. (default: :obj:`0.5`)
        max_tokens (int, optional): Where the cell encoder is trained, the tokens that are computed at a
            time, forwards and again backwards. (default: :obj:`16_384`)
        gene_cells (int, optional): Cells of a subpatch for objectives of the gene scale.
            (default: :obj:`64`)
        save_every (int, optional): Steps between checkpoints. (default: :obj:`200`)
        evaluate_every (int, optional): Steps between evaluations on the slices held out; at the end of
            each epoch there is one in any case. (default: :obj:`200`)
    """

    num_epochs: int = 2
    lr: float = 3e-4
    weight_decay: float = 0.01
    batch_size: int = 4
    micro_batch_size: int = 1
    objectives: Mapping[str, float] = field(default_factory=lambda: {"mcm": 1.0, "pdr": 0.01})
    mcm_loss: str = "mse"
    mask_rate: float = 0.1
    move_rate: float = 0.1
    sigma: float = 5.0
    drop_rate: float = 0.15
    scale: float = 0.1
    jitter: float = 0.5
    max_tokens: int = 16_384
    gene_cells: int = 64
    save_every: int = 200
    evaluate_every: int = 200

    def __post_init__(self):
        counts = ("batch_size", "micro_batch_size", "max_tokens", "gene_cells", "save_every",
                  "evaluate_every")  # fmt: skip
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"'{name}' must be at least 1 (got {getattr(self, name)})")
        if self.num_epochs < 0:
            raise ValueError(f"'num_epochs' must not be negative (got {self.num_epochs})")
        if not 0 <= self.drop_rate < 1:
            raise ValueError(f"'drop_rate' must lie in [0, 1) (got {self.drop_rate})")
        if not 0 <= self.scale < 1:
            raise ValueError(f"'scale' must lie in [0, 1) (got {self.scale})")
        if not self.objectives or min(self.objectives.values()) < 0:
            raise ValueError(
                f"'objectives' takes at least one objective, with weights that are not negative (got "
                f"{dict(self.objectives)})"
            )
