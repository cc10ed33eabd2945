"""``extend=<run>``: more epochs or time for a finished run, which from then on counts as interrupted."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import DictConfig

from aunet.build.task import build_schedule
from aunet.config.composition import check_config, resolve_config
from aunet.errors import UserError
from aunet.files import write_text
from aunet.pipeline.ended_run import is_longer
from aunet.runs.ranks import is_started_as_rank
from aunet.runs.run_folder import RunFolder, checkpoint_of_run
from aunet.runs.run_record import RunRecord
from aunet.runs.run_state import RunState, read_run_state
from aunet.training.callbacks.accumulation import count_steps

_log = logging.getLogger(__name__)


def extend_run(config: DictConfig, folder: Path, limits: Mapping[str, Any]) -> None:
    """Set new limits of the training in ``config`` and in the run's folder, and log the effect on the schedule.

    Args:
        config: of the run; changed in place.
        folder: of the run.
        limits: ``max_epochs``, ``max_time`` or both; those given replace the run's.

    Raises:
        UserError: torchrun started this process, the run has not finished, or the new limits are not longer.
    """
    run = read_run_state(folder)
    _check_is_finished(run)
    config["trainer"].update(limits)
    check_config(config)
    _check_is_longer(run, config.trainer.max_epochs if "max_epochs" in limits else None, config.trainer.max_time)
    steps = _steps_done(folder)
    settings = resolve_config(config, {})
    _say_what_the_schedule_does(settings, run, steps)
    RunRecord(folder).update(status="interrupted", extended_at_step=steps, extended_from_epochs=run.max_epochs)
    write_text(RunFolder(folder).config, yaml.safe_dump(settings, sort_keys=False))


def _check_is_finished(run: RunState) -> None:
    if is_started_as_rank():
        raise UserError("extend= is not for torchrun: with trainer.devices the run starts its processes itself.")
    if run.status != "finished":
        raise UserError(
            f"extend={run.folder}: this run is {run.status}; only a finished one is extended. Go on with resume=."
        )


def _check_is_longer(run: RunState, max_epochs: int | None, max_time: str | None) -> None:
    """Raise UserError unless the new limits exceed the epochs and the time limit that the run has had."""
    if max_epochs is None and run.ended_by == "max_epochs":
        raise UserError(f"trainer.max_epochs is missing: this run has had {run.num_epochs} epochs; give more.")
    if max_epochs is not None and max_epochs <= run.num_epochs:
        raise UserError(f"trainer.max_epochs={max_epochs}: this run has had {run.num_epochs} epochs; give more.")
    if run.ended_by == "max_time" and not is_longer(max_time, run.max_time):
        raise UserError(
            f"trainer.max_time={max_time}: this limit ended the run after {run.num_epochs} epochs. Give a longer one,"
            " such as trainer.max_time=01:00:00:00 (DD:HH:MM:SS, the time so far included), or null for none."
        )


def _steps_done(folder: Path) -> int:
    last = RunFolder(folder).checkpoints.last
    path = last if last.is_file() else checkpoint_of_run(folder)
    return int(torch.load(path, map_location="meta", weights_only=True)["global_step"])


def _say_what_the_schedule_does(settings: dict[str, Any], run: RunState, steps: int) -> None:
    trainer = settings["trainer"]
    if trainer["max_time"] is not None:
        _log.info(
            "Extended to trainer.max_time=%s. The learning rate follows the schedule over the steps of the whole time.",
            trainer["max_time"],
        )
        return
    schedule, epochs = build_schedule(settings), trainer["max_epochs"]
    left = (epochs - run.num_epochs) * count_steps(trainer["batches_per_epoch"], trainer["accumulate"])
    _log.info(
        "Extended from %d to %d epochs. The learning rate follows the schedule over all of them: it goes on at %.3f of"
        " its start, having come down to %.3f. This run is not one planned for %d epochs.",
        run.num_epochs,
        epochs,
        schedule(steps / (steps + left)),
        schedule(1.0),
        epochs,
    )
