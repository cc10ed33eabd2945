"""Curves over the epochs, from the tables of a run: how it learned, and how its attention settled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from aunet.labels import Labels
from aunet.reporting.figure_files import svg_text

Columns = Mapping[str, NDArray[Any]]
Color = tuple[float, float, float] | str

_INK = "#1f2937"
_QUIET = "#6b7280"
_PANEL_INCHES = (3.5, 2.5)
_ROW_INCHES = 2.1
# Below this, as in a softmax over thousands of cells or a closed gate, a panel gets its own scale instead of 0 to 1.
_SMALL = 0.3


@dataclass(frozen=True)
class Series:
    """One line of a panel: ``values`` at ``epochs``, NaN where there is none."""

    name: str
    epochs: NDArray[np.number]
    values: NDArray[np.floating]
    color: Color
    style: str = "-"


def training_curves(metrics: Columns, labels: Labels) -> str:
    """The SVG of loss, validation Dice and learning rate against the epoch, from the columns of ``metrics.csv``.

    A panel whose columns are missing is left out.
    """
    dice = [
        series
        for index, name in labels.foreground
        for series in _series(metrics, f"val/dice/{name}", name, labels.color(index))
    ]
    panels = {
        "training loss": _series(metrics, "train/loss", "loss", _INK),
        "validation Dice": [*dice, *(_series(metrics, "val/dice", "mean", _INK, "--") if len(dice) > 1 else [])],
        "learning rate": _series(metrics, "learning_rate", "learning rate", _INK),
    }
    shown = {title: series for title, series in panels.items() if series}
    figure = Figure(figsize=(_PANEL_INCHES[0] * max(len(shown), 1), _PANEL_INCHES[1]), layout="constrained")
    for axes, (title, series) in zip(_row_of_axes(figure, len(shown)), shown.items(), strict=True):
        _draw_panel(axes, title, series)
        if title == "validation Dice":
            axes.set_ylim(0, 1)
    return svg_text(figure)


def attention_curves(statistics: Columns, labels: Labels) -> str:
    """The SVG of mean coefficients inside each organ and outside all, from the columns of ``attention/statistics.csv``.

    A column for each gated level, a row for each gate; means over the recorded cases.
    """
    levels, gates = np.unique(statistics["level"]), np.unique(statistics["map"])
    size = (_PANEL_INCHES[0] * len(levels), _ROW_INCHES * len(gates) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    grid: Any = figure.subplots(len(gates), len(levels), squeeze=False, sharex=True)
    for row, gate in zip(grid, gates, strict=True):
        for axes, level in zip(row, levels, strict=True):
            is_chosen = (statistics["level"] == level) & (statistics["map"] == gate)
            series = _attention_series({name: column[is_chosen] for name, column in statistics.items()}, labels)
            title = f"level {level}" + (f", gate {gate + 1}" if len(gates) > 1 else "")
            _draw_panel(axes, title, series, has_legend=False, is_last=gate == gates[-1])
            is_small = max(np.nanmax(line.values, initial=0.0) for line in series) < _SMALL
            axes.set_ylim(0.0, None if is_small else 1.0)
    handles, names = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=8)
    return svg_text(figure)


def _attention_series(chosen: Columns, labels: Labels) -> list[Series]:
    """Means over the cases; a case without an organ does not enter that organ's line."""
    lines = [(f"inside {name}", f"mean_inside_{name}", labels.color(index), "-") for index, name in labels.foreground]
    epochs = np.unique(chosen["epoch"])
    return [
        Series(
            name, epochs, np.array([_mean(chosen[column][chosen["epoch"] == epoch]) for epoch in epochs]), color, style
        )
        for name, column, color, style in [*lines, ("outside all", "mean_outside", _INK, "--")]
        if column in chosen
    ]


def _mean(values: NDArray[np.floating]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _series(metrics: Columns, column: str, name: str, color: Color, style: str = "-") -> list[Series]:
    """The line of one column; none where the column is missing or has no number."""
    if column not in metrics or np.isnan(metrics[column].astype(float)).all():
        return []
    return [Series(name, metrics["epoch"], metrics[column].astype(float), color, style)]


def _row_of_axes(figure: Figure, count: int) -> Sequence[Axes]:
    return [figure.add_subplot(1, count, number + 1) for number in range(count)]


def _draw_panel(
    axes: Axes, title: str, series: Sequence[Series], *, has_legend: bool = True, is_last: bool = True
) -> None:
    for line in series:
        is_defined = ~np.isnan(line.values)
        epochs, values = line.epochs[is_defined], line.values[is_defined]
        mark = "o" if len(values) < 3 else None
        axes.plot(
            epochs,
            values,
            line.style,
            color=line.color,
            linewidth=1.5,
            marker=mark,
            markersize=3,
            label=line.name,
        )
    axes.set_title(title, fontsize=9, loc="left", color=_INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.grid(color="#e5e7eb", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_QUIET)
    axes.tick_params(labelsize=8, colors=_QUIET)
    if is_last:
        axes.set_xlabel("epoch", fontsize=8, color=_QUIET)
    if has_legend and len(series) > 1:
        axes.legend(fontsize=8, frameon=False, loc="lower right")
