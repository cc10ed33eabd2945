"""Curves of the attention coefficients over the epochs, from a run's ``attention/statistics.csv``."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from aunet.classes import Labels
from aunet.reporting.curves import INK, PANEL_INCHES, QUIET, Columns, Series, draw_panel
from aunet.reporting.pictures.figure_files import svg_text

_ROW_INCHES = 2.1
# Below this, as in a softmax over thousands of cells or a closed gate, a panel gets its own scale instead of 0 to 1.
_SMALL = 0.3


@dataclass(frozen=True)
class Quantity:
    """One kind of column: ``<prefix>_inside_<class>``.

    ``overall`` is the column that belongs to no class, with its name in the legend. ``neutral`` is the value of a map
    that does not distinguish inside from outside. ``is_share``: values lie in [0, 1].
    """

    prefix: str
    overall: tuple[str, str]
    neutral: float | None
    is_share: bool


AREA = Quantity("auc", ("auc_inside", "any class"), neutral=0.5, is_share=True)
RATIO = Quantity("ratio", ("ratio_inside", "any class"), neutral=1.0, is_share=False)
LEVEL = Quantity("mean", ("mean_outside", "outside all"), neutral=None, is_share=True)


def is_recorded(statistics: Columns, quantity: Quantity) -> bool:
    """Return whether ``statistics`` have a value of ``quantity``; older runs did not record it."""
    column = statistics.get(quantity.overall[0])
    return column is not None and not np.isnan(column.astype(float)).all()


def attention_curves(statistics: Columns, labels: Labels, quantity: Quantity) -> str:
    """Return the SVG of ``quantity`` by epoch: a column for each gated level, a row for each gate.

    Values are means over the recorded cases; a case without an organ is left out of that organ's line.
    """
    levels, gates = np.unique(statistics["level"]), np.unique(statistics["map"])
    size = (PANEL_INCHES[0] * len(levels), _ROW_INCHES * len(gates) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(gates), len(levels), squeeze=False, sharex=True)
    for row, gate in zip(grid, gates, strict=True):
        for axes, level in zip(row, levels, strict=True):
            is_chosen = (statistics["level"] == level) & (statistics["map"] == gate)
            series = _series({name: column[is_chosen] for name, column in statistics.items()}, labels, quantity)
            title = f"level {level}" + (f", gate {gate + 1}" if len(gates) > 1 else "")
            draw_panel(axes, title, series, has_legend=False, is_last=gate == gates[-1])
            _set_scale(axes, series, quantity)
    handles, names = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=8)
    return svg_text(figure)


def _series(chosen: Columns, labels: Labels, quantity: Quantity) -> list[Series]:
    lines = [(name, f"{quantity.prefix}_inside_{name}", labels.color(index), "-") for index, name in labels.foreground]
    column, name = quantity.overall
    epochs = np.unique(chosen["epoch"])
    return [
        Series(
            name, epochs, np.array([_mean(chosen[column][chosen["epoch"] == epoch]) for epoch in epochs]), color, style
        )
        for name, column, color, style in [*lines, (name, column, INK, "--")]
        if column in chosen
    ]


def _set_scale(axes: Axes, series: Sequence[Series], quantity: Quantity) -> None:
    if quantity.neutral is not None:
        axes.axhline(quantity.neutral, color=QUIET, linewidth=0.8, linestyle=":")
    is_small = quantity.neutral is None and max(np.nanmax(line.values, initial=0.0) for line in series) < _SMALL
    # Values that hardly vary leave no margin below the top, which would cut their dots in half.
    axes.set_ylim(0.0, 1.0 if quantity.is_share and not is_small else 1.05 * axes.get_ylim()[1])


def _mean(values: NDArray[np.floating]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
