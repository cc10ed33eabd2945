"""Phantoms on disk."""

import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from aunet.data.phantom.cohort import draw_phantom, phantom_cases
from aunet.errors import UserError

COARSE = (8.0, 8.0, 8.0)


def read(path: Path | None) -> np.ndarray:
    assert path is not None
    return np.asarray(nib.load(path).dataobj)


def test_files_hold_hounsfield_units_labels_and_the_spacing(tmp_path: Path) -> None:
    (case,) = phantom_cases(tmp_path, 1, (8.0, 8.0, 16.0), seed=0, processes=1)
    assert case.label is not None
    image, label = nib.load(case.images[0]), nib.load(case.label)
    assert (image.get_data_dtype(), label.get_data_dtype()) == (np.int16, np.uint8)
    assert image.shape == label.shape == (48, 40, 16)
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    np.testing.assert_allclose(image.header.get_zooms(), (8, 8, 16))
    np.testing.assert_array_equal(image.affine, label.affine)
    np.testing.assert_array_equal(np.unique(label.dataobj), (0, 1, 2, 3))


def test_the_number_of_processes_and_of_cases_changes_no_case(tmp_path: Path) -> None:
    alone = phantom_cases(tmp_path / "alone", 2, COARSE, seed=5, processes=1)
    together = phantom_cases(tmp_path / "together", 3, COARSE, seed=5, processes=2)
    for one, other in zip(alone, together, strict=False):
        np.testing.assert_array_equal(read(one.images[0]), read(other.images[0]))
        np.testing.assert_array_equal(read(one.label), read(other.label))


def test_files_hold_what_is_drawn(tmp_path: Path) -> None:
    (case,) = phantom_cases(tmp_path, 1, COARSE, seed=9, processes=1)
    phantom = draw_phantom(9, 0, COARSE)
    np.testing.assert_array_equal(read(case.images[0]), phantom.image)
    np.testing.assert_array_equal(read(case.label), phantom.label)
    np.testing.assert_array_equal(nib.load(case.images[0]).affine, phantom.affine)


def test_another_seed_and_another_index_give_other_patients() -> None:
    first, index, seed = (draw_phantom(*which, COARSE).label for which in ((0, 0), (0, 1), (1, 0)))
    assert (first != index).any()
    assert (first != seed).any()
    assert (index != seed).any()


def test_a_second_call_makes_only_what_is_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    cases = phantom_cases(tmp_path, 2, COARSE, seed=0, processes=1)
    assert cases[1].label is not None
    cases[1].label.unlink()
    before = cases[0].images[0].stat().st_mtime_ns
    assert phantom_cases(tmp_path, 2, COARSE, seed=0, processes=1) == cases
    assert cases[0].images[0].stat().st_mtime_ns == before
    assert cases[1].label.is_file()
    caplog.clear()
    phantom_cases(tmp_path, 2, COARSE, seed=0)
    assert not caplog.messages


def test_settings_do_not_share_files(tmp_path: Path) -> None:
    first = phantom_cases(tmp_path, 1, COARSE, seed=0, processes=1)
    for spacing, seed in ((COARSE, 1), ((8.0, 8.0, 16.0), 0)):
        assert phantom_cases(tmp_path, 1, spacing, seed, processes=1)[0].images != first[0].images


@pytest.mark.parametrize(("number", "spacing"), [(0, COARSE), (1, (0.5, 4.0, 4.0)), (1, (4.0, 4.0, float("nan")))])
def test_impossible_settings_are_the_users_mistake(
    tmp_path: Path, number: int, spacing: tuple[float, float, float]
) -> None:
    with pytest.raises(UserError, match="phantoms: "):
        phantom_cases(tmp_path, number, spacing, seed=0)


def test_the_patient_is_the_same_at_every_spacing() -> None:
    coarse, fine = (draw_phantom(2, 0, (step, step, step)) for step in (8.0, 4.0))
    for index in (2, 3):
        volumes = [(phantom.label == index).sum() * step**3 for phantom, step in ((coarse, 8), (fine, 4))]
        assert volumes[0] == pytest.approx(volumes[1], rel=0.1)
