from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from anndata import AnnData
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch_geometric.data import Data
from tqdm import tqdm

from stofm_pyg.data.slices.files import opened_anndata
from stofm_pyg.data.slices.labels import encode_labels
from stofm_pyg.loader import RandomRegions
from stofm_pyg.models import LabelHead, ReadOut, SToFM
from stofm_pyg.models.label_head import DOMAINS
from stofm_pyg.nn.node_type import NodeType, cell_mask
from stofm_pyg.train.engine.devices import find_device
from stofm_pyg.train.engine.trainer import Trainer
from stofm_pyg.train.finetuning.channels import MAX_ITERATIONS, choose_channels, regions_of
from stofm_pyg.train.pretraining.config import StageConfig
from stofm_pyg.train.pretraining.transforms import training_transform

logger = logging.getLogger(__name__)

PARTS = ("head", "last", "all")
TOLD = {
    "embedding": "the embedding",
    "both": "the embedding and the features that cells enter with",
    "features": "the features that cells enter with",
}
READ = ("auto", *TOLD)


def finetune(
    model: SToFM,
    data: AnnData | str | os.PathLike | Sequence[AnnData | str | os.PathLike],
    label: str,
    *,
    train: str = "head",
    read: str = "auto",
    num_steps: int = 300,
    lr: float = 3e-4,
    classes: Sequence[str] | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: bool = True,
    **where,
) -> SToFM:
    r"""Teaches a model, in place, a label of cells, which :meth:`SToFM.predict` then finds in others.

    Args:
        model (SToFM): The model.
        data (AnnData or str or PathLike, or sequence of them): The slices with labels.
        label (str): The column of :obj:`adata.obs`; cells without a label are left out.
        train (str, optional): :obj:`"head"`, a linear layer on the embeddings as they are (a logistic
            regression); :obj:`"last"`, the last layer of the model, too; or :obj:`"all"` layers. The
            last two change the embeddings of the model. (default: :obj:`"head"`)
        read (str, optional): What the linear layer reads: :obj:`"embedding"`, a cell in its
            surroundings; :obj:`"features"`, what it enters the model with; :obj:`"both"`; or
            :obj:`"auto"`, what does best on slices (of one slice, regions) of :obj:`data` that it was
            not fitted to. (default: :obj:`"auto"`)
        num_steps (int, optional): The number of steps, a region each, unless the head alone is trained.
            (default: :obj:`300`)
        lr (float, optional): The peak learning rate of these. (default: :obj:`3e-4`)
        classes (sequence of str, optional): The names of the classes in order; those that occur
            without. (default: :obj:`None`)
        seed (int, optional): The seed. (default: :obj:`0`)
        device (str or torch.device, optional): Where to train. (default: :obj:`"auto"`)
        progress (bool, optional): Show a progress bar. (default: :obj:`True`)
        **where (optional): Where things are found, see :meth:`SToFM.slices`.

    Returns:
        The model, in evaluation mode.

    Raises:
        ValueError: There are not two classes, or :obj:`train` or :obj:`read` is unknown.
    """
    if read not in READ:
        raise ValueError(f"Unknown 'read' '{read}'; known: {', '.join(READ)}")
    if train not in PARTS:
        raise ValueError(f"Unknown 'train' '{train}'; known: {', '.join(PARTS)}")
    if not label or "." in label or label == DOMAINS or hasattr(torch.nn.ModuleDict(), label):
        raise ValueError(f"The label '{label}' cannot be kept under that name; rename the column")
    sources = [data] if isinstance(data, (AnnData, str, os.PathLike, Data)) else list(data)
    if not sources:
        raise ValueError("There is no slice to learn from: 'data' is empty")
    codes, names = _labels(sources, label, classes)
    known = np.unique(np.concatenate(codes))
    if (known >= 0).sum() < 2:
        raise ValueError(
            f"'adata.obs[{label!r}]' needs at least two classes to tell apart (found "
            f"{[names[code] for code in known if code >= 0]})"
        )
    if train != "head" and num_steps < 1:
        raise ValueError(f"'num_steps' must be at least 1 (got {num_steps})")
    device = find_device(device)
    model.to(device)
    if train != "head":
        slices = _labelled(model, sources, codes, where)  # Before anything is dropped.
        if len(model.heads) > 0 or model.found_domains is not None:
            logger.warning(
                "Embeddings change: what was learned from the old ones is dropped (%s)",
                ", ".join([*model.heads] + ([DOMAINS] if model.found_domains is not None else [])),
            )
        model.heads, model.found_domains = torch.nn.ModuleDict(), None
        _train_layers(model, slices, names, label, train, num_steps, lr, seed, progress)
    _fit_head(model, sources, codes, names, label, read, seed, where)
    return model.eval()


def _labels(
    sources: Sequence, label: str, classes: Sequence[str] | None
) -> tuple[list[np.ndarray], list[str]]:
    if isinstance(classes, str):
        raise TypeError(f"'classes' takes a list of names (got {classes!r})")
    classes = None if classes is None else [str(name) for name in classes]
    given = None if classes is None else {label: classes}
    read = []
    for source in sources:
        with opened_anndata(source) as adata:
            read.append(encode_labels(adata.obs, label, given))
    names = [] if classes is None else classes
    if classes is None:
        for codes, found in read:  # Categories that no cell has are no classes.
            present = [found[label][code] for code in np.unique(codes[label]) if code >= 0]
            names += [name for name in present if name not in names]
        names.sort()
    number = {name: code for code, name in enumerate(names)}
    out = []
    for codes, found in read:
        lookup = np.array([number.get(name, -1) for name in found[label]] + [-1])
        out.append(lookup[codes[label]])
    return out, names


