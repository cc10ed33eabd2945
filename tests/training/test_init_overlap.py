"""Weights that have seen test cases of the run that starts from them."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from aunet.data.cohort.case import Case
from aunet.data.cohort.splits import Splits
from aunet.errors import UserError
from aunet.training.init_overlap import Start, check_overlap, note_on_validation
from aunet.training.weight_lineage import CaseNames

NAMES = [f"case_{number}" for number in range(10)]


def write_run(
    folder: Path,
    *,
    train: list[str],
    val: list[str],
    test: list[str],
    root: str | None = "/scans",
    is_phantom: bool = False,
    init: Path | None = None,
    **names: dict[str, str],
) -> Path:
    """Return a run's folder as far as its cases are concerned; ``names`` are patients and digests."""
    (folder / "checkpoints").mkdir(parents=True)
    parts: dict[str, Any] = {"train": train, "val": val, "test": test}
    (folder / "splits.json").write_text(json.dumps(parts | names))
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": {"root": root}}))
    facts: dict[str, Any] = {"is_phantom": is_phantom} | ({} if init is None else {"init": {"source": str(init)}})
    (folder / "run.json").write_text(json.dumps(facts))
    return folder


def start(source: Path, *, train: list[str], val: list[str], test: list[str], **changes: Any) -> Start:
    """Return a run of ten cases that starts from ``source``."""
    patients = changes.get("patients", {})
    cases = [Case(name, (), None, group=patients.get(name, "")) for name in NAMES]
    root = changes.get("root", "/scans")
    names = CaseNames.of_cases(
        cases,
        changes.get("digests", {name: f"digest of {name}" for name in NAMES}),
        None if root is None else Path(root),
        changes.get("is_phantom", False),
    )
    return Start(source, Splits(tuple(train), tuple(val), tuple(test)), names, changes.get("has_fold", False))


PARTS = {"train": NAMES[:6], "val": NAMES[6:8], "test": NAMES[8:]}
OTHER = {"train": NAMES[4:], "val": NAMES[3:4], "test": NAMES[:3]}


def test_the_same_parts_are_accepted_without_a_word(tmp_path: Path) -> None:
    begun = start(write_run(tmp_path / "run", **PARTS), **PARTS)
    assert check_overlap(begun, is_allowed=False) == []
    assert note_on_validation(begun) is None


