"""The report of a made-up run."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from blank_pictures import blank_pictures
from markupsafe import escape
from PIL import Image

from aunet.classes import Labels
from aunet.errors import UserError
from aunet.metrics.case_scores import CONVENTION, PENALTY, join_scores, read_case_scores, write_case_scores
from aunet.metrics.label_map_scores import score_case
from aunet.metrics.registry import METRIC_OF
from aunet.reporting.attention_curves import AREA, LEVEL, RATIO, attention_curves
from aunet.reporting.curves import training_curves
from aunet.reporting.report import build_report
from aunet.reporting.score_section import ranked_cases

LABELS = Labels(("background", "left <kidney>", "spleen"))
FACTS = {
    "status": "finished",
    "data": "ct150",
    "is_phantom": False,
    "data_description": "40 scans",
    "model": "attention",
    "seed": 0,
    "parameters": 6_407_018,
    "class_names": list(LABELS.names),
    "durations": {"training": 12.5},
}


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return write_run(tmp_path)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the report of ``run_folder`` as it is written, made once."""
    return build_report(write_run(tmp_path_factory.mktemp("run"))).read_text()


def write_run(folder: Path) -> Path:
    write_facts(folder)
    (folder / "config.yaml").write_text("seed: 0 # <b>\n")
    write_metrics(folder)
    write_scores(folder)
    write_attention(folder)
    return folder


def write_facts(folder: Path, **changes: object) -> None:
    (folder / "run.json").write_text(json.dumps(FACTS | changes))


def write_metrics(folder: Path) -> None:
    epochs = np.arange(5)
    dice = {f"val/dice/{name}": epochs / 10 for _, name in LABELS.foreground}
    pd.DataFrame({"epoch": epochs, "train/loss": 1.0 - epochs / 10, "val/dice": epochs / 10, **dice}).to_csv(
        folder / "metrics.csv", index=False
    )


def write_scores(folder: Path) -> None:
    """Case k has k of its 7 spleen planes right; the kidney is missed in case 0 and absent in case 6."""
    tables: list[pd.DataFrame] = []
    for case in range(7):
        reference = np.zeros((8, 8, 8), dtype=np.uint8)
        reference[:7, 0] = 2
        reference[:, 4] = 1 if case != 6 else 0
        prediction = reference.copy()
        prediction[case + 1 :, 0] = 0
        prediction[:, 4] = reference[:, 4] if case else 0
        tables.append(score_case(f"case_{case}", prediction, reference, (1.0, 1.0, 1.0), LABELS))
        picture = folder / "test" / "pictures" / f"case_{case}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 20), (case, 0, 0)).save(picture)
    write_case_scores(folder / "test" / "case_scores.csv", join_scores(tables))


def write_attention(folder: Path, *, has_contrasts: bool = True) -> None:
    contrasts = {f"auc_inside{name}": 0.7 for name in ("", *(f"_{name}" for _, name in LABELS.foreground))}
    contrasts |= {name.replace("auc", "ratio"): 8.0 for name in contrasts}
    inside = {f"mean_inside_{name}": 0.8 for _, name in LABELS.foreground}
    rows = [
        {
            "epoch": epoch,
            "case_id": case,
            "level": level,
            "map": 0,
            "mean": 0.5,
            "entropy": 0.9,
            **inside,
            "mean_outside": 0.1,
            **(contrasts if has_contrasts else {}),
        }
        for epoch in range(3)
        for case in ("001", "002")
        for level in (2, 3)
    ]
    (folder / "attention").mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(folder / "attention" / "statistics.csv", index=False)
    Image.new("RGB", (60, 30)).save(folder / "attention" / "film_001.png")


def test_report_needs_no_other_file_and_forbids_loading_any(report: str) -> None:
    assert re.findall(r'(?:src|href)="(?!data:)', report) == []
    assert re.search(r'"Content-Security-Policy" content="default-src \'none\'; img-src data:;', report)
    assert not re.search(r"https?:", re.sub(r'src="data:[^"]*"', "", report))


def test_report_of_an_older_run_without_scans_has_no_viewer(report: str) -> None:
    assert 'id="viewer"' not in report


def test_report_is_equal_each_time_it_is_made(run_folder: Path) -> None:
    first = build_report(run_folder).read_bytes()
    assert build_report(run_folder).read_bytes() == first


def test_report_shows_names_as_text_never_as_markup(report: str) -> None:
    assert "left &lt;kidney&gt;" in report
    assert "<kidney>" not in report
    assert "# &lt;b&gt;" in report


def test_report_shows_scores_with_the_count_of_undefined_and_the_convention(report: str) -> None:
    assert CONVENTION in report
    # The kidney's Dice: 0 once, 1 in five cases, undefined in one. Mean 5/6, sd sqrt(1/6).
    assert "0.833 ± 0.408<small>1 undefined</small>" in report


