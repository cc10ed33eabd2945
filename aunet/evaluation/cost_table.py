"""The table of a network's cost: a row per part, then the total."""

from collections.abc import Mapping, Sequence

from aunet.networks.inspection.cost import PartCost
from aunet.networks.inspection.receptive_field import Field
from aunet.reporting.tables import PaperTable

COST_NOTE = (
    "Forward pass of one training step, the whole batch, float32. GFLOP: convolutions and matrix products, a"
    " multiply-add counted as 2; the backward pass takes about twice as many again. MiB: activations kept for the"
    " backward pass, each in the row that first keeps it; weights, gradients and workspace come on top."
)
FIELD_NOTE = (
    "Receptive field: what a voxel in the middle depends on, of the encoder's features and, in the last row, of the"
    " logits; 'all': the whole patch. Instance and group norms, which see all of it, are left out."
)
UNKNOWN_FIELD_NOTE = "No receptive field: this network takes images of one size only."


def cost_table(
    costs: Sequence[PartCost], fields: Mapping[str, Field], spacing: Sequence[float], title: str
) -> PaperTable:
    """Return the table of ``costs``, as ``measure_cost`` returns them, and of the receptive fields of some parts.

    Args:
        costs: of the parts, the total last.
        fields: receptive fields by the part's name; empty if they cannot be measured.
        spacing: voxel size in mm.
        title: names the run that was measured.
    """
    *parts, total = (_row(cost, fields.get(cost.name), spacing) for cost in costs)
    return PaperTable(
        title=title,
        columns=("Part", "Size", "Channels", "Parameters", "GFLOP", "MiB", "Field (voxels)", "Field (mm)"),
        groups=(tuple(parts), (total,)),
        notes=(COST_NOTE, FIELD_NOTE if fields else UNKNOWN_FIELD_NOTE),
        name_columns=1,
    )


def _row(cost: PartCost, field: Field | None, spacing: Sequence[float]) -> tuple[str, ...]:
    return (
        cost.name,
        "×".join(map(str, cost.size)),
        str(cost.channels or ""),
        f"{cost.parameters:,}",
        f"{cost.flop / 1e9:,.2f}",
        f"{cost.kept_bytes / 2**20:,.1f}",
        *_field_cells(field, spacing),
    )


def _field_cells(field: Field | None, spacing: Sequence[float]) -> tuple[str, str]:
    """Return the field in voxels and in mm: "all" for an axis that it spans, "whole patch" for all, "" if unknown."""
    if field is None:
        return "", ""
    if all(width is None for width in field):
        return "whole patch", "whole patch"
    sides = spacing[: len(field)]  # a 2D network has no third axis
    millimetres = [None if width is None else width * side for width, side in zip(field, sides, strict=True)]
    return "×".join(map(_length, field)), "×".join(map(_length, millimetres))


def _length(value: float | None) -> str:
    return "all" if value is None else f"{value:g}"
