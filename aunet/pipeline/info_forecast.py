"""The speed and end of a training for ``aunet info``, measured on random images before any data is prepared."""

from pathlib import Path
from typing import Any

import torch

from aunet.build.data import Settings, build_splits, choose_hardware, training_device
from aunet.build.task import build_augmentation, build_task
from aunet.build.trainer import build_clock, build_forecast
from aunet.classes import Labels
from aunet.data.cohort.case import Case, Cohort
from aunet.data.patches.planning import expected_shape
from aunet.data.sources.phantom.space import FIELD_OF_VIEW
from aunet.runs.run_folder import RunFolder
from aunet.training.callbacks.checkpoints import is_readable
from aunet.training.callbacks.forecast import TrialStepError, not_measured
from aunet.training.callbacks.run_clock import RunClock
from aunet.training.hardware import num_devices, set_tf32


def forecast_lines(settings: Settings, cohort: Cohort | None) -> list[str]:
    """Return the line that a training logs before its first step, and a line on its assumptions, if any.

    Args:
        settings: of the run.
        cohort: its cases, whose files need not exist yet; None for the rest of the earlier run ``settings["resume"]``.
    """
    trainer, choice, clock = settings["trainer"], choose_hardware(settings), build_clock(settings)
    set_tf32(choice.is_tf32)
    shapes, assumptions = ([], []) if cohort is None else _validation_shapes(settings, cohort)
    steps, epochs = (0, 0) if cohort is not None else _position(Path(settings["resume"]), clock)
    processes = num_devices(trainer["devices"], trainer["accelerator"])
    if processes > 1:
        assumptions.append(f"each of {processes} processes is as fast as one alone, exchanging nothing")
    if trainer["compile"]:
        assumptions.append("trainer.compile makes no step faster")
    labels = Labels(tuple(settings["dataset"]["class_names"]))
    task = build_task(settings, labels, build_augmentation(settings), clock, choice).to(training_device(choice)).train()
    forecast = build_forecast(settings, choice, shapes, processes)
    try:
        pace = forecast.measure(task)
    except TrialStepError as error:
        return [not_measured(choice, str(error))]
    clock.expect(pace.step_seconds, forecast.validation_seconds(pace, task))
    line = forecast.line(pace, forecast.share(pace, task.device), clock, steps, epochs)
    return [line, *([f"Assumed: {'; '.join(assumptions)}."] if assumptions else [])]


def _validation_shapes(settings: Settings, cohort: Cohort) -> tuple[list[tuple[int, ...]], list[str]]:
    """Return the shape in voxels of each validation case, by its header, and what is assumed of phantoms not made."""
    spacing = settings["dataset"]["spacing"]
    cases = _validation_cases(settings, cohort)
    shapes = [expected_shape(case, spacing) for case in cases if _is_there(case)]
    if missing := len(cases) - len(shapes):
        shape = tuple(round(extent / step) for extent, step in zip(FIELD_OF_VIEW, spacing, strict=True))
        size = "x".join(map(str, shape))
        number = "1 validation case" if missing == 1 else f"{missing} validation cases"
        return [*shapes, *[shape] * missing], [f"{number} of {size} voxels, the phantom's field of view"]
    return shapes, []


def _validation_cases(settings: Settings, cohort: Cohort) -> list[Case]:
    if not all(map(_is_there, cohort.cases)):  # only the files show a case's classes
        data = settings["data"]
        settings = settings | {"data": data | {"split": data["split"] | {"stratify": False}}}
    validated = set(build_splits(settings, cohort).val)
    return [case for case in cohort.cases if case.case_id in validated]


def _is_there(case: Case) -> bool:
    return all(path.exists() for path in case.images)


def _position(folder: Path, clock: RunClock) -> tuple[int, int]:
    """Return the steps and epochs of an earlier run and restore ``clock``; 0 and 0 without a readable checkpoint."""
    checkpoints = RunFolder(folder).checkpoints
    for path in (checkpoints.last, checkpoints.previous):
        if path.is_file() and is_readable(path):
            checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            clock.load_state_dict(checkpoint["callbacks"][clock.state_key])
            return checkpoint["global_step"], _epochs_of(checkpoint)
    return 0, 0


def _epochs_of(checkpoint: dict[str, Any]) -> int:
    return checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