def test_report_shows_detections_and_the_penalised_mean_where_it_differs(report: str) -> None:
    assert escape(PENALTY) in report
    # The kidney is found in five of six cases and perfect there; the scan's diagonal is 8 sqrt(3).
    assert "<td>5/6</td>" in report
    assert f"0.00 ± 0.00<small>penalised {8 * 3**0.5 / 6:.2f}</small><small>2 undefined</small>" in report
    assert "0.833 ± 0.408<small>1 undefined</small>" in report


def test_report_shows_invented_organs(run_folder: Path) -> None:
    path = run_folder / "test" / "case_scores.csv"
    scores = read_case_scores(path)
    scores.loc[scores["reference_ml"] == 0, "predicted_ml"] = 5.0
    write_case_scores(path, scores)
    with blank_pictures():
        assert "<td>5/6<small>+1</small></td>" in build_report(run_folder).read_text()


def test_report_of_an_older_run_shows_the_distance_that_it_recorded(run_folder: Path) -> None:
    scores = pd.read_csv(run_folder / "test" / "case_scores.csv")
    scores = scores.drop(columns=["patient", "assd_mm", "diagonal_mm"])
    scores = scores.rename(columns={"voxel_assd_mm": "surface_distance_mm"})
    scores.to_csv(run_folder / "test" / "case_scores.csv", index=False)
    with blank_pictures():
        text = build_report(run_folder).read_text()
    assert '<th scope="col">Voxel ASSD (mm)</th>' in text
    assert '<th scope="col">ASSD (mm)</th>' not in text
    assert escape(METRIC_OF["voxel_assd_mm"].note) in text
    assert "<small>penalised: not recorded</small>" in text
    assert "<td>not recorded</td>" in text


def test_cases_are_ranked_by_mean_dice_worst_first() -> None:
    scores = pd.DataFrame({"case_id": ["a", "a", "b", "b", "c"], "dice": [0.9, np.nan, 0.2, 0.4, np.nan]})
    assert ranked_cases(scores) == ["b", "a"]


def test_report_shows_the_three_worst_the_median_and_two_best_cases(report: str) -> None:
    assert re.findall(r"<strong>case_(\d)</strong>", report) == ["0", "1", "2", "3", "6", "5"]


@pytest.mark.parametrize("is_phantom", [False, True])
def test_phantom_is_named_exactly_where_the_data_are_one(run_folder: Path, is_phantom: bool) -> None:
    write_facts(run_folder, is_phantom=is_phantom)
    with blank_pictures():
        assert ("PHANTOM" in build_report(run_folder).read_text()) == is_phantom


def test_unfinished_run_has_a_report_that_says_what_is_missing(tmp_path: Path) -> None:
    write_facts(tmp_path, status="interrupted")
    text = build_report(tmp_path).read_text()
    for words in (escape("status is 'interrupted'"), "No epoch", "not been scored", "No attention"):
        assert words in text


def test_folder_that_is_not_a_run_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(f"{tmp_path}/run.json")):
        build_report(tmp_path)


def test_training_curves_leave_out_what_the_table_lacks() -> None:
    columns = {"epoch": np.arange(3), "train/loss": np.array([3.0, 2.0, 1.0])}
    wide = training_curves(columns | {"learning_rate": np.array([0.1, 0.1, np.nan])}, LABELS)
    narrow = training_curves(columns | {"learning_rate": np.full(3, np.nan)}, LABELS)
    widths = [float(re.findall(r'<svg[^>]* width="([\d.]+)pt"', svg)[0]) for svg in (wide, narrow)]
    assert widths[0] == pytest.approx(2 * widths[1])


def test_curves_of_one_epoch_of_an_absent_organ_can_be_drawn() -> None:
    kinds = (
        "mean_outside",
        "mean_inside_spleen",
        "auc_inside",
        "auc_inside_spleen",
        "ratio_inside",
        "ratio_inside_spleen",
    )
    columns = {name: np.array([0.5]) for name in kinds}
    places = {name: np.array([2]) for name in ("epoch", "level", "map")}
    absent = {f"{kind}_inside_left <kidney>": np.array([np.nan]) for kind in ("mean", "auc", "ratio")}
    for quantity in (AREA, RATIO, LEVEL):
        assert attention_curves(columns | places | absent, LABELS, quantity).startswith("<?xml")


def test_report_shows_the_contrast_of_the_coefficients_before_their_level(report: str) -> None:
    places = [
        report.index(words)
        for words in ("area under the ROC curve", "Mean coefficient inside over", "<summary>Mean coefficients")
    ]
    assert places == sorted(places)
    assert report.index("level of the coefficients has no meaning") > places[-1]
    assert "was not recorded" not in report


def test_report_of_an_older_run_says_that_the_contrast_was_not_recorded(run_folder: Path) -> None:
    write_attention(run_folder, has_contrasts=False)
    text = build_report(run_folder).read_text()
    assert "was not recorded by this run" in text
    assert "level of the coefficients has no meaning" in text
    assert "Area under the ROC curve by epoch" not in text
