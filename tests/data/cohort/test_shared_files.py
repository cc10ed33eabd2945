"""Cases that share an image, a label map or content: one patient for the split, with a warning that names them."""

import gzip
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_scans import write_series
from scans import write_folder_pair, write_nifti

from aunet.data.cohort.case import Case
from aunet.data.cohort.selection import selected_cohort
from aunet.data.cohort.shared_files import join_sharing_cases
from aunet.data.cohort.splits import SplitSizes, split_cases
from aunet.data.sources.folder import folder_cohort

Act = Callable[[Path], object]


def cases_in(root: Path) -> tuple[Case, ...]:
    return folder_cohort(str(root), "images", "labels", "ct", {"ball": 1, "box": 2}).cases


def file(kind: str, number: int) -> str:
    return f"{kind}/case_{number}.nii.gz"


def linked(kind: str) -> Act:
    def act(root: Path) -> None:
        (root / file(kind, 2)).unlink()
        (root / file(kind, 2)).symlink_to(root / file(kind, 0))

    return act


def copied(kind: str) -> Act:
    return lambda root: shutil.copy(root / file(kind, 0), root / file(kind, 2))


def packed_anew(root: Path) -> None:
    """Write a copy of an image whose bytes differ: gzip stores the time, and packs better or worse."""
    voxels = gzip.decompress((root / file("images", 0)).read_bytes())
    (root / file("images", 2)).write_bytes(gzip.compress(voxels, 1, mtime=7))


def unpacked(root: Path) -> None:
    """Put an unpacked copy of an image in place of another case's."""
    (root / file("images", 2)).unlink()
    (root / "images/case_2.nii").write_bytes(gzip.decompress((root / file("images", 0)).read_bytes()))


def under_another_header(root: Path) -> None:
    """Save the voxels of an image again with another affine, description and extension of the header."""
    image = nibabel.load(root / file("images", 0))
    other = nibabel.Nifti1Image(np.asanyarray(image.dataobj), np.diag([-2.0, 1.0, 3.0, 1.0]))
    other.header["descrip"] = b"a copy"
    other.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"a copy"))
    other.to_filename(root / file("images", 2))


def unpacked_under_another_header(root: Path) -> None:
    under_another_header(root)
    voxels = gzip.decompress((root / file("images", 2)).read_bytes())
    (root / file("images", 2)).unlink()
    (root / "images/case_2.nii").write_bytes(voxels)


def both_unpacked_under_another_header(root: Path) -> None:
    unpacked_under_another_header(root)
    (root / "images/case_0.nii").write_bytes(gzip.decompress((root / file("images", 0)).read_bytes()))
    (root / file("images", 0)).unlink()


_SAME_VOXELS = r"share this image \(equal voxels, another header\)"
SHARING = {
    "equal voxels": (under_another_header, _SAME_VOXELS),
    "equal voxels packed and unpacked": (unpacked_under_another_header, _SAME_VOXELS),
    "equal voxels unpacked": (both_unpacked_under_another_header, _SAME_VOXELS),
    "an image packed and unpacked": (unpacked, r"share this image \(equal content\)"),
    "a copied image that is packed anew": (packed_anew, r"share this image \(equal content\)"),
    "a link to one image": (linked("images"), "share this image"),
    "a link to one label map": (linked("labels"), "share this label map"),
    "a copied image": (copied("images"), r"share this image \(equal content\)"),
    "a copied label map": (copied("labels"), r"share this label map \(equal content\)"),
}


