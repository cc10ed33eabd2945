"""The costs of a run before it starts: network, receptive field, and the forecast of its training."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from torch import nn

    from aunet.networks.inspection.receptive_field import Field


def print_costs(config: "DictConfig") -> None:
    """Print the table of the run that ``config`` describes, and the forecast of its training."""
    from aunet.build.data import build_network, build_window, describe_cohort, with_facts
    from aunet.config.composition import resolve_config
    from aunet.evaluation.cost_table import cost_table
    from aunet.networks.inspection.cost import measure_cost
    from aunet.networks.slice_by_slice import SliceBySlice
    from aunet.pipeline.info_forecast import forecast_lines
    from aunet.terminal import table_console

    # The configuration of an earlier run holds the facts of its data, which may be gone.
    cohort = None if config.resume else describe_cohort(config)
    settings = resolve_config(config, {}) if cohort is None else with_facts(config, cohort)
    facts, network = settings["dataset"], build_network(settings)
    window = build_window(settings, network)
    patch_size, size_multiple = window.patch_size, window.size_multiple
    if isinstance(network, SliceBySlice):  # every slice costs the same
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
    """Return the receptive fields of a U-Net's encoder, by part, and of the logits; none if not measurable."""
    from aunet.networks.inspection.cost import parts_of
    from aunet.networks.inspection.receptive_field import receptive_fields

    encoder = {name: modules[-1] for name, modules in parts_of(network).items() if name.startswith("encoder ")}
    try:
        return receptive_fields(network, in_channels, patch_size, size_multiple, {**encoder, "total": network})
    except (RuntimeError, ValueError):  # networks for one image size refuse another
        return {}


def _title(settings: dict[str, Any]) -> str:
    facts = settings["dataset"]
    patch, spacing = ("×".join(f"{length:g}" for length in facts[key]) for key in ("patch_size", "spacing"))
    patches = "patch" if facts["batch_size"] == 1 else "patches"
    return (
        f"model={settings['model']['name']} data={settings['data']['name']}: {facts['batch_size']} {patches} of {patch}"
        f" voxels of {spacing} mm, channels: {facts['in_channels']}, classes: {facts['num_classes']}"
    )
