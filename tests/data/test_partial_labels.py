"""Cases that annotate some of the classes: what their batches carry, and what is never drawn from them."""

from pathlib import Path

import torch
from scans import write_msd_task, write_totalsegmentator_cases

from aunet.build.data import build_cohort, fill_in_facts
from aunet.build.preprocessing import fill_in_intensities
from aunet.build.task import build_data
from aunet.classes import IGNORED
from aunet.config.draft import compose_draft
from aunet.data.cohort.selection import annotation_notes
from aunet.data.cohort.splits import Splits
from aunet.data.datamodule import SegmentationData

PATCHES = [
    "data.patch_size=[16,16,16]",
    "data.spacing=[1,1.5,1.2]",
    "data.batch_size=2",
    "trainer.batches_per_epoch=12",
]


def data_of(words: list[str], cache: Path) -> SegmentationData:
    draft = compose_draft([*words, *PATCHES, f"data.cache={cache}"])
    cohort = build_cohort(draft.data)
    names = [case.case_id for case in cohort.cases]
    splits = Splits(tuple(names[:3]), tuple(names[3:]), ())
    data = build_data(fill_in_intensities(fill_in_facts(draft, cohort), cohort, splits), cohort, splits)
    data.setup("fit")
    return data


def test_batches_state_which_classes_each_case_annotates(tmp_path: Path) -> None:
    root = write_totalsegmentator_cases(tmp_path / "scans")
    (root / "s0001" / "segmentations" / "kidney_left.nii.gz").unlink()
    data = data_of(["data=totalsegmentator", f"data.root={root}"], tmp_path)
    seen: dict[str, set[int]] = {}
    for batch in data.train_dataloader():
        assert batch["annotated"].shape == (2, 4)
        for case_id, label, annotated in zip(batch["case_id"], batch["label"], batch["annotated"], strict=True):
            assert annotated.tolist() == [True, True, True, case_id != "s0001"]
            seen.setdefault(case_id, set()).update(torch.unique(label).tolist())
    assert seen == {"s0000": {0, 1, 2, 3}, "s0001": {0, 1, 2}, "s0002": {0, 1, 2, 3}}


def test_batches_of_a_wholly_annotated_cohort_carry_nothing_more(tmp_path: Path) -> None:
    data = data_of(["data=totalsegmentator", f"data.root={write_totalsegmentator_cases(tmp_path / 'scans')}"], tmp_path)
    assert "annotated" not in next(iter(data.train_dataloader()))
    assert data.validation_cases()[0]["annotated"].all()


def test_classes_annotated_in_some_or_no_case_are_reported(tmp_path: Path) -> None:
    root = write_totalsegmentator_cases(tmp_path / "scans")
    (root / "s0001" / "segmentations" / "kidney_left.nii.gz").unlink()
    assert annotation_notes(build_cohort(compose_draft(["data=totalsegmentator", f"data.root={root}"]).data)) == [
        "kidney is annotated in 3 of 4 cases: only these teach and score it"
    ]
    task, classes = write_msd_task(tmp_path / "task"), "data.classes={ball: [ball, box], liver: null}"
    assert annotation_notes(build_cohort(compose_draft(["data=msd", f"data.root={task}", classes]).data)) == [
        "liver is annotated in no case: this run cannot learn it, and its scores stay undefined"
    ]


def test_annotations_ignored_voxels_reach_the_batches_as_such(tmp_path: Path) -> None:
    root = write_msd_task(tmp_path / "task")
    words = ["data=msd", f"data.root={root}", "data.classes={ball: ball, ignore: box}", "data.modality=mr"]
    data = data_of(words, tmp_path)
    values = {value for batch in data.train_dataloader() for value in torch.unique(batch["label"]).tolist()}
    assert values == {0, 1, IGNORED}
    assert data.cohort.labels.names == ("background", "ball")


def test_an_unannotated_class_is_absent_from_cases_that_were_stored_without_it(tmp_path: Path) -> None:
    words = ["data=msd", f"data.root={write_msd_task(tmp_path / 'task')}"]
    before = data_of([*words, "data.classes={ball: ball, box: box}"], tmp_path)
    data = data_of([*words, "data.classes={ball: ball, box: box, liver: null}"], tmp_path)
    assert data.validation_cases()[0]["case_id"] == before.validation_cases()[0]["case_id"]
    assert data.absent_classes(data.splits.train) == data.absent_classes(data.splits.val) == ["liver"]
