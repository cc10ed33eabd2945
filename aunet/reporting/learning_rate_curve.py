"""The picture of a range test: the loss against the learning rate."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from aunet.reporting.pictures.figure_files import save_png

_INK = "#1f2937"
_QUIET = "#9ca3af"
_MARK = "#d97706"


def learning_rate_curve(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], suggestion: float | None, path: Path
) -> None:
    """Write the curve to ``path`` (PNG), the suggested rate marked."""
    figure = Figure(figsize=(5.0, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(rates, losses, color=_QUIET, linewidth=0.8, label="loss")
    axes.plot(rates, smoothed, color=_INK, linewidth=1.5, label="smoothed")
    if suggestion is not None:
        axes.axvline(suggestion, color=_MARK, linewidth=1.2, label=f"{suggestion:g}")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate", fontsize=9)
    axes.set_ylabel("loss", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    save_png(figure, path)
