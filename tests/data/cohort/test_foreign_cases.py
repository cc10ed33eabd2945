"""Cases of another dataset are tested with the classes and the training cases of the first."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from aunet.build.data import build_cohort, build_splits
from aunet.build.preprocessing import build_digests
from aunet.build.start import build_test_start
from aunet.classes import Labels
from aunet.config.draft import compose_draft
from aunet.config.trust import SOURCE_ALONE
from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.foreign_cases import with_foreign_cases
from aunet.data.cohort.references import read_reference
from aunet.data.cohort.split_file import write_splits
from aunet.data.cohort.splits import Splits
from aunet.errors import UserError
from aunet.sweeps.sweep_plan import plan_sweep
from aunet.training.init_overlap import check_overlap


def dataset(folder: Path, values: dict[str, int], seed: int, cases: int = 4) -> list[str]:
    """Write a folder of scans whose label map holds the values, and return the words that name it."""
    random = np.random.default_rng(seed)
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for number in range(cases):
        label = random.integers(0, len(values) + 1, (6, 6, 6))
        stored = np.array([0, *values.values()])[label].astype(np.uint8)
        scan = random.normal(0, 100, label.shape).astype(np.int16)
        nib.save(nib.Nifti1Image(scan, np.eye(4)), folder / "images" / f"case_{number}.nii.gz")
        nib.save(nib.Nifti1Image(stored, np.eye(4)), folder / "labels" / f"case_{number}.nii.gz")
    classes = ",".join(f"{name}:{value}" for name, value in values.items())
    return ["data=folder", f"data.root={folder}", "data.modality=ct", f"data.classes={{{classes}}}"]


def joined(own: list[str], other: list[str]) -> tuple[Cohort, list[str]]:
    told = ",".join(f'"{word}"' for word in other)
    data = compose_draft([*own, f"data.test_on=[{told}]"], SOURCE_ALONE).data
    cohort = build_cohort(data)
    return cohort, list(build_splits(data, cohort).test)


def test_the_cases_of_the_other_dataset_are_tested_and_the_training_cases_stay(tmp_path: Path) -> None:
    own = dataset(tmp_path / "own", {"spleen": 1, "liver": 2}, seed=0)
    other = dataset(tmp_path / "other", {"liver": 7, "spleen": 9}, seed=1)
    data = compose_draft(own, SOURCE_ALONE).data
    alone = build_splits(data, build_cohort(data))

    cohort, tested = joined(own, other)

    assert tested == [f"folder-case_{number}" for number in range(4)]
    assert build_splits(data, cohort).train == alone.train
    assert build_splits(data, cohort).val == alone.val


def test_classes_of_the_other_dataset_are_matched_by_name(tmp_path: Path) -> None:
    own = dataset(tmp_path / "own", {"spleen": 1, "liver": 2}, seed=0)
    other = dataset(tmp_path / "other", {"liver": 7, "spleen": 9}, seed=1)
    cohort, _ = joined(own, other)

    for case in cohort.cases:
        assert case.label is not None
        stored = np.asarray(nib.load(case.label).dataobj)
        values = {"spleen": 9, "liver": 7} if case.case_id in cohort.foreign else {"spleen": 1, "liver": 2}
        found = read_reference(case, cohort).array
        for index, name in cohort.labels.foreground:
            assert np.array_equal(found == index, stored == values[name])


def test_a_scan_of_the_training_set_cannot_be_a_test_case_of_the_other(tmp_path: Path) -> None:
    own = dataset(tmp_path / "own", {"spleen": 1}, seed=0)
    other = dataset(tmp_path / "other", {"spleen": 1}, seed=0)

    with pytest.raises(UserError, match=r"folder-case_0 is a copy of case_0.*data\.cases"):
        joined(own, other)


def test_a_dataset_with_other_classes_or_channels_is_refused_with_the_remedy() -> None:
    def cohort(name: str, *classes: str, channels: int = 1) -> Cohort:
        labels = Labels(("background", *classes))
        return Cohort(name, (Case("a", (), None),), labels, {0: 0, 1: 1}, "ct", name, num_channels=channels)

    with pytest.raises(UserError, match=r"its classes are liver, those of own spleen.*data\.classes"):
        with_foreign_cases(cohort("own", "spleen"), cohort("other", "liver"), ["data=other"])
    with pytest.raises(UserError, match=r"has 2 channels, own 1"):
        with_foreign_cases(cohort("own", "spleen"), cohort("other", "spleen", channels=2), ["data=other"])


@pytest.mark.parametrize("words", ['["model=unet"]', '["data=ct150","seed=1"]', "[]"])
def test_words_that_name_no_dataset_are_refused(words: str) -> None:
    with pytest.raises(UserError, match=r"name another dataset as on the command line"):
        build_cohort(compose_draft(["data=ct150", "data.source.num_phantoms=2", f"data.test_on={words}"]).data)


def test_a_fold_of_a_run_that_is_tested_on_another_dataset_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    words = [f"data.root={tmp_path}/absent", f'data.test_on=["data=btcv","data.root={tmp_path}/absent"]']

    with pytest.raises(UserError, match=r"data\.fold=0 with data\.test_on=.*Leave one of them out"):
        compose_draft(["data=amos22", *words, "data.fold=0"])
    with pytest.raises(UserError, match=r"data\.fold=1 with"):
        plan_sweep(["data=amos22", *words, "data.fold=null,1"])


@pytest.mark.parametrize("has_digests", [True, False])
def test_weights_that_saw_a_patient_of_the_other_dataset_cannot_be_tested_on_it(
    tmp_path: Path, *, has_digests: bool
) -> None:
    own = dataset(tmp_path / "own", {"spleen": 1}, seed=0)
    other = dataset(tmp_path / "other", {"spleen": 1}, seed=1)
    data = compose_draft(other, SOURCE_ALONE).data
    cases = build_cohort(data).cases
    seen = Splits(train=(cases[0].case_id,), val=(), test=())
    write_splits(tmp_path / "run" / "splits.json", seen, cases, build_digests(data))
    if not has_digests:  # a run of an older version
        splits = json.loads((tmp_path / "run" / "splits.json").read_text(encoding="utf-8"))
        (tmp_path / "run" / "splits.json").write_text(json.dumps({**splits, "digests": {}}), encoding="utf-8")
    (tmp_path / "run" / "config.yaml").write_text(f"data:\n  root: {data.root}\n", encoding="utf-8")
    told = ",".join(f'"{word}"' for word in other)
    tested_on = compose_draft([*own, f"data.test_on=[{told}]"], SOURCE_ALONE).data
    cohort = build_cohort(tested_on)

    start = build_test_start(tested_on, str(tmp_path / "run"), cohort, build_splits(tested_on, cohort))

    with pytest.raises(UserError, match=r"1 of the 4 test cases .*: case_0\. .*among the words of data.test_on"):
        check_overlap(start, is_allowed=False)
