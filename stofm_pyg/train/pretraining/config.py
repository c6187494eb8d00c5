import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from stofm_pyg._files import write_atomically
from stofm_pyg.data.errors import shown
from stofm_pyg.models.read_out import ReadOut
from stofm_pyg.train.adaptation.settings import AdaptationSettings
from stofm_pyg.train.engine.optimizer import OptimizerConfig


@dataclass(frozen=True)
class StageConfig:
    r"""One stage of pre-training.

    Args:
        num_epochs (int, optional): Passes over all cells. (default: :obj:`2`)
        max_steps (int, optional): The most steps, whatever the number of passes; zero for no limit.
            (default: :obj:`0`)
        min_cells (int, optional): The smallest number of cells of a random region; zero to train on the
            subpatches themselves. (default: :obj:`0`)
        max_cells (int, optional): The largest. (default: :obj:`0`)
        lr (float, optional): The peak learning rate. (default: :obj:`3e-4`)
        weight_decay (float, optional): The weight decay. (default: :obj:`0.01`)
        optimizer (OptimizerConfig, optional): The optimiser and its schedule.
        batch_size (int, optional): Regions of a step, over all processes. (default: :obj:`4`)
        micro_batch_size (int, optional): Regions that a process computes at a time.
            (default: :obj:`1`)
        objectives (dict, optional): The weight of each objective, see
            :obj:`stofm_pyg.train.pretraining.objectives`. (default: :obj:`{"mcm": 1.0, "pdr": 0.01}`)
        mcm_loss (str, optional): See :class:`MaskedCellModelling`. (default: :obj:`"mse"`)
        mask_rate (float, optional): The share of cells that are masked. (default: :obj:`0.1`)
        move_rate (float, optional): The share of cells that are moved. (default: :obj:`0.1`)
        sigma (float, optional): The standard deviation of their moves along each axis, in mean spacings
            of cells. (default: :obj:`5.0`)
        drop_rate (float, optional): The share of cells left out of a region, others each time.
            (default: :obj:`0.15`)
        scale (float, optional): Positions are scaled by a random factor between one minus and one plus
            this. (default: :obj:`0.1`)
        jitter (float, optional): The standard deviation of noise added to features of which one is the
            standard deviation. (default: :obj:`0.5`)
        max_tokens (int, optional): Where the cell encoder is trained, the tokens that are computed at a
            time, forwards and again backwards. (default: :obj:`16_384`)
        gene_cells (int, optional): Cells of a region for objectives of the gene scale.
            (default: :obj:`64`)
        save_every (int, optional): Steps between checkpoints. (default: :obj:`200`)
        evaluate_every (int, optional): Steps between evaluations on the slices held out; at the end
            there is one in any case. (default: :obj:`200`)

    Raises:
        ValueError: A number is out of its range, or there is no objective.
    """

    num_epochs: int = 2
    max_steps: int = 0
    min_cells: int = 0
    max_cells: int = 0
    lr: float = 3e-4
    weight_decay: float = 0.01
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
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
        for name in ("num_epochs", "max_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"'{name}' must not be negative (got {getattr(self, name)})")
        if not 0 <= self.min_cells <= self.max_cells or (self.min_cells == 0 < self.max_cells):
            raise ValueError(
                f"'min_cells' and 'max_cells' must be ordered and positive, or both zero (got "
                f"{self.min_cells} and {self.max_cells})"
            )
        if not 0 <= self.drop_rate < 1:
            raise ValueError(f"'drop_rate' must lie in [0, 1) (got {self.drop_rate})")
        if not 0 <= self.scale < 1:
            raise ValueError(f"'scale' must lie in [0, 1) (got {self.scale})")
        if not self.objectives or min(self.objectives.values()) < 0:
            raise ValueError(
                f"'objectives' takes at least one objective, with weights that are not negative (got "
                f"{dict(self.objectives)})"
            )

    @property
    def moves_cells(self) -> bool:
        r"""Whether cells are moved, since their distances are to be recovered."""
        return self.objectives.get("pdr", 0.0) > 0

    def num_steps(self, steps_per_epoch: int) -> int:
        r"""The number of steps of the stage."""
        steps = self.num_epochs * steps_per_epoch
        return min(steps, self.max_steps) if self.max_steps > 0 else steps


@dataclass(frozen=True)
class CellEncoderConfig:
    r"""The sizes of a cell encoder from scratch, see :class:`~stofm_pyg.models.CellEncoder`."""

    hidden_channels: int = 256
    num_layers: int = 6
    heads: int = 4
    ffn_channels: int = 512
    max_length: int = 2048
    out_channels: int = 256
    dropout: float = 0.02


@dataclass(frozen=True)
class ModelConfig:
    r"""The slice encoder, see :class:`~stofm_pyg.models.SToFM`, and how it begins.

    :obj:`mask_vector` is :obj:`"learned"`, or :obj:`"official"`, the constant of the official code.
    With :obj:`local_start` attention begins as :meth:`~stofm_pyg.nn.start_local` says, which is not in
    the paper; little data needs it.
    """

    hidden_channels: int = 256
    num_layers: int = 4
    conv: str = "SE2TransformerConv"
    heads: int = 8
    ffn_channels: int = 512
    num_gaussians: int = 128
    dropout: float = 0.1
    attention_dropout: float = 0.0
    pre_norm: bool = True
    mask_vector: str = "learned"
    local_start: bool = False


@dataclass(frozen=True)
class PretrainConfig:
    r"""All that pre-training depends on, but for the slices; the defaults are those of the paper where
    it states them.

    Args:
        cell_encoder (CellEncoderConfig, optional): The cell encoder, where none is given.
        model (ModelConfig, optional): The slice encoder.
        standardize (bool, optional): Whether embeddings of a cell encoder are standardised in each
            slice, see :class:`~stofm_pyg.models.features.TokenFeatures`. (default: :obj:`False`)
        adaptation (AdaptationSettings, optional): How a cell encoder from scratch is trained first, on
            its own; with :obj:`num_steps=0` it stays as it is.
        adaptation_cells (int, optional): The largest number of cells for that.
            (default: :obj:`200_000`)
        stage_1 (StageConfig, optional): The stage with the features as they are: two epochs.
        stage_2 (StageConfig, optional): The stage that trains the cell encoder, too, where there is
            one: one epoch. With zero epochs a stage is left out.
        read_out (ReadOut, optional): What becomes the embedding.
        held_out (int or list[str], optional): The names of the slices that are held out, or how many:
            the last ones of the corpus. (default: :obj:`1`)
        held_out_draws (int, optional): How often each held-out subpatch is masked. (default: :obj:`2`)
        seed (int, optional): The seed of all that is random. (default: :obj:`0`)
    """

    cell_encoder: CellEncoderConfig = field(default_factory=CellEncoderConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    standardize: bool = False
    adaptation: AdaptationSettings = field(default_factory=AdaptationSettings)
    adaptation_cells: int = 200_000
    stage_1: StageConfig = field(default_factory=StageConfig)
    stage_2: StageConfig = field(default_factory=lambda: StageConfig(num_epochs=1, lr=1e-4))
    read_out: ReadOut = field(default_factory=ReadOut)
    held_out: int | list[str] = 1
    held_out_draws: int = 2
    seed: int = 0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], base: "PretrainConfig | None" = None):
        r"""Returns a configuration with some values other than those of :obj:`base`.

        Raises:
            ValueError: A key is unknown; the message says where, and what was likely meant.
            TypeError: A value is of another type than the default.
        """
        return _overlay(base or cls(), values, "")

    @classmethod
    def read(cls, path: str | os.PathLike, base: "PretrainConfig | None" = None):
        r"""Reads a YAML or JSON file; see :meth:`from_dict`.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is neither, or has unknown keys.
        """
        path = Path(path).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"There is no configuration '{path}'; check the path")
        try:
            text = path.read_text(encoding="utf-8")
            # JSON's 3e-05, without a point, is a word in YAML.
            values = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            told = error or type(error).__name__
            raise ValueError(f"'{path}' is neither YAML nor JSON: {told}") from error
        if not isinstance(values, Mapping):
            raise ValueError(f"'{path}' holds a {type(values).__name__}; write 'key: value' lines")
        return cls.from_dict(values, base)

    def to_dict(self) -> dict[str, Any]:
        r"""Returns plain values, from which :meth:`from_dict` makes the same configuration."""
        return asdict(self)

    def save(self, path: str | os.PathLike):
        r"""Writes a JSON file, as a whole or not at all."""
        text = json.dumps(self.to_dict(), indent=2) + "\n"
        write_atomically(Path(path), lambda part: part.write_text(text, encoding="utf-8"))


