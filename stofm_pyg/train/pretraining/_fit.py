from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from anndata import AnnData
from torch_geometric.data import Batch, Data

from stofm_pyg._files import check_writable
from stofm_pyg.corpus import corpus_in_memory, corpus_of_data
from stofm_pyg.data import GeneVocab, SliceSettings
from stofm_pyg.data.errors import unknown_key
from stofm_pyg.data.genes.orthologues import Orthologues
from stofm_pyg.data.slices.positions import check_spread, get_positions
from stofm_pyg.data.slices.reader import SliceReader
from stofm_pyg.models import CellEncoder, SToFM
from stofm_pyg.models.cell_encoder.cache import hash_tensors
from stofm_pyg.models.features import Features, GivenFeatures, ObsmFeatures, PCAFeatures, TokenFeatures
from stofm_pyg.models.made_alike import check_made_alike
from stofm_pyg.train.engine.termination import Termination
from stofm_pyg.train.pretraining._pretrain import Objectives, run_pretraining
from stofm_pyg.train.pretraining.config import PretrainConfig
from stofm_pyg.train.pretraining.objectives import OBJECTIVES
from stofm_pyg.train.pretraining.presets import PRESETS
from stofm_pyg.train.pretraining.run import CHECKPOINTS, PretrainRun
from stofm_pyg.transforms.check_tensors import check_tensors

logger = logging.getLogger(__name__)

Source = AnnData | str | os.PathLike | Data


