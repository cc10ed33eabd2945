"""Splits read from a run's splits.json and from nnU-Net's splits_final.json."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from aunet.data.cohort.case import Case
from aunet.data.cohort.content_digest import ContentDigests
from aunet.data.cohort.split_file import read_splits, write_splits
from aunet.data.cohort.splits import Splits, SplitSizes, split_cases
from aunet.errors import UserError
from aunet.files import write_json

NAMES = [f"liver_{number}" for number in range(10)]
CASES = [Case(name, (), None, group=f"patient_{number // 2}") for number, name in enumerate(NAMES)]


def read(file: Path, fold: int | None = None) -> Splits:
    return read_splits(file, CASES, fold, val=0.25, seed=0)


def write(file: Path, content: object) -> Path:
    file.write_text(json.dumps(content))
    return file


def test_the_splits_that_a_run_wrote_are_read_back(tmp_path: Path) -> None:
    splits = split_cases(CASES, SplitSizes(val=0.25, test=0.2), seed=0)
    write_splits(tmp_path / "splits.json", splits, CASES, ContentDigests())
    assert read(tmp_path / "splits.json") == splits


def test_splits_written_before_patients_and_digests_were_are_read_too(tmp_path: Path) -> None:
    splits = split_cases(CASES, SplitSizes(val=0.25, test=0.2), seed=0)
    write_json(tmp_path / "splits.json", splits.as_dict())
    assert read(tmp_path / "splits.json") == splits


def test_the_file_names_the_patient_of_each_case_that_is_not_its_own_and_the_digest_of_its_images(
    tmp_path: Path,
) -> None:
    image, label = tmp_path / "image", tmp_path / "label"
    image.write_bytes(b"scan")
    label.write_bytes(b"organ")
    cases = [Case("a", (image,), label, group="Ann"), Case("b", (image,), None), Case("c", (), None, group="Cid")]
    write_splits(tmp_path / "splits.json", Splits(("a",), ("b",), ()), cases, ContentDigests())
    content = json.loads((tmp_path / "splits.json").read_text())
    assert content["patients"] == {"a": "Ann"}
    assert content["digests"]["a"] == content["digests"]["b"]
    assert content["digests"].keys() == {"a", "b"}


def test_the_held_out_part_of_an_nnunet_fold_is_tested_and_validation_is_carved_out_of_training(tmp_path: Path) -> None:
    folds = [{"train": NAMES[:8], "val": NAMES[8:]}, {"train": NAMES[2:], "val": NAMES[:2]}]
    splits = read(write(tmp_path / "splits_final.json", folds), fold=1)
    assert splits.test == ("liver_0", "liver_1")
    assert len(splits.val) == 2
    assert sorted((*splits.train, *splits.val)) == NAMES[2:]


WHOLE = {"train": NAMES[:4], "val": NAMES[4:6], "test": NAMES[6:]}


@pytest.mark.parametrize(
    ("content", "fold", "message"),
    [
        ({**WHOLE, "test": ["liver_11"]}, None, r"test names 1 cases .*: liver_11\. The nearest .*: liver_1\."),
        ({**WHOLE, "train": NAMES[:3], "val": NAMES[3:6]}, None, r"patient patient_1 is in train \(liver_2\), val"),
        ({**WHOLE, "val": NAMES[4:6] * 2}, None, "case liver_4 appears 2 times, in val"),
        ({**WHOLE, "val": ["liver_4", "liver_0"]}, None, "case liver_0 appears 2 times, in train and val"),
        ({"train": NAMES}, None, "'train' and 'val' and 'test' must each list"),
        ({**WHOLE, "test": []}, None, "must each list at least one case id"),
        ({**WHOLE, "test": [1]}, None, "must each list at least one case id"),
        ("words", None, "not the splits.json"),
        (WHOLE, 0, r"no data\.fold=0 to choose"),
        ([{"train": NAMES[:8], "val": NAMES[8:]}], None, r"holds 1 folds, and data\.fold=null is none"),
        ([{"train": NAMES[:8], "val": NAMES[8:]}], 1, r"Choose one of 0\.\.0"),
        ([{"train": NAMES[:9], "val": NAMES[9:]}], 0, r"patient patient_4 is in train \(liver_8\), "),
        ([[]], 0, "'train' and 'val' must each list"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, content: object, fold: int | None, message: str) -> None:
    file = write(tmp_path / "splits.json", content)
    with pytest.raises(UserError, match=message) as refusal:
        read(file, fold)
    assert str(refusal.value).startswith(str(file))


@pytest.mark.parametrize("content", [WHOLE, [{"train": NAMES[:6], "val": NAMES[6:]}]])
def test_different_patients_with_copies_of_one_file_in_two_parts_are_a_warning(
    content: object, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write(tmp_path / "splits.json", content)
    joined = [
        replace(case, copy_group="patient_0" if case.group in ("patient_0", "patient_4") else "") for case in CASES
    ]
    splits = read_splits(file, joined, 0 if isinstance(content, list) else None, val=0.25, seed=0)
    assert "liver_9" in splits.test
    (record,) = caplog.records
    assert "cases with copies of one file are in" in record.getMessage()
    assert "test (liver_9)" in record.getMessage()


@pytest.mark.parametrize(("text", "message"), [("{", "not valid JSON"), (None, "cannot be read")])
def test_a_file_that_is_missing_or_not_json_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "splits.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read(tmp_path / "splits.json")