def _overlay(base: Any, values: Mapping[str, Any], where: str) -> Any:
    known = {item.name for item in fields(base)}
    changes = {}
    for key, value in values.items():
        name = f"{where}{key}"
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean '{where}{near[0]}'?" if near else f"known: {', '.join(sorted(known))}"
            raise ValueError(f"Unknown key '{name}' in the configuration; {hint}")
        old = getattr(base, key)
        if is_dataclass(old):
            if not isinstance(value, Mapping):
                raise TypeError(f"'{name}' takes keys and values of its own (got {shown(value)})")
            changes[key] = _overlay(old, value, f"{name}.")
        else:
            changes[key] = _checked(name, value, old)
    return replace(base, **changes)


def _checked(name: str, value: Any, old: Any) -> Any:
    if name == "held_out":
        names = isinstance(value, list) and all(isinstance(item, str) for item in value)
        if names or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise TypeError(f"'held_out' takes a number of slices or a list of names (got {shown(value)})")
    if isinstance(old, Mapping):
        if isinstance(value, Mapping):
            return {str(key): float(item) for key, item in value.items()}
        raise TypeError(f"'{name}' takes keys and values of its own (got {shown(value)})")
    if isinstance(old, tuple) and isinstance(value, (list, tuple)):
        return tuple(value)
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(old):
        # YAML reads 1e-3, without a point, as a word.
        hint = "; write 1.0e-3 for 1e-3" if isinstance(old, float) and isinstance(value, str) else ""
        raise TypeError(f"'{name}' takes a {type(old).__name__} (got {shown(value)}){hint}")
    return value
