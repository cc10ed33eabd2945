"""The costs of a run before it starts: network, receptive field, and the forecast of its training.

The speed of the training is measured on random images before any data is prepared.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

from aunet.build.data import build_splits, describe_cohort, fill_in_facts
from aunet.build.inferer import build_inferer
from aunet.build.memory import measure_memory_need
from aunet.build.model import choose_hardware, training_device
from aunet.build.network import build_network
from aunet.build.task import build_augmentation, build_task
from aunet.build.trainer import build_clock, build_forecast
from aunet.config.draft import Draft
from aunet.config.schema import DataConfig, RunConfig
from aunet.config.words import path_of
from aunet.data.cohort.case import Case, Cohort
from aunet.data.patches.planning import expected_shape
from aunet.data.sources.phantom.space import FIELD_OF_VIEW
from aunet.evaluation.cost_table import cost_table
from aunet.networks.inspection.cost import PartCost, measure_cost, parts_of
from aunet.networks.inspection.receptive_field import Field, receptive_fields
from aunet.networks.slice_by_slice import SliceBySlice
from aunet.runs.run_folder import RunFolder
from aunet.terminal import table_console
from aunet.training.callbacks.checkpoints import is_readable
from aunet.training.callbacks.forecast import TrialStepError, not_measured
from aunet.training.callbacks.run_clock import RunClock
from aunet.training.hardware import num_devices, set_tf32
from aunet.training.memory_check import MemoryNeed


@dataclass(frozen=True)
class RunCosts:
    """The costs of a run: settings and facts, cost of each part and the total, receptive fields, forecast, memory.

    ``forecast`` are lines. ``memory`` is None if it cannot be measured ahead.
    """

    config: RunConfig
    parts: list[PartCost]
    fields: dict[str, Field]
    forecast: list[str]
    memory: MemoryNeed | None = None

    def as_json(self) -> dict[str, object]:
        """Return everything for scripts: sizes in voxels, spacing in mm, kept activations in bytes."""
        facts = self.config.dataset
        return {
            "model": self.config.model.name,
            "data": self.config.data.name,
            "batch_size": facts.batch_size,
            "patch_size": list(facts.patch_size),
            "spacing": list(facts.spacing),
            "in_channels": facts.in_channels,
            "classes": list(facts.class_names),
            "parts": [asdict(part) | {"receptive_field": self.fields.get(part.name)} for part in self.parts],
            "forecast": self.forecast,
            "memory": None
            if self.memory is None
            else {"needed_bytes": round(self.memory.needed), "available_bytes": round(self.memory.available)},
        }


def print_costs(draft: Draft) -> None:
    """Print the table of the run that ``draft`` describes, and the forecast of its training."""
    costs, console = measure_run(draft), table_console()
    console.print(cost_table(costs.parts, costs.fields, costs.config.dataset.spacing, _title(costs.config)))
    for line in costs.forecast:
        console.print(line, highlight=False)
    memory = costs.memory
    console.print(memory.line() if memory else "Memory of a training step: not measurable ahead.", highlight=False)
    if memory and (words := memory.excess()):
        console.print(words, highlight=False, markup=False)


def measure_run(draft: Draft) -> RunCosts:
    """Measure the network of the run that ``draft`` describes, and forecast its training."""
    # The configuration of an earlier run holds the facts of its data, which may be gone.
    cohort = None if draft.resume else describe_cohort(draft.data, draft.trusted_modules)
    config = draft.with_facts() if cohort is None else fill_in_facts(draft, cohort)
    facts, network = config.dataset, build_network(config)
    inferer = build_inferer(config, network)
    patch_size, size_multiple = inferer.patch_size, inferer.size_multiple
    if isinstance(network, SliceBySlice):  # every slice costs the same
        network, patch_size, size_multiple = network.network, patch_size[:-1], size_multiple[:-1]
    costs = measure_cost(network, facts.in_channels, patch_size, facts.batch_size)
    fields = _measure_fields(network, facts.in_channels, patch_size, size_multiple)
    return RunCosts(config, costs, fields, *describe_training(config, cohort))


def _measure_fields(
    network: nn.Module, in_channels: int, patch_size: Sequence[int], size_multiple: Sequence[int]
) -> dict[str, Field]:
    """Return the receptive fields of a U-Net's encoder, by part, and of the logits; none if not measurable."""
    encoder = {name: modules[-1] for name, modules in parts_of(network).items() if name.startswith("encoder ")}
    try:
        return receptive_fields(network, in_channels, patch_size, size_multiple, {**encoder, "total": network})
    except (RuntimeError, ValueError):  # networks for one image size refuse another
        return {}