def _fit_head(model, sources, codes, names, label, read, seed, where):
    read_out = replace(model.read_out, own_features=True)
    rows, truth, places = [], [], []
    for source, own in zip(sources, codes, strict=True):
        for data in model.slices(source, **where):
            z = model.embed(data, seed=seed, read_out=read_out)
            cells = cell_mask(data)
            y = own[data.cell_id[cells].numpy()]
            rows.append(z[torch.from_numpy(y >= 0)])
            truth.append(y[y >= 0])
            places.append(data.pos[cells].double().numpy()[y >= 0])
    x, y = torch.cat(rows), np.concatenate(truth)
    number = x.size(1) - (0 if model.read_out.own_features else model.mask_token.numel())
    channels = np.arange(x.size(1))
    choices = {"embedding": channels[:number], "both": channels, "features": channels[number:]}
    if read == "auto" and number < len(channels):
        sizes = [len(part) for part in truth if len(part) > 0]
        groups = np.repeat(np.arange(len(sizes)), sizes)
        if len(sizes) == 1:
            groups = regions_of(np.concatenate(places), seed)
        read = choose_channels(choices, x.double().numpy(), y, groups, seed)
        logger.info("'%s' is told by %s", label, TOLD[read])
    chosen = choices["embedding" if read == "auto" else read]
    head = LabelHead(len(chosen), names).to(x.device)
    head.channels.copy_(torch.from_numpy(chosen))
    head.standardise(x)
    x = (x[:, head.channels] - head.mean) / head.std
    logistic = LogisticRegression(max_iter=MAX_ITERATIONS)
    logistic.fit(x.double().numpy(), y)
    weight, bias = logistic.coef_, logistic.intercept_
    if len(weight) == 1:  # Of two classes there is one row.
        weight, bias = np.stack([-weight[0], weight[0]]) / 2, np.array([-bias[0], bias[0]]) / 2
    with torch.no_grad():
        head.lin.weight.zero_()
        head.lin.bias.fill_(-1e4)  # A class that was never seen is never found.
        head.lin.weight[logistic.classes_] = torch.from_numpy(weight).float()
        head.lin.bias[logistic.classes_] = torch.from_numpy(bias).float()
    model.heads[label] = head.to(model.mask_token.device)


def _labelled(model, sources, codes, where) -> list[Data]:
    slices = []
    for source, own in zip(sources, codes, strict=True):
        for data in model.slices(source, **where):
            data.y = torch.full((data.num_nodes,), -1)
            cells = data.cell_id >= 0
            data.y[cells] = torch.from_numpy(own)[data.cell_id[cells]]
            slices.append(data)
    return slices


def _train_layers(model, slices, names, label, train, num_steps, lr, seed, progress):
    stage = StageConfig(min_cells=150, max_cells=500, jitter=0.5)
    transform = _WithoutObjectives(training_transform(model.settings, stage, model.graph))
    regions = RandomRegions(slices, stage.min_cells, stage.max_cells, transform, seed)
    layers = model.encoder.blocks[-1:] if train == "last" else model.encoder
    order = np.random.default_rng(seed)

    def steps():
        draw = 0
        while True:
            for index in order.permutation(len(regions)):
                yield regions[int(index), draw]
            draw += 1

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _Labelling(model, len(names)).to(model.mask_token.device)
    features, trained = model.features, [p for p in model.parameters() if p.requires_grad]
    with tqdm(total=num_steps, desc=f"finetune {label}", unit="step", disable=not progress) as bar:
        trainer = Trainer(module, lr, on_step=lambda step, _: bar.update(), seed=seed)
        model.features = None  # A cell encoder is not trained along.
        try:
            model.requires_grad_(False)
            layers.requires_grad_(True)
            trainer.fit(steps(), num_steps)
        finally:
            model.requires_grad_(False)
            model.features = features
            for parameter in trained:
                parameter.requires_grad_(True)
    model.read_out = ReadOut.from_dict({**model.read_out.to_dict(), "readout": "cell"})


class _WithoutObjectives:
    # The region as in pre-training, with nothing masked.
    def __init__(self, transform):
        self.transform = transform

    def __call__(self, data: Data) -> Data:
        data = self.transform(data)
        data.mask = None
        return data


class _Labelling(torch.nn.Module):
    def __init__(self, model: SToFM, num_classes: int):
        super().__init__()
        self.model = model
        self.lin = torch.nn.Linear(model.encoder.hidden_channels, num_classes)

    def forward(self, batch: Data) -> dict[str, Tensor]:
        known = (batch.y >= 0) & (batch.node_type == NodeType.CELL)
        logits = self.lin(self.model(batch).x[known])
        if logits.size(0) == 0:
            return {"loss": logits.sum()}
        return {"loss": F.cross_entropy(logits, batch.y[known])}
