"""Each fault, planted in one case of a sound cohort, is found there and nowhere else."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from abdomens import CLASSES, Abdomen, abdomens, write_abdomens
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from PIL import Image
from volume_files import write_itk

from aunet.data.cohort.case import Cohort
from aunet.data.io import itk_images
from aunet.data.sources.folder import folder_cohort
from aunet.data.sources.image_folders import images_cohort
from aunet.doctor.examination import Examination, examine_cohort
from aunet.doctor.finding import Severity

BAD = "case_3"


def cohort_in(root: Path, classes: dict[str, int] | None = None) -> Cohort:
    return folder_cohort(str(root), "images", "labels", "ct", classes or CLASSES)


def examined(root: Path, classes: dict[str, int] | None = None) -> Examination:
    return examine_cohort(cohort_in(root, classes))


def found(examination: Examination) -> list[tuple[str, str]]:
    return [(finding.case_id, finding.kind.name) for finding in examination.findings]


def flip(case: Abdomen, axis: int) -> None:
    """Flip the affine, so that it contradicts the voxels."""
    for affine in (case.affine, case.label_affine):
        affine[axis, axis] *= -1
        affine[axis, 3] *= -1


def shift_label_grid(case: Abdomen) -> None:
    case.label_affine[0, 3] += 0.5


def crop_label(case: Abdomen) -> None:
    case.label = case.label[:-1]


def add_a_value(case: Abdomen) -> None:
    case.label[0, 0, 0] = 7


def empty(case: Abdomen) -> None:
    case.label[:] = 0


def fill(case: Abdomen) -> None:
    case.label[:] = 2


def exchange_kidneys(case: Abdomen) -> None:
    left = case.label == 3
    case.label[case.label == 4] = 3
    case.label[left] = 4


def mirror(case: Abdomen) -> None:
    flip(case, 0)


def forget_the_intercept(case: Abdomen) -> None:
    case.image = (case.image + 1024).clip(0)


def scale_to_bytes(case: Abdomen) -> None:
    case.image = ((case.image.clip(-160, 240) + 160) / 400 * 255).round()


def standardise(case: Abdomen) -> None:
    case.image = (case.image - case.image.mean()) / case.image.std()


def remove_soft_tissue(case: Abdomen) -> None:
    case.image[case.image > -500] = 2000


def exceed_hounsfield(case: Abdomen) -> None:
    case.image[0, 0, 0] = 60_000


def brighten(case: Abdomen) -> None:
    case.image += np.float32(130)


def flatten(case: Abdomen) -> None:
    case.image[:] = 3


def cut_the_liver(case: Abdomen) -> None:
    middle = np.argwhere(case.label == 2).mean(0)
    far = np.square(np.moveaxis(np.indices(case.label.shape), 0, -1) - middle).sum(-1) > 3
    case.label[(case.label == 2) & far] = 0


def remove_the_spleen(case: Abdomen) -> None:
    case.label[case.label == 1] = 0


def stretch(case: Abdomen) -> None:
    case.affine[2, 2] = case.label_affine[2, 2] = 28.0


def write_in_metres(case: Abdomen) -> None:
    case.affine[:3] /= 1000
    case.label_affine[:3] /= 1000


def crop_inside(case: Abdomen) -> None:
    case.image[case.image < -500] = 30


PLANTED: list[tuple[Callable[[Abdomen], None], str, str]] = [
    (shift_label_grid, "image and label differ in geometry", "0.5 mm apart"),
    (crop_label, "image and label differ in geometry", "(39, 30, 24)"),
    (add_a_value, "unknown label values", "values 7; known are 0 background, 1 spleen"),
    (empty, "empty label", "no voxel of any class"),
    (exchange_kidneys, "left and right exchanged", "left_kidney lies right of right_kidney"),
    (mirror, "left and right exchanged", "the scan is mirrored"),
    (forget_the_intercept, "intensities are not HU", "1024"),
    (scale_to_bytes, "intensities are not HU", "scaled or standardised"),
    (standardise, "intensities are not HU", "standardised"),
    (remove_soft_tissue, "intensities are not HU", "soft tissue"),
    (exceed_hounsfield, "intensities are not HU", "60000"),
    (brighten, "intensity unlike the other cases", "spleen: median 2"),
    (flatten, "constant image", "every voxel is 3"),
    (cut_the_liver, "volume unlike the other cases", "liver: "),
    (remove_the_spleen, "class absent", "no spleen, which 7 of 8 have"),
    (stretch, "voxels unlike the other cases", "8×8×28 mm; the median is 8×8×8 mm"),
    (write_in_metres, "voxels unlike the other cases", "no scanner makes these"),
    (crop_inside, "no air in a CT", "air is near -1000 HU"),
]


def test_a_sound_cohort_has_no_finding(tmp_path: Path) -> None:
    examination = examined(write_abdomens(tmp_path, abdomens()))
    assert examination.findings == ()
    assert [facts.case_id for facts in examination.facts] == [f"case_{number}" for number in range(8)]


@pytest.mark.parametrize(("plant", "kind", "message"), PLANTED, ids=[plant.__name__ for plant, _, _ in PLANTED])
def test_a_planted_fault_is_found_in_its_case_alone(
    plant: Callable[[Abdomen], None], kind: str, message: str, tmp_path: Path
) -> None:
    cases = abdomens()
    plant(cases[BAD])
    findings = examined(write_abdomens(tmp_path, cases)).findings
    assert {finding.case_id for finding in findings} == {BAD}
    assert any(finding.kind.name == kind and message in finding.message for finding in findings), findings


def test_a_label_without_background_is_reported(tmp_path: Path) -> None:
    cases = abdomens(3)
    fill(cases["case_1"])
    assert ("case_1", "empty label") in found(examined(write_abdomens(tmp_path, cases)))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_nonsense(path: Path) -> None:
    path.write_bytes(gzip.compress(b"no scan at all" * 100))


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("spoil", [truncate, write_nonsense, remove])
@pytest.mark.parametrize("part", ["images", "labels"])
def test_a_file_that_cannot_be_read_is_reported_and_stops_nothing(
    spoil: Callable[[Path], None], part: str, tmp_path: Path
) -> None:
    cohort = cohort_in(write_abdomens(tmp_path, abdomens(3)))
    path = tmp_path / part / "case_1.nii.gz"
    spoil(path)
    examination = examine_cohort(cohort)
    assert found(examination) == [("case_1", "cannot be read")]
    assert str(path) in examination.findings[0].message
    assert examination.unusable == {"case_1"}
    assert [facts.case_id for facts in examination.facts] == ["case_0", "case_2"]


def test_nan_is_reported(tmp_path: Path) -> None:
    cases = abdomens(3)
    cases["case_1"].image[5, 5, 5] = np.nan
    examination = examined(write_abdomens(tmp_path, cases))
    assert found(examination) == [("case_1", "cannot be read")]
    assert "NaN" in examination.findings[0].message


def test_the_same_scan_twice_is_found_though_stored_in_another_orientation(tmp_path: Path) -> None:
    cases = abdomens(4)
    twin, turn = cases["case_1"], np.array([[1, -1], [0, 1], [2, -1]])
    for name in ("image", "label"):
        setattr(cases["case_3"], name, apply_orientation(getattr(twin, name), turn))
    cases["case_3"].affine = twin.affine @ inv_ornt_aff(turn, twin.image.shape)
    cases["case_3"].label_affine = cases["case_3"].affine
    assert not np.array_equal(io_orientation(cases["case_3"].affine), io_orientation(twin.affine))
    examination = examined(write_abdomens(tmp_path, cases))
    assert found(examination) == [
        ("case_3", "same image as another case"),
        ("case_3", "stored in another orientation"),
    ]
    assert examination.findings[0].message == "voxel for voxel the image of case_1, with the same label"


def test_several_cases_of_a_patient_are_reported(tmp_path: Path) -> None:
    write_abdomens(tmp_path, abdomens(3))
    rows = [f"case_{i},images/case_{i}.nii.gz,labels/case_{i}.nii.gz,{'ann' if i else 'bob'}" for i in range(3)]
    (tmp_path / "cases.csv").write_text("case_id,image,label,patient\n" + "\n".join(rows) + "\n")
    examination = examined(tmp_path / "cases.csv")
    assert [(finding.kind.name, finding.message) for finding in examination.findings] == [
        ("several cases of one patient", "patient ann is also in case_2")
    ]
    assert examination.findings[0].kind.severity is Severity.NOTE


def test_annotations_that_the_label_map_contradicts_are_a_note(tmp_path: Path) -> None:
    cases = abdomens(2)
    write_abdomens(tmp_path, cases)
    rows = [f"case_{i},images/case_{i}.nii.gz,labels/case_{i}.nii.gz,{told}" for i, told in enumerate(("", "spleen"))]
    (tmp_path / "cases.csv").write_text("case_id,image,label,annotated\n" + "\n".join(rows) + "\n")
    findings = [finding for finding in examined(tmp_path / "cases.csv").findings if "liver" in finding.message]
    assert [(finding.case_id, finding.kind.name, finding.message) for finding in findings] == [
        (
            "case_1",
            "marked, but not annotated",
            f"{(cases['case_1'].label == 2).sum():,} voxels of liver, which the case does not annotate",
        )
    ]


def test_measured_values_are_those_that_were_drawn(tmp_path: Path) -> None:
    cases = abdomens(1)
    [facts] = examined(write_abdomens(tmp_path, cases)).facts
    case = cases["case_0"]
    assert facts.shape == case.image.shape
    assert facts.spacing == (8.0, 8.0, 8.0)
    assert facts.orientation == "RAS"
    assert facts.values == {value: int((case.label == value).sum()) for value in range(5)}
    liver = facts.classes[2]
    assert liver.volume_ml == pytest.approx((case.label == 2).sum() * 8.0**3 / 1000)
    place = np.argwhere(case.label == 2).mean(0)
    np.testing.assert_allclose(liver.center, case.affine[:3, :3] @ place + case.affine[:3, 3])
    assert liver.median == pytest.approx(np.median(case.image[case.label == 2]))
    assert (facts.intensities.lowest, facts.intensities.highest) == (case.image.min(), case.image.max())


def test_a_missing_package_is_one_finding_whatever_number_of_cases_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        for kind in ("images", "labels"):
            (tmp_path / kind).mkdir(exist_ok=True)
            write_itk(tmp_path / kind / f"case_{number}.nrrd", np.zeros((4, 5, 6), np.uint8), np.eye(4))
    cohort = cohort_in(tmp_path)
    monkeypatch.setattr(itk_images, "find_spec", lambda name: None)
    assert [(finding.case_id, finding.kind.name, finding.message) for finding in examine_cohort(cohort).findings] == [
        (
            "",
            "package missing",
            "3 cases (case_0, case_1, case_2): NRRD and MetaImage need SimpleITK: pip install 'aunet[itk]'.",
        )
    ]


def numbered_pictures(root: Path, classes: dict[str, object]) -> Examination:
    """Examine three pictures, each with 16 objects of 16 pixels with numbers of their own."""
    rng = np.random.default_rng(0)
    objects = np.kron(np.arange(1, 17).reshape(4, 4), np.pad(np.ones((4, 4), int), 4)).astype(np.uint8)
    for number in range(3):
        noise = rng.integers(0, 255, objects.shape, np.uint8)
        for folder, array in (("images", noise), ("labels", np.roll(objects, number))):
            (root / folder).mkdir(exist_ok=True)
            Image.fromarray(array).save(root / folder / f"{number}.png")
    return examine_cohort(images_cohort(str(root), "images", "labels", classes))


def test_numbered_objects_are_one_class(tmp_path: Path) -> None:
    examination = numbered_pictures(tmp_path, {"nucleus": "any"})

    assert examination.findings == ()
    assert [facts.classes[1].num_voxels for facts in examination.facts] == [256, 256, 256]


def test_a_picture_with_many_values_is_asked_whether_they_number_objects(tmp_path: Path) -> None:
    findings = numbered_pictures(tmp_path, {"nucleus": 1}).findings

    assert len(findings) == 3
    assert all("if they number objects: data.classes='{NAME: any}'" in finding.message for finding in findings)
