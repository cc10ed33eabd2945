"""Figures are checked by what they draw: points, lines, sizes and files."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from aunet.reporting.comparison_figures import (
    COLORS,
    difference_distributions,
    paired_dots,
    render_figure,
    score_against_volume,
    seed_curves,
)
from aunet.reporting.comparison_report import DrawnFigure, write_comparison_report


@pytest.fixture
def values() -> pd.DataFrame:
    random = np.random.default_rng(0)
    baseline = random.uniform(0.6, 0.9, 12)
    return pd.DataFrame(
        {
            "class": ["pancreas"] * 6 + ["left kidney"] * 6,
            "patient": [f"p{number}" for number in range(12)],
            "volume_ml": random.uniform(40, 200, 12),
            "unet": baseline,
            "attention_open": baseline + random.normal(0, 0.02, 12),
        }
    )


def test_paired_dots_join_both_scores_of_every_patient_and_both_means(values: pd.DataFrame) -> None:
    panels = paired_dots(values, "unet", "attention_open").axes

    assert [axes.get_title(loc="left") for axes in panels] == ["pancreas", "left kidney"]
    drawn = [tuple(line.get_ydata()) for line in panels[1].lines]
    kidney = values[6:]
    assert drawn[:6] == list(zip(kidney["unet"], kidney["attention_open"], strict=True))
    assert drawn[6] == pytest.approx((kidney["unet"].mean(), kidney["attention_open"].mean()))


@pytest.mark.parametrize(("num_classes", "is_slanted"), [(2, False), (3, True)])
def test_names_of_models_do_not_touch_in_narrow_panels(num_classes: int, is_slanted: bool) -> None:
    scores = pd.DataFrame({"class": list("abc")[:num_classes], "unet_6m": 0.5, "attention": 0.6})
    axes = paired_dots(scores, "unet_6m", "attention").axes[0]
    assert all((label.get_rotation() > 0) == is_slanted for label in axes.get_xticklabels())


def test_differences_are_drawn_with_mean_interval_and_margin(values: pd.DataFrame) -> None:
    effects = pd.DataFrame([{"class": "pancreas", "mean": 0.01, "low": -0.005, "high": 0.025}])
    (axes,) = difference_distributions(values, "unet", "attention_open", effects, 0.02).axes

    points = np.asarray(axes.collections[0].get_offsets())[:, 0]
    assert points == pytest.approx((values["attention_open"] - values["unet"])[:6].to_numpy())
    assert [list(line.get_xdata()) for line in axes.lines[1:]] == [[0.01], [-0.005, 0.025]]
    assert axes.lines[2].get_ydata()[0] > np.asarray(axes.collections[0].get_offsets())[:, 1].max()  # none is hidden
    assert axes.patches[0].get_extents().width > 0
    assert axes.get_legend() is not None


@pytest.mark.parametrize(("first", "scale"), [(150, "linear"), (2000, "log")])
def test_scores_are_drawn_against_the_volume_on_an_axis_with_round_ticks(
    values: pd.DataFrame, first: float, scale: str
) -> None:
    values.loc[:5, "volume_ml"] = np.linspace(130, 180, 6)  # without a round number of a logarithmic axis
    values.loc[0, "volume_ml"] = first
    panels = score_against_volume(values, ["unet", "attention_open"]).axes

    assert panels[0].get_xscale() == scale
    low, high = panels[0].get_xlim()
    assert sum(low <= tick <= high for tick in panels[0].get_xticks()) >= 3
    points = np.asarray(panels[0].collections[0].get_offsets())
    assert points == pytest.approx(values.loc[:5, ["volume_ml", "unet"]].to_numpy())


def test_a_band_spans_the_seeds_and_the_line_is_their_mean() -> None:
    curves = pd.DataFrame(
        [("b", seed, epoch, seed + epoch, "") for seed in (0, 2) for epoch in range(3)],
        columns=["arm", "seed", "epoch", "value", "panel"],
    )
    (axes,) = seed_curves(curves, ["a", "b"], "Dice").axes

    assert list(axes.lines[0].get_ydata()) == [1, 2, 3]
    assert axes.lines[0].get_color() == COLORS[1]  # its own colour, although `a` has no curve
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 0
    assert band[:, 1].max() == 4


def test_the_curve_of_a_single_epoch_is_a_point_at_a_whole_number() -> None:
    curves = pd.DataFrame([("a", 0, 0, 0.5, "")], columns=["arm", "seed", "epoch", "value", "panel"])
    (axes,) = seed_curves(curves, ["a"], "Dice").axes
    assert axes.lines[0].get_marker() == "o"
    assert [tick for tick in axes.get_xticks() if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]] == [0]


def test_more_models_than_colours_are_drawn_with_another_line_style(values: pd.DataFrame) -> None:
    arms = [f"arm {number}" for number in range(9)]
    curves = pd.DataFrame(
        [(arm, 0, epoch, epoch, "") for arm in arms for epoch in range(2)],
        columns=["arm", "seed", "epoch", "value", "panel"],
    )
    scores = pd.concat([values, pd.DataFrame(dict.fromkeys(arms, values["unet"]))], axis=1)
    for figure in (seed_curves(curves, arms, "Dice"), score_against_volume(scores, arms)):
        lines = [line for line in figure.axes[0].lines if line.get_label() in arms]
        assert [line.get_label() for line in lines] == arms
        assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 9


def test_files_are_85_mm_wide_and_the_same_bytes_each_time(values: pd.DataFrame) -> None:
    pdf, png = render_figure(paired_dots(values, "unet", "attention_open"))

    with Image.open(io.BytesIO(png)) as picture:
        assert picture.width == pytest.approx(85 / 25.4 * 300, abs=1)
    assert pdf.startswith(b"%PDF")
    assert b"/FontFile2" in pdf  # TrueType, as journals ask for
    assert (pdf, png) == render_figure(paired_dots(values, "unet", "attention_open"))


def test_both_files_of_a_figure_have_one_layout(values: pd.DataFrame) -> None:
    figure = paired_dots(values, "unet", "attention_open")
    figure.savefig(io.BytesIO(), format="pdf")
    laid_out = [axes.get_position().bounds for axes in figure.axes]

    again = paired_dots(values, "unet", "attention_open")
    render_figure(again)

    assert [axes.get_position().bounds for axes in again.axes] == laid_out


def test_the_files_of_a_figure_keep_a_dot_in_the_name_of_a_model(tmp_path: Path) -> None:
    drawn = DrawnFigure("lr=0.01", "caption", b"pdf", b"png", "data:,")
    write_comparison_report(tmp_path, "Title", [], [], [drawn], {})
    assert (tmp_path / "figures" / "lr=0.01.pdf").read_bytes() == b"pdf"
    assert (tmp_path / "figures" / "lr=0.01.png").read_bytes() == b"png"
    assert 'src="data:,"' in (tmp_path / "report.html").read_text("utf-8")