@pytest.mark.parametrize("place", ["", "checkpoints/best.ckpt"], ids=["the run", "its checkpoint"])
def test_test_cases_that_were_trained_on_are_refused_with_what_helps(place: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", **PARTS)
    with pytest.raises(UserError) as refusal:
        check_overlap(start(run / place, **OTHER), is_allowed=False)
    message = str(refusal.value)
    assert message.startswith(f"init={run / place}: 3 of the 3 test cases were used by {run} (3 to train, 0 to choose")
    assert "case_0, case_1, case_2." in message
    assert f"data.split.file={run}/splits.json" in message
    assert "init_overlap=allow" in message


def test_test_cases_that_chose_the_best_epoch_are_refused_too(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", **PARTS)
    parts = {"train": NAMES[:5], "val": NAMES[5:6], "test": NAMES[6:]}
    with pytest.raises(UserError, match=r"2 of the 4 test cases .*\(0 to train, 2 to choose the best epoch\): case_6"):
        check_overlap(start(run, **parts), is_allowed=False)


def test_an_allowed_overlap_is_a_sentence_in_every_table(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", **PARTS)
    [caveat] = check_overlap(start(run, **OTHER), is_allowed=True)
    assert caveat.startswith("3 of the 3 test cases were used before")


def test_a_fold_is_left_out_with_the_file_of_the_parts(tmp_path: Path) -> None:
    begun = start(write_run(tmp_path / "run", **PARTS), **OTHER, has_fold=True)
    with pytest.raises(UserError, match=r"splits\.json data\.fold=null, or"):
        check_overlap(begun, is_allowed=False)


def test_the_parts_of_the_other_run_are_not_offered_if_this_data_lack_its_cases(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", **{**PARTS, "train": [*NAMES[:6], "elsewhere"]})
    with pytest.raises(UserError, match=r"Test on other cases") as refusal:
        check_overlap(start(run, **OTHER), is_allowed=False)
    assert "splits.json" not in str(refusal.value)


def test_another_case_of_a_patient_that_was_trained_on_is_found(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", train=["ann_1"], val=["bob_1"], test=["cid_1"], patients={"ann_1": "ann"})
    begun = start(run, train=NAMES[2:], val=NAMES[1:2], test=NAMES[:1], patients={"case_0": "ann"})
    with pytest.raises(UserError, match="1 of the 1 test cases"):
        check_overlap(begun, is_allowed=False)


def test_the_same_images_under_another_name_in_another_folder_are_found(tmp_path: Path) -> None:
    digests = {"scan_a": "digest of case_0", "scan_b": "another", "scan_c": "a third"}
    run = write_run(
        tmp_path / "run", train=["scan_a"], val=["scan_b"], test=["scan_c"], root="/elsewhere", digests=digests
    )
    with pytest.raises(UserError, match="1 of the 3 test cases"):
        check_overlap(start(run, **OTHER), is_allowed=False)


@pytest.mark.parametrize(
    ("changes", "is_found"),
    [
        ({"root": "/elsewhere"}, False),  # every common name has other images: another dataset
        ({"root": "/scans"}, True),  # the same folder, its files written anew
        ({"root": None, "is_phantom": True}, False),
    ],
    ids=["another dataset", "the same folder", "phantoms"],
)
def test_the_same_names_of_other_images_count_only_in_the_same_folder(
    changes: dict[str, Any], is_found: bool, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "run", **PARTS, **changes, digests={name: f"other {name}" for name in NAMES})
    assert bool(check_overlap(start(run, **OTHER), is_allowed=True)) == is_found


def test_runs_that_did_not_record_digests_are_compared_by_name_in_one_folder(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", **PARTS, root="/scans")
    with pytest.raises(UserError, match="3 of the 3"):
        check_overlap(start(run, **OTHER), is_allowed=False)


def test_equal_names_in_another_folder_are_a_doubt_that_marks_the_run_if_digests_are_missing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", **PARTS, root="/elsewhere")
    (caveat,) = check_overlap(start(run, **OTHER), is_allowed=False)
    assert caveat.startswith("3 of the 3 test cases have names of cases")
    assert "is not known" in caveat


def test_the_runs_that_the_weights_went_through_before_count_too(tmp_path: Path) -> None:
    """The first run trained on cases 0 to 5; the second, which started from it, saw only 6 and 7."""
    first = write_run(tmp_path / "first", **PARTS)
    second = write_run(
        tmp_path / "second",
        train=NAMES[6:7],
        val=NAMES[7:8],
        test=NAMES[8:],
        init=first / "checkpoints" / "best.ckpt",
    )
    with pytest.raises(UserError, match=rf"3 of the 3 test cases were used by {first} "):
        check_overlap(start(second, **OTHER), is_allowed=False)


@pytest.mark.parametrize("kind", ["file", "run without parts", "lost ancestor", "damaged parts"])
def test_weights_whose_cases_are_not_known_are_a_caveat(kind: str, tmp_path: Path) -> None:
    source = tmp_path / "weights.safetensors"
    if kind != "file":
        source = write_run(tmp_path / "run", **PARTS, init=tmp_path / "lost" / "checkpoints" / "best.ckpt")
    if kind == "run without parts":
        (source / "splits.json").unlink()
    if kind == "damaged parts":
        (source / "splits.json").write_text('{"train": 3')
    [caveat] = check_overlap(start(source, **PARTS), is_allowed=False)
    assert "are not recorded" in caveat
    assert ("lost" in caveat) == (kind == "lost ancestor")


def test_validation_cases_that_were_trained_on_are_reported(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", **PARTS)
    begun = start(run, train=NAMES[1:8], val=NAMES[:1], test=NAMES[8:])
    assert check_overlap(begun, is_allowed=False) == []
    assert (note_on_validation(begun) or "").startswith("1 of the 1 validation cases were trained on: case_0.")


def test_a_run_that_names_itself_as_its_start_is_followed_once(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", **PARTS, init=tmp_path / "run" / "checkpoints" / "best.ckpt")
    assert len(check_overlap(start(run, **PARTS), is_allowed=False)) == 1
