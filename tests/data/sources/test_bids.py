"""Datasets in BIDS: subjects, sessions, entities, and label maps among the derivatives."""

import re
from pathlib import Path

import pytest
from scans import ball_and_box, write_nifti

from aunet.build.data import build_cohort
from aunet.config.draft import compose_draft
from aunet.data.cohort.case import Cohort
from aunet.data.cohort.splits import SplitSizes, split_cases
from aunet.data.sources.bids import bids_cohort
from aunet.errors import UserError

CLASSES = {"ball": 1, "box": 2}
IMAGE, LABEL = ball_and_box((12, 10, 8), 0)


def write(root: Path, *names: str) -> Path:
    """Each name a file: an image below ``root`` or a label map if it lies in ``derivatives``; each with its voxels."""
    for number, name in enumerate(names):
        array = LABEL if name.startswith("derivatives") else IMAGE + number
        write_nifti(root / f"{name}.nii.gz", array)
    return root


def sessions(root: Path) -> Path:
    for subject in ("01", "02", "03"):
        for session in ("pre", "post"):
            place, name = f"sub-{subject}/ses-{session}/anat", f"sub-{subject}_ses-{session}"
            write(root, f"{place}/{name}_T1w", f"{place}/{name}_FLAIR", f"derivatives/manual/{place}/{name}_dseg")
    return root


def cohort_in(root: Path, **options: object) -> Cohort:
    return bids_cohort(str(root), classes=CLASSES, **options)  # pyright: ignore[reportArgumentType]


def test_bids_sessions_are_cases_of_one_patient(tmp_path: Path) -> None:
    cohort = cohort_in(sessions(tmp_path))
    assert [case.case_id for case in cohort.cases[:2]] == ["sub-01_ses-post", "sub-01_ses-pre"]
    assert [case.patient for case in cohort.cases] == ["sub-01"] * 2 + ["sub-02"] * 2 + ["sub-03"] * 2
    assert cohort.modality == "mr"
    assert cohort.cases[1].label == tmp_path / "derivatives/manual/sub-01/ses-pre/anat/sub-01_ses-pre_dseg.nii.gz"
    splits = split_cases(cohort.cases, SplitSizes(1, 1), 0)
    assert len({case_id[:6] for case_id in splits.test}) == 1


def test_bids_suffixes_are_channels(tmp_path: Path) -> None:
    cohort = cohort_in(sessions(tmp_path), images=["T1w", "FLAIR"])
    assert cohort.num_channels == 2
    assert [path.name for path in cohort.cases[0].images] == [
        "sub-01_ses-post_T1w.nii.gz",
        "sub-01_ses-post_FLAIR.nii.gz",
    ]


def test_bids_is_a_preset(tmp_path: Path) -> None:
    draft = compose_draft(["data=bids", f"data.root={sessions(tmp_path)}", "data.classes={ball: 1, box: 2}"])
    assert len(build_cohort(draft.data).cases) == 6


def test_bids_without_sessions_and_of_another_folder(tmp_path: Path) -> None:
    names = [f"sub-{letter}/ct/sub-{letter}_ct" for letter in "abc"]
    write(tmp_path, *names, *(f"derivatives/{name[:-3]}_space-orig_desc-expert_dseg" for name in names))
    cohort = cohort_in(tmp_path, images="ct")
    assert [case.case_id for case in cohort.cases] == ["sub-a", "sub-b", "sub-c"]
    assert cohort.modality == "ct"


def test_bids_runs_are_cases_and_take_the_label_of_their_own_run(tmp_path: Path) -> None:
    for run in "12":
        write(tmp_path, f"sub-1/anat/sub-1_run-{run}_T1w", f"derivatives/m/sub-1/anat/sub-1_run-{run}_dseg")
    cases = cohort_in(tmp_path).cases
    assert [case.case_id for case in cases] == ["sub-1_run-1", "sub-1_run-2"]
    assert [case.label and case.label.name for case in cases] == ["sub-1_run-1_dseg.nii.gz", "sub-1_run-2_dseg.nii.gz"]


def test_bids_entities_choose_among_images_and_labels(tmp_path: Path) -> None:
    write(
        tmp_path,
        "sub-1/anat/sub-1_acq-fast_T1w",
        "sub-1/anat/sub-1_acq-mprage_T1w",
        "derivatives/m/sub-1/anat/sub-1_desc-manual_dseg",
        "derivatives/m/sub-1/anat/sub-1_desc-auto_dseg",
    )
    with pytest.raises(UserError, match=r"has 2 files of dseg.*such as desc-manual_dseg in data\.source\.labels"):
        cohort_in(tmp_path, images="acq-mprage_T1w")
    (case,) = cohort_in(tmp_path, images="acq-mprage_T1w", labels="desc-manual_dseg").cases
    assert case.case_id == "sub-1_acq-mprage"


def test_bids_tables_name_the_values(tmp_path: Path) -> None:
    write(tmp_path, "sub-1/anat/sub-1_T1w", "derivatives/m/sub-1/anat/sub-1_dseg")
    (tmp_path / "derivatives/m/desc-x_dseg.tsv").write_text(
        "index\tname\tcolor\n0\tBackground\t#0\n1\tBall\t#1\n2\tBox\t#2\n"
    )
    assert bids_cohort(str(tmp_path)).labels.names == ("background", "ball", "box")


