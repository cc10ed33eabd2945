"""Vector figures of a comparison at the width of a column, 85 mm, with letters of 7 points.

Every function draws from tables. ``values`` has a row per patient and class, with the columns class, patient, volume_ml
and one per model; ``curves`` has a row per model, seed and epoch, with the columns arm, seed, epoch, value and panel.
"""

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, ScalarFormatter
from numpy.typing import NDArray

from aunet.reporting.pictures.figure_files import pdf_content, png_content
from aunet.reporting.tables import TableRow

WIDTH = 85 / 25.4
_POINTS = 7
# Okabe and Ito's colours, which readers with any colour vision distinguish; the baseline is grey.
COLORS = ("#6b7280", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_LINES = ("-", "--", ":", "-.")
_INK, _FAINT = "#1f2937", "#d1d5db"
_STYLE: Any = {  # Matplotlib types the keys as a union of all its settings' names.
    "font.size": _POINTS,
    "axes.titlesize": _POINTS,
    "axes.labelsize": _POINTS,
    "legend.fontsize": _POINTS,
    "xtick.labelsize": _POINTS,
    "ytick.labelsize": _POINTS,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "pdf.fonttype": 42,  # letters stay text, as journals ask for
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "axes.unicode_minus": True,
}


def render_figure(figure: Figure) -> tuple[bytes, bytes]:
    """Return ``figure`` as the contents of a PDF file and of a PNG file of 300 dots per inch."""
    with rc_context(_STYLE):
        pdf = pdf_content(figure)
        figure.set_layout_engine(None)  # the first file has laid it out, which takes a quarter of the time
        return pdf, png_content(figure, dots_per_inch=300)


def paired_dots(values: pd.DataFrame, baseline: str, other: str, score: str = "Dice") -> Figure:
    """Return a panel per class with a line per patient from one model's score to the other's, and both means."""
    with rc_context(_STYLE):
        classes = _classes(values)
        figure, panels = _panels(len(classes), 1.75, most_columns=3)
        for axes, of_class in zip(panels, classes, strict=True):
            scores = values.loc[values["class"] == of_class, [baseline, other]].dropna().to_numpy(dtype=np.float64)
            _draw_pairs(axes, scores)
            axes.set_title(of_class)
            _name_both(axes, baseline, other, is_narrow=len(classes) > 2)
        panels[0].set_ylabel(score)
        handles = [
            panels[0].plot([], [], color=color, label=label)[0]
            for color, label in ((COLORS[1], "higher"), (COLORS[2], "lower"), (_INK, "mean"))
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
        return figure


def difference_distributions(
    values: pd.DataFrame, baseline: str, other: str, effects: pd.DataFrame, margin: float | None, score: str = "Dice"
) -> Figure:
    """Return a row per class with the patients' differences, the mean with its interval, and the margin as a band.

    Args:
        values: see the module.
        baseline: name of the column to subtract.
        other: name of the column to subtract from.
        effects: columns class, mean, low and high; NaN ends draw no interval.
        margin: of equivalence; None draws no band.
        score: name of the score.
    """
    with rc_context(_STYLE):
        classes = _classes(values)
        figure = Figure(figsize=(WIDTH, 0.75 + 0.42 * len(classes)), layout="constrained")
        axes = figure.add_subplot()
        if margin is not None:
            axes.axvspan(-margin, margin, color="#dbeafe", linewidth=0, label=f"equivalent within ±{margin:g}")
        axes.axvline(0, color=_INK, linewidth=0.6)
        found = effects.set_index("class")
        for row, of_class in enumerate(classes):
            scores = values.loc[values["class"] == of_class]
            differences = scores[other].to_numpy(dtype=np.float64) - scores[baseline].to_numpy(dtype=np.float64)
            differences = differences[~np.isnan(differences)]
            axes.scatter(differences, row - 0.1 + _spread(differences), s=7, color=COLORS[1], alpha=0.55, linewidths=0)
            if of_class in found.index:
                _draw_interval(axes, row, found.loc[of_class])
        axes.set_yticks(range(len(classes)), classes)
        axes.set_ylim(len(classes) - 0.5, -0.5)
        axes.set_xlabel(f"difference in {score}:\n{other} minus {baseline}")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        if margin is not None:
            axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
        return figure


def score_against_volume(values: pd.DataFrame, arms: Sequence[str], score: str = "Dice") -> Figure:
    """Return a panel per class with each patient's score against the volume of the organ in the reference.

    A line per model joins the medians of thirds of the patients.
    """
    with rc_context(_STYLE):
        classes = _classes(values)
        figure, panels = _panels(len(classes), 1.75, most_columns=2)
        for axes, of_class in zip(panels, classes, strict=True):
            chosen = values.loc[(values["class"] == of_class) & (values["volume_ml"] > 0)]
            for arm, (color, line) in zip(arms, _arm_lines(), strict=False):
                known = chosen[["volume_ml", arm]].dropna().to_numpy(dtype=np.float64)
                axes.scatter(known[:, 0], known[:, 1], s=6, color=color, alpha=0.4, linewidths=0)
                axes.plot(*_median_line(known), line, color=color, marker="s", markersize=2.5, linewidth=1, label=arm)
            axes.set_title(of_class)
            axes.set_xlabel("volume (ml)")
            _set_volume_axis(axes, chosen["volume_ml"].to_numpy(dtype=np.float64))
        panels[0].set_ylabel(score)
        _legend_below(figure, panels[0])
        return figure


def seed_curves(curves: pd.DataFrame, arms: Sequence[str], score: str, neutral: float | None = None) -> Figure:
    """Return the mean over the seeds by epoch, in a band from the lowest to the highest seed, a colour per model.

    Args:
        curves: see the module; ``panel`` is the title of a row's panel, such as the level of a gate.
        arms: the models in order of the colours.
        score: label of the vertical axis.
        neutral: value of a curve that shows nothing, drawn dotted.
    """
    with rc_context(_STYLE):
        names = list(dict.fromkeys(curves["panel"].tolist()))
        figure, panels = _panels(len(names), 1.75, most_columns=3)
        for axes in panels[1:]:
            axes.sharey(panels[0])
            axes.tick_params(labelleft=False)
        for axes, name in zip(panels, names, strict=True):
            if neutral is not None:
                axes.axhline(neutral, color=_INK, linewidth=0.6, linestyle=":")
            for arm, (color, line) in zip(arms, _arm_lines(), strict=False):
                _draw_band(axes, curves.loc[(curves["panel"] == name) & (curves["arm"] == arm)], arm, color, line)
            axes.set_title(name)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
            axes.margins(x=0.02)
        panels[0].set_ylabel(score)
        _legend_below(figure, panels[0])
        return figure


def _classes(values: pd.DataFrame) -> list[str]:
    return [str(name) for name in dict.fromkeys(values["class"])]


def _panels(count: int, height: float, most_columns: int) -> tuple[Figure, list[Axes]]:
    columns = min(count, most_columns)
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH, height * rows + 0.25), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02)  # pyright: ignore[reportOptionalMemberAccess, reportCallIssue]
    return figure, [figure.add_subplot(rows, columns, number + 1) for number in range(count)]