@pytest.mark.parametrize("kind", SHARING)
def test_leaks_through_shared_files_become_one_patient_with_a_warning(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    act, said = SHARING[kind]
    act(write_folder_pair(tmp_path))
    cohort = folder_cohort(str(tmp_path), "images", "labels", "ct", {"ball": 1, "box": 2})
    patients = [case.patient for case in selected_cohort(cohort, None, "stop").cases]
    assert patients[0] == patients[2]
    assert len(set(patients)) == 3
    (record,) = caplog.records
    assert "case_0, case_2" in record.getMessage()
    assert re.search(said, record.getMessage())


@pytest.mark.parametrize("seed", range(5))
def test_leaks_through_shared_files_never_cross_a_split(seed: int, tmp_path: Path) -> None:
    write_folder_pair(tmp_path, 9)
    shutil.copy(tmp_path / file("images", 0), tmp_path / file("images", 4))
    shutil.copy(tmp_path / file("labels", 4), tmp_path / file("labels", 7))
    splits = split_cases(join_sharing_cases(cases_in(tmp_path)), SplitSizes(0.3, 0.3), seed)
    parts = [part for part in splits.as_dict().values() if {"case_0", "case_4", "case_7"} & set(part)]
    assert len(parts) == 1
    assert {"case_0", "case_4", "case_7"} <= set(parts[0])


def test_only_files_of_equal_size_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [Case(name, (tmp_path / f"{name}.nii",), None) for name in "abcd"]
    for case, content in zip(cases, (b"one", b"two", b"three", b"one"), strict=True):
        case.images[0].write_bytes(content)
    read = list[str]()

    def noted(path: Path) -> bytes:
        read.append(path.stem)
        return path.read_bytes()

    monkeypatch.setattr("aunet.data.cohort.shared_files._digest_of_parts", noted)
    assert [case.patient for case in join_sharing_cases(cases)] == ["a", "b", "c", "a"]
    assert read == ["a", "b", "d"]


def test_patients_joined_by_copies_keep_their_own_name_and_those_of_one_file_do_not(tmp_path: Path) -> None:
    write_folder_pair(tmp_path)
    copied("images")(tmp_path)
    shutil.copy(tmp_path / file("labels", 0), tmp_path / file("labels", 2))
    (tmp_path / file("images", 3)).unlink()
    (tmp_path / file("images", 3)).symlink_to(tmp_path / file("images", 1))
    cases = join_sharing_cases(cases_in(tmp_path))
    assert [case.own_patient for case in cases] == ["case_0", "case_1", "case_2", "case_1"]
    assert [case.patient for case in cases] == ["case_0", "case_1", "case_0", "case_1"]


def test_patients_of_a_table_are_joined_whole(tmp_path: Path) -> None:
    write_folder_pair(tmp_path)
    shutil.copy(tmp_path / file("images", 1), tmp_path / file("images", 2))
    patients = dict(zip(range(4), "AABB", strict=True))
    cases = [replace(case, group=patients[number]) for number, case in enumerate(cases_in(tmp_path))]
    assert {case.patient for case in join_sharing_cases(cases)} == {"A"}


def test_cases_that_share_nothing_stay_as_they_are(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cases = cases_in(write_folder_pair(tmp_path))
    assert join_sharing_cases(cases) == cases
    assert not caplog.records


def test_empty_label_maps_and_an_atlas_of_all_cases_do_not_join(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_folder_pair(tmp_path)
    for number in (0, 1):
        write_nifti(tmp_path / file("labels", number), np.zeros((20, 18, 16), np.uint8))
    write_nifti(tmp_path / "atlas.nii.gz", np.ones((20, 18, 16), np.uint8))
    cases = tuple(replace(case, images=(*case.images, tmp_path / "atlas.nii.gz")) for case in cases_in(tmp_path))
    assert join_sharing_cases(cases) == cases
    assert not caplog.records


def test_shared_slices_of_dicom_are_found(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 99, (20, 18, 16)).astype(np.int16)
    write_folder_pair(tmp_path)
    for name in "ab":
        write_series(tmp_path / name, array, np.eye(4))
    cases = [replace(case, images=(tmp_path / name,)) for case, name in zip(cases_in(tmp_path)[:2], "ab", strict=True)]
    assert len({case.patient for case in join_sharing_cases(cases)}) == 1


def test_leaks_through_slices_of_dicom_are_found_whatever_their_names_and_order(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 99, (20, 18, 16)).astype(np.int16)
    write_folder_pair(tmp_path)
    first = write_series(tmp_path / "a", array, np.eye(4))
    write_series(tmp_path / "c", array[::-1], np.eye(4))
    for number, path in enumerate(sorted(first.iterdir())):
        (tmp_path / "b").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "b" / f"{99 - number}.dcm")
    cases = [replace(case, images=(tmp_path / name,)) for case, name in zip(cases_in(tmp_path), "abc", strict=False)]
    assert [case.patient for case in join_sharing_cases(cases)] == ["case_0", "case_0", "case_2"]
