"""``aunet info``: what the network of a run costs and sees, part by part, and when its training would end."""

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from torch import nn

    from aunet.networks.receptive_field import Field


def info(words: Sequence[str]) -> None:
    """Print the table for the run that the Hydra overrides in ``words`` describe, as ``aunet train --info`` does."""
    from aunet.commands.train import train

    _, overrides = _parser().parse_known_args(list(words))
    train(["--info", *overrides])


def _parser() -> ArgumentParser:
    return ArgumentParser(
        prog="aunet info",
        description="Parameters, GFLOP, activation memory and receptive field of a run's network, part by part, for"
        " its patch and batch; then the speed of its training on this machine and its expected end."
        " Nothing is written, and no phantom is made.",
        epilog="Settings are Hydra overrides, as for aunet train:"
        " model=attention data.patch_size=[160,160,96] data.batch_size=2.",
    )


def print_costs(config: "DictConfig") -> None:
    """Print the table of the run that ``config`` describes, and the forecast of its training."""
    from aunet.build import build_network, build_window, describe_cohort, with_facts
    from aunet.commands.info_forecast import forecast_lines
    from aunet.config import resolve_config
    from aunet.networks.cost import measure_cost
    from aunet.networks.slice_by_slice import SliceBySlice
    from aunet.reporting.cost_table import cost_table
    from aunet.reporting.tables import table_console

    # An earlier run has its facts in its configuration, and its data may be gone.
    cohort = None if config.resume else describe_cohort(config)
    settings = resolve_config(config, {}) if cohort is None else with_facts(config, cohort)
    facts, network = settings["dataset"], build_network(settings)
    window = build_window(settings, network)
    patch_size, size_multiple = window.patch_size, window.size_multiple
    if isinstance(network, SliceBySlice):  # one slice tells all
        network, patch_size, size_multiple = network.network, patch_size[:-1], size_multiple[:-1]
    costs = measure_cost(network, facts["in_channels"], patch_size, facts["batch_size"])
    fields = _fields(network, facts["in_channels"], patch_size, size_multiple)
    console = table_console()
    console.print(cost_table(costs, fields, facts["spacing"], _title(settings)))
    for line in forecast_lines(settings, cohort):
        console.print(line, highlight=False)


def _fields(
    network: "nn.Module", in_channels: int, patch_size: Sequence[int], size_multiple: Sequence[int]
) -> "dict[str, Field]":
    """Receptive fields of a U-Net's encoder, by part, and of the logits; none where they cannot be measured."""
    from aunet.networks.cost import parts_of
    from aunet.networks.receptive_field import receptive_fields

    encoder = {name: modules[-1] for name, modules in parts_of(network).items() if name.startswith("encoder ")}
    try:
        return receptive_fields(network, in_channels, patch_size, size_multiple, {**encoder, "total": network})
    except (RuntimeError, ValueError):  # what networks for one size say of another
        return {}


def _title(settings: dict[str, Any]) -> str:
    facts = settings["dataset"]
    patch, spacing = ("×".join(f"{length:g}" for length in facts[key]) for key in ("patch_size", "spacing"))
    patches = "patch" if facts["batch_size"] == 1 else "patches"
    return (
        f"model={settings['model']['name']} data={settings['data']['name']}: {facts['batch_size']} {patches} of {patch}"
        f" voxels of {spacing} mm, channels: {facts['in_channels']}, classes: {facts['num_classes']}"
    )