def fit(
    data: Source | Sequence[Source],
    *,
    features: str | Features = "auto",
    preset: str = "small",
    config: PretrainConfig | Mapping | None = None,
    settings: SliceSettings | None = None,
    model: SToFM | None = None,
    cell_encoder: CellEncoder | None = None,
    vocab: GeneVocab | None = None,
    out: str | os.PathLike | None = None,
    seed: int | None = None,
    device: str | torch.device = "auto",
    num_workers: int = 1,
    held_out: int | list[str] = 0,
    objectives: Objectives = OBJECTIVES,
    progress: bool = True,
    stop: Callable[[], bool] | None = None,
    **changes,
) -> SToFM:
    r"""Trains a model on slices, without labels: :meth:`pretrain` on a corpus in memory, from slices to
    a model in one call.

    Args:
        data (AnnData or str or PathLike or Data, or sequence of them): The slices: cells by genes with
            raw counts (in memory, a view, or backed), h5ad files, or slices that are converted already.
        features (str or Features, optional): What the model sees of a cell: :obj:`"pca"`, principal
            components of the counts; :obj:`"tokens"`, embeddings of its ranked genes by a cell encoder,
            which is adapted to the slices first unless one is given; a key in :obj:`adata.obsm`; or
            :obj:`"auto"`, tokens where a cell encoder is given, else components.
            (default: :obj:`"auto"`)
        preset (str, optional): :obj:`"tiny"`, :obj:`"small"` or :obj:`"paper"`, a name in
            :obj:`stofm_pyg.train.PRESETS`. (default: :obj:`"small"`)
        config (PretrainConfig or dict, optional): Another configuration, or values other than those of
            the preset. (default: :obj:`None`)
        settings (SliceSettings, optional): How slices are made. (default: :obj:`None`)
        model (SToFM, optional): A model to go on from, whose features and settings are taken.
            (default: :obj:`None`)
        cell_encoder (CellEncoder, optional): A pre-trained encoder of cells. (default: :obj:`None`)
        vocab (GeneVocab, optional): Its vocabulary; for tokens without an encoder, one is made of the
            slices. (default: :obj:`None`)
        out (str or PathLike, optional): A folder that keeps checkpoints, curves and the model. Where it
            holds a run of the same slices and settings, that goes on. Without, nothing is kept.
            (default: :obj:`None`)
        seed (int, optional): The seed of all that is random; that of the configuration without.
            (default: :obj:`None`)
        device (str or torch.device, optional): Where to train; :obj:`"auto"` is a GPU where there is
            one. (default: :obj:`"auto"`)
        num_workers (int, optional): Processes that make regions meanwhile. (default: :obj:`1`)
        held_out (int or list[str], optional): Slices that are not trained on, see
            :class:`PretrainConfig`. (default: :obj:`0`)
        objectives (Mapping, optional): The objectives that the configuration may name.
            (default: :obj:`OBJECTIVES`)
        progress (bool, optional): Show progress bars. (default: :obj:`True`)
        stop (Callable, optional): Asked in every step whether to end after it. (default: :obj:`None`)
        **changes (optional): Values of :class:`~stofm_pyg.data.SliceSettings` by name, *e.g.*,
            :obj:`slice_key="section"`.

    Returns:
        The model, in evaluation mode.

    Raises:
        OSError: Nothing can be written to :obj:`out`, or another process is at it.
        TypeError: There is no such setting.
        ValueError: Slices cannot be converted, have no genes in common, or :obj:`out` holds another run.
        KeyboardInterrupt: It was interrupted; what was done is in the folder that the message names.

    Example:
        >>> model = fit("brain.h5ad", slice_key="section")
        >>> model.embed(adata)
    """
    one = isinstance(data, (AnnData, str, os.PathLike, Data)) or not isinstance(data, Iterable)
    sources = [data] if one else list(data)
    if not sources:
        raise ValueError("There is no slice to fit to: 'data' is empty")
    config = _config(config, preset, seed, held_out)
    if out is not None:
        check_writable(out)
    if any(isinstance(source, Batch) for source in sources):
        raise TypeError("Expected slices, got a Batch of them; pass 'batch.to_data_list()'")
    settings = settings or (model.settings if model is not None else None)
    if all(isinstance(source, Data) for source in sources):
        for source in sources:
            check_tensors(source)
        settings = _settings_of(sources, settings, changes)
        features, made = _of_data(sources, model)
        corpus, store = corpus_of_data(made, settings)
    else:
        settings = (settings or SliceSettings()).replace(**changes)
        readers = _readers(sources, settings)
        features, vocab, table = _features(features, readers, settings, model, cell_encoder, vocab)
        made = features
        if isinstance(features, TokenFeatures):  # The run makes them, of the encoder that it trains.
            made = None
            if model is None:
                cell_encoder = cell_encoder or features.cell_encoder
                config = replace(config, standardize=features.standardize)
        corpus, store = corpus_in_memory(
            readers, settings, vocab if made is None else None, made, table, progress
        )
        features = made
    began_with = {} if model is None else {"model": hash_tensors(model.state_dict(), {})}
    if features is not None:
        began_with["features"] = features.fingerprint()
    if cell_encoder is not None:
        began_with["cell_encoder"] = cell_encoder.fingerprint()

    def run_in(folder: Path, stop: Callable[[], bool] | None) -> SToFM | None:
        run = PretrainRun(
            corpus, config, folder, None, num_workers, stop, True, device, progress, began_with
        )
        result = run_pretraining(run, features, store, model, cell_encoder, objectives)
        return None if result is None else result[0]

    return _run(run_in, out, stop)


def _run(
    run_in: Callable[[Path, Callable[[], bool] | None], SToFM | None],
    out: str | os.PathLike | None,
    stop: Callable[[], bool] | None,
) -> SToFM:
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="stofm_pyg-fit-") if out is None else out).expanduser()
        if stop is None and threading.current_thread() is threading.main_thread():
            # The first Ctrl-C lets the step end and keeps what was done, the next one does not wait.
            stop = stack.enter_context(Termination(interrupts=True))
        try:
            fitted = run_in(folder, stop)
        except Exception:
            if out is None and not (folder / CHECKPOINTS).exists():
                shutil.rmtree(folder, ignore_errors=True)
            raise
        if fitted is None:
            raise KeyboardInterrupt(
                f"Interrupted: what was done is kept in '{folder}'; the same call with "
                f"'out={str(folder)!r}' goes on from there"
            )
        if out is None:
            shutil.rmtree(folder, ignore_errors=True)
        return fitted


def _config(
    config: PretrainConfig | Mapping | None, preset: str, seed: int | None, held_out: int | list[str]
) -> PretrainConfig:
    if preset not in PRESETS:
        raise ValueError(f"Unknown preset '{preset}'; known: {', '.join(PRESETS)}")
    if not isinstance(config, PretrainConfig):
        values = dict(config or {})
        held_out = values.pop("held_out", held_out)
        config = PretrainConfig.from_dict(values, PRESETS[preset])
    config = PretrainConfig.from_dict({"held_out": held_out}, config)
    return config if seed is None else replace(config, seed=seed)