def _draw_pairs(axes: Axes, scores: NDArray[np.float64]) -> None:
    for first, second in scores:
        color = COLORS[1] if second > first else COLORS[2] if second < first else _FAINT
        axes.plot([0, 1], [first, second], color=color, linewidth=0.5, alpha=0.6, marker="o", markersize=1.8)
    if len(scores):
        axes.plot([0, 1], scores.mean(axis=0), color=_INK, linewidth=1.4, marker="D", markersize=3)
    axes.set_xlim(-0.25, 1.25)
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _name_both(axes: Axes, baseline: str, other: str, *, is_narrow: bool) -> None:
    """Name the two models below a panel; in a narrow one, on a slant, as level names would touch."""
    if is_narrow:
        axes.set_xticks([0, 1], [baseline, other], rotation=30, ha="right", rotation_mode="anchor")
    else:
        axes.set_xticks([0, 1], [_wrapped(baseline), _wrapped(other)])


def _draw_interval(axes: Axes, row: int, effect: TableRow) -> None:
    level = row + 0.28  # below the patients' points, which it would hide
    axes.plot([effect["mean"]], [level], "D", color=_INK, markersize=3.2, zorder=4)
    axes.plot(
        [effect["low"], effect["high"]], [level, level], color=_INK, linewidth=1.4, solid_capstyle="butt", zorder=4
    )


