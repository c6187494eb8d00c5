import copy
import logging

import torch

from stofm_pyg.corpus import CorpusDataset, CorpusSlices, FeatureStore
from stofm_pyg.loader import RandomRegions
from stofm_pyg.train.engine.batch_plan import BatchPlan
from stofm_pyg.train.engine.checkpoints import Checkpoints
from stofm_pyg.train.engine.loader import PlanLoader
from stofm_pyg.train.engine.trainer import Trainer
from stofm_pyg.train.objectives.pretraining import Pretraining
from stofm_pyg.train.pretraining.config import StageConfig
from stofm_pyg.train.pretraining.curves import PretrainCurves, draw_clusters
from stofm_pyg.train.pretraining.held_out_slices import HeldOutSlices
from stofm_pyg.train.pretraining.run import CHECKPOINTS, CURVES, PretrainRun
from stofm_pyg.train.pretraining.transforms import training_transform

logger = logging.getLogger(__name__)


def run_stage(
    name: str,
    run: PretrainRun,
    stage: StageConfig,
    module: Pretraining,
    features: FeatureStore,
    graph: str = "radius",
    tokens: bool = False,
) -> tuple[dict[str, dict[str, float]] | None, Pretraining]:
    r"""Trains a module for one stage, in place, from the newest checkpoint if there is one.

    Args:
        name (str): The name of the stage.
        run (PretrainRun): The run.
        stage (StageConfig): The stage.
        module (Pretraining): The model with its objectives.
        features (FeatureStore): The features of all cells of the corpus.
        graph (str, optional): How nodes are tied, :obj:`SToFM.graph`. (default: :obj:`"radius"`)
        tokens (bool, optional): Whether the module takes tokens. (default: :obj:`False`)

    Returns:
        The errors on the slices held out as :obj:`"before"` and :obj:`"after"`, and those of
        :obj:`"baselines"`, or :obj:`None` if the run was told to end before the stage was over; and the
        trained module, whole in every process.

    Raises:
        FloatingPointError: The loss was not finite. The last good step is in a checkpoint.
        ValueError: The checkpoints are of another run, or all damaged.
    """
    seed = run.config.seed
    dataset = training_items(run, stage, features, graph, tokens)
    rank, number = run.share
    plan = BatchPlan(dataset.sizes, stage.batch_size, number, rank, seed)
    num_steps = stage.num_steps(len(plan))
    held_out = None
    if len(run.held_out) > 0:
        draws = run.config.held_out_draws
        held_out = HeldOutSlices(run.held_out, features, stage, draws, tokens, seed, graph)
    checkpoints = Checkpoints(run.out / CHECKPOINTS / name)
    trainer = Trainer(
        module, stage.lr, stage.weight_decay, accelerator=run.accelerator, seed=seed, stop=run.stop,
        optimizer=stage.optimizer,
    )  # fmt: skip
    state = checkpoints.load_newest() if run.resume else None
    start, errors = 0, {}
    if state is not None:
        run.check(state["run"], checkpoints.folder)
        trainer.load_state_dict(state["trainer"])
        start, errors = state["trainer"]["step"], state["errors"]
        logger.info("%s goes on after step %d of %d", name, start, num_steps)
        if start == num_steps:
            return errors, module
    whole = copy.deepcopy(module) if run.sharded else module
    module.to(run.device)
    if not errors and held_out is not None:
        errors = {"before": held_out.evaluate(module), "baselines": held_out.baselines()}
    cells = float(dataset.sizes.sum()) / len(plan)
    curves = PretrainCurves(
        run.out / CURVES, name, start, num_steps, cells, run.first, bar=run.shown
    )
    if start == 0 and errors:
        curves.add(0, errors["before"], "held_out")
        curves.add(0, errors["baselines"], "held_out")

    def save(score: float | None = None):
        state = trainer.state_dict()
        if run.first:
            curves.flush()
            content = {"trainer": state, "run": run.marks(), "errors": errors, "stage": name}
            checkpoints.save(trainer.step, content, score)

    def report(step: int, scalars: dict[str, float]):
        curves.add(step, scalars | {"lr": trainer.current_lr})
        score = None
        last = step == num_steps
        if held_out is not None and (step % stage.evaluate_every == 0 or last):
            errors["after"] = held_out.evaluate(trainer.wrapped)
            score = errors["after"].get("mcm_mse", errors["after"].get("pdr_rmse"))
            curves.add(step, errors["after"], "held_out")
            if last:
                pos, z = held_out.embed(trainer.wrapped)
                title = f"{run.held_out.names[0]}, {name}, step {step}"
                curves.add_picture(step, "held_out/clusters", draw_clusters(pos, z, title))
            curves.restart_clock()
        if step % stage.save_every == 0 or score is not None or last or trainer.stopped:
            save(score)
            curves.restart_clock()

    trainer.on_step = report
    loader = PlanLoader(dataset, plan, start, num_steps, stage.micro_batch_size, run.num_workers)
    try:
        trainer.fit(curves.timed(loader), num_steps)
    except FloatingPointError:
        save()
        raise
    finally:
        curves.close()
    if trainer.step < num_steps:
        return None, module
    if run.sharded:
        run.wait()
        whole.load_state_dict(checkpoints.load_newest()["trainer"]["module"])
    return errors, whole


def training_items(
    run: PretrainRun, stage: StageConfig, features: FeatureStore, graph: str, tokens: bool
) -> torch.utils.data.Dataset:
    r"""What a stage is trained on: random regions of the slices, or their subpatches.

    The arguments are those of :meth:`run_stage`.
    """
    transform = training_transform(run.corpus.settings, stage, graph, trains_cells=tokens)
    seed, rings = run.config.seed, stage.objectives.get("rings", 0) > 0
    if rings:
        rank, number = run.share
        for shard in run.train.shards[rank::number]:
            features.write_rings(shard)
        run.wait()
    if stage.min_cells == 0:
        return CorpusDataset(
            run.train, features, tokens, transform=transform, seed=seed, rings=rings
        )
    slices = CorpusSlices(run.train, features, tokens, rings=rings)
    return RandomRegions(slices, stage.min_cells, stage.max_cells, transform, seed)
