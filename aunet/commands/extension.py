"""``extend=<run>``: a finished run is given more epochs; from then on it is one that was interrupted."""

import logging
from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import DictConfig

from aunet.atomic_files import write_text
from aunet.build import build_schedule
from aunet.config import check_config, resolve_config
from aunet.errors import UserError
from aunet.training.ranks import is_started_as_rank
from aunet.training.run_record import RunRecord
from aunet.training.transfer import checkpoint_of_run

_log = logging.getLogger(__name__)


def extend_run(config: DictConfig, folder: Path, max_epochs: object) -> None:
    """Set the new number of epochs in ``config`` and in the run's folder, and say what becomes of the schedule.

    Raises:
        UserError: the run has not finished, or the epochs are not more.
    """
    record, before = RunRecord(folder), int(config.trainer.max_epochs)
    _check_extension(config, folder, str(record.facts.get("status")), max_epochs)
    steps = _steps_done(folder)
    config["trainer"]["max_epochs"] = max_epochs
    check_config(config)
    settings = resolve_config(config, {})
    _say_what_the_schedule_does(settings, before, steps)
    record.update(status="interrupted", extended_at_step=steps, extended_from_epochs=before)
    write_text(folder / "config.yaml", yaml.safe_dump(settings, sort_keys=False))


def _check_extension(config: DictConfig, folder: Path, status: str, max_epochs: object) -> None:
    before = config.trainer.max_epochs
    if is_started_as_rank():
        raise UserError("extend= is not for torchrun: with trainer.devices the run starts its processes itself.")
    if status != "finished":
        raise UserError(f"extend={folder}: this run is {status}; only a finished one is extended. Go on with resume=.")
    if not isinstance(max_epochs, int) or max_epochs <= before:
        given = "is missing" if max_epochs is None else f"={max_epochs}"
        raise UserError(f"trainer.max_epochs {given}: this run has had {before} epochs; give more.")


def _steps_done(folder: Path) -> int:
    last = folder / "checkpoints" / "last.ckpt"
    path = last if last.is_file() else checkpoint_of_run(folder)
    return int(torch.load(path, map_location="meta", weights_only=True)["global_step"])


def _say_what_the_schedule_does(settings: dict[str, Any], before: int, steps: int) -> None:
    trainer, schedule = settings["trainer"], build_schedule(settings)
    total = trainer["max_epochs"] * trainer["batches_per_epoch"] // trainer["accumulate"]
    _log.info(
        "Extended from %d to %d epochs. The learning rate follows the schedule over all of them: it goes on at %.3f of"
        " its start, having come down to %.3f. This run is not one planned for %d epochs.",
        before,
        trainer["max_epochs"],
        schedule(steps / total),
        schedule(1.0),
        trainer["max_epochs"],
    )
