"""Learning curves over the epochs, from the tables of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from aunet.classes import Labels
from aunet.reporting.pictures.figure_files import save_png, svg_text
from aunet.runs.epoch_rows import Columns

Color = tuple[float, float, float] | str

INK = "#1f2937"
QUIET = "#6b7280"
_FAINT = "#9ca3af"
_MARK = "#d97706"
PANEL_INCHES = (3.5, 2.5)


@dataclass(frozen=True)
class Series:
    """One line of a panel: ``values`` at ``epochs``, NaN if there is none."""

    name: str
    epochs: NDArray[np.number]
    values: NDArray[np.floating]
    color: Color
    style: str = "-"


def training_curves(metrics: Columns, labels: Labels) -> str:
    """Return the SVG of loss, validation Dice and learning rate by epoch, from the columns of ``metrics.csv``.

    A panel whose columns are missing is left out.
    """
    dice = [
        series
        for index, name in labels.foreground
        for series in _series(metrics, f"val/dice/{name}", name, labels.color(index))
    ]
    panels = {
        "training loss": _series(metrics, "train/loss", "loss", INK),
        "validation Dice": [*dice, *(_series(metrics, "val/dice", "mean", INK, "--") if len(dice) > 1 else [])],
        "learning rate": _series(metrics, "learning_rate", "learning rate", INK),
    }
    shown = {title: series for title, series in panels.items() if series}
    figure = Figure(figsize=(PANEL_INCHES[0] * max(len(shown), 1), PANEL_INCHES[1]), layout="constrained")
    for axes, (title, series) in zip(_row_of_axes(figure, len(shown)), shown.items(), strict=True):
        draw_panel(axes, title, series)
        if title == "validation Dice":
            axes.set_ylim(0, 1)
    return svg_text(figure)


def _series(metrics: Columns, column: str, name: str, color: Color, style: str = "-") -> list[Series]:
    """Return the line of one column; none if the column is missing or has no number."""
    if column not in metrics or np.isnan(metrics[column].astype(float)).all():
        return []
    return [Series(name, metrics["epoch"], metrics[column].astype(float), color, style)]


def _row_of_axes(figure: Figure, count: int) -> Sequence[Axes]:
    return [figure.add_subplot(1, count, number + 1) for number in range(count)]


def draw_panel(
    axes: Axes, title: str, series: Sequence[Series], *, has_legend: bool = True, is_last: bool = True
) -> None:
    """Draw ``series`` against the epoch; ``is_last`` labels the axis of the epochs."""
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
    axes.set_title(title, fontsize=9, loc="left", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
    axes.grid(color="#e5e7eb", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(labelsize=8, colors=QUIET)
    if is_last:
        axes.set_xlabel("epoch", fontsize=8, color=QUIET)
    if has_legend and len(series) > 1:
        axes.legend(fontsize=8, frameon=False, loc="lower right")


def draw_range_test(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], suggestion: float | None, path: Path
) -> None:
    """Draw the loss of a range test against the learning rate to ``path`` (PNG), the suggested rate marked."""
    figure = Figure(figsize=(5.0, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(rates, losses, color=_FAINT, linewidth=0.8, label="loss")
    axes.plot(rates, smoothed, color=INK, linewidth=1.5, label="smoothed")
    if suggestion is not None:
        axes.axvline(suggestion, color=_MARK, linewidth=1.2, label=f"{suggestion:g}")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate", fontsize=9)
    axes.set_ylabel("loss", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    save_png(figure, path)
