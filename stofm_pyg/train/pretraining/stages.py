import copy
import logging
from pathlib import Path

from stofm_pyg.corpus import CorpusDataset
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
    name: str, run: PretrainRun, stage: StageConfig, module: Pretraining, features: Path, tokens: bool
) -> tuple[dict[str, dict[str, float]] | None, Pretraining]:
    r"""Trains a module for one stage, in place, from the newest checkpoint if there is one.

    Args:
        name (str): The name of the stage.
        run (PretrainRun): The run.
        stage (StageConfig): The stage.
        module (Pretraining): The model with its objectives.
        features (Path): The embeddings of all cells of the corpus.
        tokens (bool): Whether the module takes tokens.

    Returns:
        The errors on the slices held out as :obj:`"before"` and :obj:`"after"`, and those of
        :obj:`"baselines"`, or :obj:`None` if the run was told to end before the stage was over; and the
        trained module, whole in every process.

    Raises:
        FloatingPointError: The loss was not finite. The last good step is in a checkpoint.
        ValueError: The checkpoints are of another run, or all damaged.
    """
    seed = run.config.seed
    transform = training_transform(run.corpus.settings, stage, trains_cells=tokens)
    dataset = CorpusDataset(run.train, features, tokens, transform=transform, seed=seed)
    rank, number = run.share
    plan = BatchPlan(dataset.sizes, stage.batch_size, number, rank, seed)
    num_steps = stage.num_epochs * len(plan)
    held_out = HeldOutSlices(run.held_out, features, stage, run.config.held_out_draws, tokens, seed)
    checkpoints = Checkpoints(run.out / CHECKPOINTS / name)
    trainer = Trainer(
        module, stage.lr, stage.weight_decay, accelerator=run.accelerator, seed=seed, stop=run.stop
    )
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
    if not errors:
        errors = {"before": held_out.evaluate(module), "baselines": held_out.baselines()}
    curves = PretrainCurves(
        run.out / CURVES, name, start, num_steps, run.train.num_cells / len(plan), run.first
    )
    if start == 0:
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
        epoch_ends = step % len(plan) == 0
        score = None
        if step % stage.evaluate_every == 0 or epoch_ends:
            errors["after"] = held_out.evaluate(trainer.wrapped)
            score = errors["after"].get("mcm_mse", errors["after"].get("pdr_rmse"))
            curves.add(step, errors["after"], "held_out")
            if epoch_ends:
                pos, z = held_out.embed(trainer.wrapped)
                title = f"{run.held_out.names[0]}, {name}, epoch {step // len(plan)}"
                curves.add_picture(step, "held_out/clusters", draw_clusters(pos, z, title))
            curves.restart_clock()
        if step % stage.save_every == 0 or score is not None or trainer.stopped:
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