def _spread(values: NDArray[np.float64], height: float = 0.25) -> NDArray[np.float64]:
    """Return offsets that keep equal values apart: dense places wide, in an order that repeats exactly."""
    if len(values) < 2 or np.ptp(values) == 0:
        return np.zeros(len(values))
    counts, edges = np.histogram(values, bins=min(20, len(values)))
    bins = np.clip(np.digitize(values, edges[1:-1]), 0, len(counts) - 1)
    offsets = np.zeros(len(values))
    for number in np.unique(bins):
        inside = np.flatnonzero(bins == number)
        reach = height * counts[number] / counts.max()
        offsets[inside] = np.linspace(-reach, reach, len(inside)) if len(inside) > 1 else 0
    return offsets


def _median_line(known: NDArray[np.float64], parts: int = 3) -> tuple[list[float], list[float]]:
    ordered = known[np.argsort(known[:, 0], kind="stable")]
    groups = [group for group in np.array_split(ordered, parts) if len(group)]
    medians = [np.median(group, axis=0) for group in groups]
    return [float(median[0]) for median in medians], [float(median[1]) for median in medians]


def _set_volume_axis(axes: Axes, volumes: NDArray[np.float64]) -> None:
    """Scale the axis to ``volumes`` (ml): logarithmic only if they span enough for three round ticks."""
    if not len(volumes):
        return
    low, high = volumes.min() / 1.1, volumes.max() * 1.1
    axes.set_xlim(low, high)
    nice = [base * 10.0**power for power in range(-4, 6) for base in (1, 2, 5)]
    inside = [tick for tick in nice if low <= tick <= high]
    if len(inside) < 3:
        axes.xaxis.set_major_locator(MaxNLocator(4))
        return
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_xticks(inside if len(inside) < 5 else inside[:: -(-len(inside) // 4)])
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="minor", length=0)


def _arm_lines() -> Iterator[tuple[str, str]]:
    """Yield a colour and a line style per model; after all colours they begin anew with the next style, without end."""
    for line in cycle(_LINES):
        yield from ((color, line) for color in COLORS)


def _draw_band(axes: Axes, rows: pd.DataFrame, arm: str, color: str, line: str) -> None:
    if rows.empty:
        return
    by_epoch = rows.groupby("epoch")["value"]
    found = by_epoch.agg(["mean", "min", "max"]).dropna()
    marker = "o" if len(found) == 1 else ""  # a line of one epoch is invisible
    axes.plot(found.index, found["mean"], line, color=color, linewidth=1, marker=marker, markersize=3, label=arm)
    axes.fill_between(found.index, found["min"], found["max"], color=color, alpha=0.2, linewidth=0)


def _legend_below(figure: Figure, axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower center", ncols=2 if len(names) == 4 else min(len(names), 3))


def _wrapped(name: str, longest: int = 12) -> str:
    """Return a model's name in two lines if it is long, so that two fit side by side."""
    if len(name) <= longest:
        return name
    head, _, tail = name.replace("_", " ").replace(", ", " ").partition(" ")
    return f"{head}\n{tail}"
