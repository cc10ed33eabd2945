"""Draw what every gate option looks at, in one figure.

Train the options first, in two dimensions, half as wide as the paper's network, for 8 epochs: 16 minutes on two cores.

    python train.py -m model=attention,attention_multiplicative,attention_softplus,attention_softmax,\
attention_per_channel,attention_multidimensional,attention_bare,attention_single_gate,attention_bottleneck_gating,\
attention_global_gating,attention_hard,attention_hard_score trainer.max_epochs=8 \
model.network.channels=[8,16,32,64,128] data.source.num_phantoms=20 data.phantom.spacing=[3.2,3.2,4] \
data.patch_size=[128,112,1] data.batch_size=8 data.split.val=0.05 data.split.test=0.05 attention.cases=0 \
logger=csv hydra.sweep.dir=outputs/gates
    python experiments/figures/gate_gallery.py outputs/gates
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from aunet.attention.panels import LevelCoefficients, add_color_bar, show_level
from aunet.attention.recorder import ValidationImage, patch_on_organ
from aunet.build.data import build_cohort, build_splits
from aunet.build.model import load_run
from aunet.build.task import build_data
from aunet.classes import Labels
from aunet.config.draft import load_draft
from aunet.reporting.pictures.figure_files import save_png
from aunet.reporting.pictures.panels import finish_panel, legend_lines, show_contours, show_image
from aunet.reporting.pictures.planes import AxialView, clearest_view, whole_window
from aunet.reporting.pictures.sheet import Margins, panel_sheet, panel_size

LEVEL = 2
COLUMNS = 7
PANEL_INCHES = 1.4

Maps = NDArray[np.floating]


@dataclass(frozen=True)
class Panel:
    """One panel: the option, its title, and what is shown of its maps (maps, h, w, d) -> (h, w, d)."""

    option: str
    title: str
    show: Callable[[Maps], Maps] = lambda maps: maps.mean(axis=0)


PANELS = (
    Panel("attention", "additive, gate 1", lambda maps: maps[0]),
    Panel("attention", "additive, gate 2", lambda maps: maps[1]),
    Panel("attention_multiplicative", "multiplicative"),
    Panel("attention_softplus", "softplus"),
    Panel("attention_softmax", "softmax (of its largest)", lambda maps: (maps / maps.max()).mean(axis=0)),
    Panel("attention_per_channel", "per channel"),
    Panel("attention_multidimensional", "as many gates as classes"),
    Panel("attention_bare", "no output transform"),
    Panel("attention_single_gate", "single gate, as released"),
    Panel("attention_bottleneck_gating", "gated by bottleneck"),
    Panel("attention_global_gating", "one gating vector"),
    Panel("attention_hard", "hard, Gumbel"),
    Panel("attention_hard_score", "hard, score function"),
)


def main() -> None:
    """Draw the runs below the folder given."""
    parser = argparse.ArgumentParser(description="Coefficients of every gate option on one slice.")
    parser.add_argument("runs", type=Path, help="the folder of the sweep")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("gates.png"))
    arguments = parser.parse_args()
    runs = runs_by_option(arguments.runs)
    case, labels = validation_patch(runs["attention"])
    draw(case, labels, {option: level_of(run, case) for option, run in runs.items()}, arguments.output)


def runs_by_option(folder: Path) -> dict[str, Path]:
    """Folder of the run of each option."""
    runs = {load_draft(file.parent).model.name: file.parent for file in folder.glob("*/config.yaml")}
    absent = {panel.option for panel in PANELS} - set(runs)
    if absent:
        raise SystemExit(
            f"{folder} has no run of {', '.join(sorted(absent))}: train them as the top of this file says."
        )
    return runs


def validation_patch(run: Path) -> tuple[ValidationImage, Labels]:
    """Return the organs of the first validation case: one patch, as coefficients of a softmax cannot be stitched."""
    config = load_draft(run, built=None).with_facts()
    cohort = build_cohort(config.data)
    data = build_data(config, cohort, build_splits(config.data, cohort))
    data.setup("fit")
    case = data.validation_cases()[0]
    image = ValidationImage(case["case_id"], case["image"], case["label"].numpy(), case["spacing"])
    return patch_on_organ(image, tuple(config.dataset.patch_size)), cohort.labels


def level_of(run: Path, case: ValidationImage) -> LevelCoefficients:
    """Return the coefficients of a run's best checkpoint at the finest gated level."""
    prediction = load_run(run).predict_preprocessed(case.image, with_attention=True)
    return prediction.coefficients[LEVEL]


def draw(case: ValidationImage, labels: Labels, levels: dict[str, LevelCoefficients], path: Path) -> None:
    """Write the sheet: the image, then a panel for each gate."""
    view = clearest_view(case.as_scan())
    rows = -(-(1 + len(PANELS)) // COLUMNS)
    size = panel_size(view.scan.extent, PANEL_INCHES)
    sheet = panel_sheet(rows, COLUMNS, size, Margins(right=0.62, top=0.34, bottom=0.32), (0.05, 0.34))
    axes = iter(axes for row in sheet.panels for axes in row)
    draw_image(next(axes), view, labels)
    for panel, place in zip(PANELS, axes, strict=True):
        draw_gate(place, view, labels, panel, levels[panel.option])
    add_color_bar(sheet, "lowest to highest of a panel")
    sheet.add_title_and_legend("", legend_lines(labels))
    save_png(sheet.figure, path, dots_per_inch=112)


def draw_image(axes: Axes, view: AxialView, labels: Labels) -> None:
    """Draw the slice and its reference."""
    show_image(axes, view)
    show_contours(axes, view, view.label, labels)
    finish_panel(axes, whole_window(view.scan), has_marks=True)
    axes.set_title("image and reference", fontsize=7.5, pad=3)


def draw_gate(axes: Axes, view: AxialView, labels: Labels, panel: Panel, level: LevelCoefficients) -> None:
    """Draw the coefficients over the slice, from their lowest there to their highest, which the title states."""
    shown = LevelCoefficients(level.level, panel.show(level.values)[None], level.cell_size, level.offset)
    plane = shown.axial_plane(view.index)
    low, high = float(plane.min()), float(plane.max())
    is_constant = high - low < 1e-3
    stretched = shown.values if is_constant else ((shown.values - low) / (high - low)).clip(0, 1)
    show_level(axes, view, replace(shown, values=stretched), 0)
    show_contours(axes, view, view.label, labels, width=0.7)
    finish_panel(axes, whole_window(view.scan))
    told = f"{high:.2f} everywhere" if is_constant else f"{low:.2f} to {high:.2f}"
    axes.set_title(f"{panel.title}\n{told}", fontsize=7, pad=3)


if __name__ == "__main__":
    main()