def _of_data(slices: Sequence[Data], model: SToFM | None) -> tuple[Features, list[Data]]:
    # The features of a model with slices as it takes them.
    if model is None:
        features = GivenFeatures.fit(slices)
        return features, [features.encode_data(data) for data in slices]
    if model.features is None:  # What it sees is the caller's, and stays so.
        features = GivenFeatures.unchanged(model.mask_token.numel())
        return features, [features.encode_data(data) for data in slices]
    return model.features, [check_made_alike(model, data) for data in slices]


def _settings_of(
    slices: Sequence[Data], given: SliceSettings | None, changes: Mapping[str, Any]
) -> SliceSettings:
    texts = {data.get("settings") for data in slices} - {None}
    made = [SliceSettings.from_json(text) for text in sorted(texts)]
    for other in made[1:]:
        wrong = other.differences(made[0])
        if wrong:
            raise ValueError(f"The slices were made in different ways: {', '.join(wrong)}")
    if given is None:
        given = made[0] if made else SliceSettings(unit=slices[0].get("unit") or "spacing")
    given = given.replace(**changes)
    wrong = made[0].differences(given) if made else []
    if wrong:
        raise ValueError(f"The slices were made otherwise than 'settings' say: {', '.join(wrong)}")
    return given


def _readers(sources: Sequence[Source], settings: SliceSettings) -> list[SliceReader]:
    if any(isinstance(source, Data) for source in sources):
        raise TypeError("Got 'Data' and others; pass slices of one kind")
    if len(sources) == 1:
        return [SliceReader(sources[0], settings)]
    readers = [SliceReader(source, settings, required=False) for source in sources]
    asked = settings.slice_key
    if asked != SliceSettings().slice_key and all(r.settings.slice_key != asked for r in readers):
        raise unknown_key(asked, "adata.obs", [], "None of the sources has this column.")
    return readers


def _features(
    asked: str | Features,
    readers: Sequence[SliceReader],
    settings: SliceSettings,
    model: SToFM | None,
    cell_encoder: CellEncoder | None,
    vocab: GeneVocab | None,
) -> tuple[Features | None, GeneVocab | None, Orthologues | None]:
    if model is not None:
        if model.features is None:
            raise ValueError(
                "The model has no features of its own: give it a cell encoder by 'set_cell_encoder', or "
                "fit it to slices as 'Data', with their features"
            )
        asked = model.features
    if asked == "auto":
        asked = "tokens" if cell_encoder is not None or vocab is not None else "pca"
    if isinstance(asked, TokenFeatures):
        if asked.vocab is None:
            raise ValueError(
                "The cell encoder has no vocabulary, without which counts cannot be read; pass it to "
                "'set_cell_encoder'"
            )
        return asked, asked.vocab, asked.orthologues
    if isinstance(asked, Features):
        return asked, None, None
    if asked == "tokens":
        if vocab is None and cell_encoder is not None:
            raise ValueError("Pass the vocabulary of the cell encoder as 'vocab'")
        sources = [reader.adata if reader.path is None else reader.path for reader in readers]
        vocab = vocab or GeneVocab.from_slices(sources, layer=settings.layer)
        table = Orthologues.read(settings.orthologues)
        return None, vocab, table if len(table) > 0 else None
    obsm = None if asked == "pca" else asked
    slices = []
    try:
        for reader in readers:
            for name in reader.rows:
                slices.append(reader.read_by_name(name, obsm)[0])
                check_spread(get_positions(slices[-1], settings.spatial_key), name)
    except ValueError as error:
        if obsm is None or repr(obsm) not in str(error):
            raise
        raise ValueError(f"{error} Other 'features' are 'pca' and 'tokens'.") from error
    if not slices:
        raise ValueError("There is no cell to fit to; check the filter that was applied to the slices")
    if asked == "pca":
        return PCAFeatures.fit(
            slices, settings.num_features, settings.spatial_key, settings.seed
        ), None, None  # fmt: skip
    return ObsmFeatures.fit(slices, asked, settings.spatial_key), None, None
