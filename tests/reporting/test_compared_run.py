"""Which runs may stand side by side, and what is said about those that may not."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from aunet.errors import UserError
from aunet.metrics.case_scores import COLUMNS, NUMBERS, write_case_scores
from aunet.reporting.compared_run import (
    ComparedRun,
    check_comparable,
    read_compared_run,
    shortened,
    with_unique_names,
)


def case_scores(case_ids: tuple[str, ...] = ("a", "b"), reference_ml: float = 90.0) -> pd.DataFrame:
    rows = [
        {
            "case_id": case_id,
            "patient": case_id,
            "class": name,
            **dict.fromkeys(NUMBERS, 0.5),
            "reference_ml": reference_ml,
        }
        for case_id in case_ids
        for name in ("pancreas", "spleen")
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def run(folder: str, **changes: Any) -> ComparedRun:
    plain = ComparedRun(
        folder=Path(folder),
        name="unet",
        model="unet",
        seed=0,
        parameters=5_888_004,
        patch_size=(80, 64, 64),
        data="ct150",
        data_fingerprint="f00d",
        is_phantom=True,
        class_names=("background", "pancreas", "spleen"),
        scores=case_scores(),
    )
    return replace(plain, **changes)


RECORD = {
    "status": "finished",
    "data": "ct150",
    "is_phantom": True,
    "model": "unet",
    "seed": 0,
    "parameters": 5_888_004,
    "class_names": ["background", "pancreas", "spleen"],
    "patch_size": [80, 64, 64],
    "data_fingerprint": "f00d",
}


def write_run(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({**RECORD, **changes}), encoding="utf-8")
    write_case_scores(folder / "test" / "case_scores.csv", case_scores())
    return folder


def test_a_finished_run_is_read_from_its_folder(tmp_path: Path) -> None:
    read = read_compared_run(write_run(tmp_path / "run"))

    expected = run(str(tmp_path / "run"))
    pd.testing.assert_frame_equal(read.scores, expected.scores)
    assert replace(read, scores=expected.scores, forward_seconds=0) == replace(expected, forward_seconds=0)


def test_an_unfinished_run_is_refused_with_the_way_to_finish_it(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", status="interrupted")

    with pytest.raises(UserError, match=r"'interrupted'.*resume="):
        read_compared_run(folder)


def test_the_folder_of_a_sweep_is_refused_with_the_runs_in_it(tmp_path: Path) -> None:
    inner = write_run(tmp_path / "sweep" / "unet")

    with pytest.raises(UserError, match=r"no run\.json") as told:
        read_compared_run(tmp_path / "sweep")

    assert str(inner) in str(told.value)


@pytest.mark.parametrize(("text", "expected"), [("{", "not valid JSON"), ('{"status": "finished"}', "lacks data")])
def test_a_damaged_record_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    (write_run(tmp_path / "run") / "run.json").write_text(text, encoding="utf-8")

    with pytest.raises(UserError, match=expected):
        read_compared_run(tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"data": "msd"}, r"one was scored on ct150 \(phantom\), the other on msd \(phantom\)"),
        ({"is_phantom": False}, r"the other on ct150 \(real scans\)"),
        ({"class_names": ("background", "liver", "spleen")}, "their classes are"),
        ({"scores": case_scores(("b", "c"))}, "only first was tested on a; only second was tested on c"),
        ({"data_fingerprint": "beef"}, "the files of ct150 changed"),
        ({"scores": case_scores(reference_ml=91.0)}, "the reference labels of a, b differ"),
    ],
    ids=["data", "phantom", "classes", "cases", "files", "references"],
)
def test_runs_scored_on_different_things_are_refused(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=f"first and second cannot be compared: .*{expected}"):
        check_comparable([run("first"), run("second", **changes)])


def test_runs_scored_on_the_same_things_may_differ_in_all_else() -> None:
    check_comparable([run("first"), run("second", model="attention", seed=1, parameters=1, patch_size=(8, 8, 8))])


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([{"model": "attention"}], ["unet", "attention"]),
        ([{"seed": 1}], ["unet, seed 0", "unet, seed 1"]),
        ([{}], ["unet, first", "unet, run_1"]),
    ],
    ids=["model", "seed", "folder"],
)
def test_runs_are_named_by_what_tells_them_apart(others: list[dict[str, Any]], expected: list[str]) -> None:
    runs = [run("first"), *(run(f"run_{number}", **changes) for number, changes in enumerate(others, start=1))]

    assert [named.name for named in with_unique_names(runs)] == expected


def test_runs_of_equal_folder_names_are_named_by_their_whole_folder() -> None:
    named = with_unique_names([run("monday/0"), run("friday/0")])

    assert [one.name for one in named] == [f"unet, {Path('monday/0')}", f"unet, {Path('friday/0')}"]


def test_a_run_given_twice_is_refused() -> None:
    with pytest.raises(UserError, match="stands twice"):
        with_unique_names([run("first"), run("other/../first")])


def test_long_lists_of_names_end_in_a_count() -> None:
    assert shortened(["a", "b"]) == "a, b"
    assert shortened(list("abcdefgh")) == "a, b, c, d, e and 3 more"