def test_bids_images_that_are_ambiguous_name_their_own_setting(tmp_path: Path) -> None:
    names = ("T1w", "acq-a_FLAIR", "acq-b_FLAIR")
    write(tmp_path, *(f"sub-1/anat/sub-1_{name}" for name in names), "derivatives/m/sub-1/anat/sub-1_dseg")
    with pytest.raises(UserError, match=r"2 files of FLAIR.*such as acq-b_FLAIR in data\.source\.images"):
        cohort_in(tmp_path, images=["T1w", "FLAIR"])


def test_bids_a_label_without_further_entities_comes_before_one_in_another_space(tmp_path: Path) -> None:
    names = ("space-MNI_dseg", "dseg")
    write(tmp_path, "sub-1/anat/sub-1_T1w", *(f"derivatives/m/sub-1/anat/sub-1_{name}" for name in names))
    (case,) = cohort_in(tmp_path).cases
    assert case.label is not None
    assert case.label.name == "sub-1_dseg.nii.gz"


def test_bids_two_values_of_one_name_are_one_class(tmp_path: Path) -> None:
    write(tmp_path, "sub-1/anat/sub-1_T1w", "derivatives/m/sub-1/anat/sub-1_dseg")
    (tmp_path / "derivatives/m/dseg.tsv").write_text("index\tname\n0\tnone\n1\tLesion\n2\tbox\n3\tlesion\n")
    cohort = bids_cohort(str(tmp_path))
    assert cohort.labels.names == ("background", "lesion", "box")
    assert cohort.class_of_value == {0: 0, 1: 1, 2: 2, 3: 1}


def test_bids_tables_that_disagree_are_named_with_the_index(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, "sub-1/anat/sub-1_T1w", "derivatives/m/sub-1/anat/sub-1_dseg")
    for file, name in (("a_dseg.tsv", "Left Lung"), ("b_dseg.tsv", "Liver")):
        (tmp_path / "derivatives/m" / file).write_text(f"index\tname\n1\t{name}\n")
    assert cohort_in(tmp_path).labels.names == ("background", "ball", "box")
    (record,) = caplog.records
    assert re.search(
        r"b_dseg\.tsv: index 1 is Liver, but Left Lung in .*a_dseg\.tsv.*\{liver: 1\}", record.getMessage()
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"images": "T2w"}, r"data\.source\.images=T2w: no file sub-\*_T2w in .*sub-\*, which has FLAIR, T1w\. Name"),
        ({"labels": "mask"}, r"label maps \*_mask.*none with them \(manual\), which has dseg\. Name"),
        ({"derivatives": "auto"}, r"data\.source\.derivatives=.*no such folder"),
    ],
)
def test_bids_that_finds_nothing_says_what_to_name(options: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        cohort_in(sessions(tmp_path), **options)


def test_bids_without_label_maps_says_where_they_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no label map \*_dseg beside the images, and no folder derivatives"):
        cohort_in(write(tmp_path, "sub-01/anat/sub-01_T1w"))


def test_bids_of_two_pipelines_asks_for_one(tmp_path: Path) -> None:
    write(sessions(tmp_path), "derivatives/auto/sub-01/ses-pre/anat/sub-01_ses-pre_dseg")
    with pytest.raises(UserError, match=r"2 folders with them \(auto, manual\).*data\.source\.derivatives=NAME"):
        cohort_in(tmp_path)
    assert len(cohort_in(tmp_path, derivatives="manual").cases) == 6


def test_bids_a_session_without_label_is_named_or_skipped(tmp_path: Path) -> None:
    (sessions(tmp_path) / "derivatives/manual/sub-02/ses-pre/anat/sub-02_ses-pre_dseg.nii.gz").unlink()
    with pytest.raises(UserError, match="case sub-02_ses-pre has no dseg of the same subject and session"):
        cohort_in(tmp_path)
    assert len(cohort_in(tmp_path, on_error="skip").cases) == 5


LABEL_OF_SUBJECT = "derivatives/manual/sub-01/anat/sub-01_dseg"


def test_bids_a_label_map_without_session_belongs_to_the_only_session(tmp_path: Path) -> None:
    write(tmp_path, "sub-01/ses-1/anat/sub-01_ses-1_T1w", LABEL_OF_SUBJECT)
    assert cohort_in(tmp_path).cases[0].label == tmp_path / f"{LABEL_OF_SUBJECT}.nii.gz"
    write(tmp_path, "sub-01/ses-2/anat/sub-01_ses-2_T1w")
    with pytest.raises(UserError, match="no dseg of the same subject and session"):
        cohort_in(tmp_path)


@pytest.mark.parametrize("place", ["rawdata/sub-01/anat", "sub-01/anat"])
def test_bids_images_may_lie_in_rawdata(place: str, tmp_path: Path) -> None:
    write(tmp_path, f"{place}/sub-01_T1w", LABEL_OF_SUBJECT)
    assert [case.case_id for case in cohort_in(tmp_path).cases] == ["sub-01"]


def test_bids_label_maps_may_lie_beside_their_images(tmp_path: Path) -> None:
    write(tmp_path, "sub-01/anat/sub-01_T1w", "sub-01/anat/sub-01_dseg")
    assert cohort_in(tmp_path).cases[0].label == tmp_path / "sub-01/anat/sub-01_dseg.nii.gz"


def test_bids_a_table_may_write_its_index_with_a_point(tmp_path: Path) -> None:
    write(tmp_path, "sub-01/anat/sub-01_T1w", LABEL_OF_SUBJECT)
    (tmp_path / "derivatives/manual/dseg.tsv").write_text("index\tname\n1.0\tball\n2.0\tbox\n")
    assert bids_cohort(str(tmp_path)).labels.names == ("background", "ball", "box")