def _title(config: RunConfig) -> str:
    facts = config.dataset
    patch, spacing = ("×".join(f"{length:g}" for length in lengths) for lengths in (facts.patch_size, facts.spacing))
    patches = "patch" if facts.batch_size == 1 else "patches"
    return (
        f"model={config.model.name} data={config.data.name}: {facts.batch_size} {patches} of {patch}"
        f" voxels of {spacing} mm, channels: {facts.in_channels}, classes: {facts.num_classes}"
    )


def describe_training(config: RunConfig, cohort: Cohort | None) -> tuple[list[str], MemoryNeed | None]:
    """Return the line that a training logs before its first step, with a line on its assumptions, and its memory.

    Args:
        config: of the run.
        cohort: its cases, whose files need not exist yet; None for the rest of the earlier run ``config.resume``.
    """
    trainer, choice, clock = config.trainer, choose_hardware(config.trainer), build_clock(config.trainer)
    set_tf32(choice.is_tf32)
    shapes, assumptions = ([], []) if cohort is None else _expect_validation_shapes(config, cohort)
    steps, epochs = (0, 0) if cohort is not None else _restore_position(config, clock)
    processes = num_devices(trainer.devices, trainer.accelerator)
    if processes > 1:
        assumptions.append(f"each of {processes} processes is as fast as one alone, exchanging nothing")
    if trainer.compile:
        assumptions.append("trainer.compile makes no step faster")
    labels = config.dataset.labels
    task = build_task(config, labels, build_augmentation(config), clock, choice).to(training_device(choice)).train()
    need = measure_memory_need(config.dataset, task, processes, processes)
    forecast = build_forecast(config.dataset, trainer, choice, shapes, processes)
    try:
        pace = forecast.measure(task)
    except TrialStepError as error:
        return [not_measured(choice, str(error))], need
    clock.expect(pace.step_seconds, forecast.validation_seconds(pace, task))
    line = forecast.line(pace, forecast.share(pace, task.device), clock, steps, epochs)
    return [line, *([f"Assumed: {'; '.join(assumptions)}."] if assumptions else [])], need


def _expect_validation_shapes(config: RunConfig, cohort: Cohort) -> tuple[list[tuple[int, ...]], list[str]]:
    """Return the shape in voxels of each validation case, by its header, and what is assumed of phantoms not made."""
    spacing = config.dataset.spacing
    cases = _draw_validation_cases(config.data, cohort)
    shapes = [expected_shape(case, spacing) for case in cases if _is_there(case)]
    if missing := len(cases) - len(shapes):
        shape = tuple(round(extent / step) for extent, step in zip(FIELD_OF_VIEW, spacing, strict=True))
        size = "x".join(map(str, shape))
        number = "1 validation case" if missing == 1 else f"{missing} validation cases"
        return [*shapes, *[shape] * missing], [f"{number} of {size} voxels, the phantom's field of view"]
    return shapes, []


def _draw_validation_cases(data: DataConfig, cohort: Cohort) -> list[Case]:
    if not all(map(_is_there, cohort.cases)):  # only the files show a case's classes
        data = replace(data, split=replace(data.split, stratify=False))
    validated = set(build_splits(data, cohort).val)
    return [case for case in cohort.cases if case.case_id in validated]


def _is_there(case: Case) -> bool:
    return all(path.exists() for path in case.images)


def _restore_position(config: RunConfig, clock: RunClock) -> tuple[int, int]:
    """Return the steps and epochs of an earlier run and restore ``clock``; 0 and 0 without a readable checkpoint."""
    checkpoints = RunFolder(path_of(str(config.resume))).checkpoints
    for path in (checkpoints.last, checkpoints.previous):
        if path.is_file() and is_readable(path):
            checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            with suppress(KeyError, TypeError):  # weights alone, such as those of another program
                steps, epochs = int(checkpoint["global_step"]), _epochs_of(checkpoint)
                clock.load_state_dict(checkpoint["callbacks"][clock.state_key])
                return steps, epochs
    return 0, 0


def _epochs_of(checkpoint: dict[str, Any]) -> int:
    return checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
