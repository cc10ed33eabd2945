"""Phantoms on disk."""

import logging
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from aunet.data.sources.phantom import cohort
from aunet.data.sources.phantom.cohort import draw_phantom, phantom_cases
from aunet.data.sources.phantom.drawn_files import Phantom, num_processes
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


@pytest.mark.slow
def test_the_number_of_processes_and_of_cases_changes_no_byte_of_a_case(tmp_path: Path) -> None:
    alone = phantom_cases(tmp_path / "alone", 2, COARSE, seed=5, processes=1)
    together = phantom_cases(tmp_path / "together", 3, COARSE, seed=5, processes=2)
    for one, other in zip(alone, together, strict=False):
        for first, second in zip(one.files, other.files, strict=True):
            assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("seed", "index", "spacing", "label", "image"),
    [
        (0, 0, COARSE, 3872386303, -24374984),
        (5, 3, COARSE, 742362786, -30270053),
        (1, 2, (8.0, 8.0, 16.0), 2002338388, -10140368),
    ],
)
def test_phantoms_are_those_that_this_version_has_always_drawn(
    seed: int, index: int, spacing: tuple[float, float, float], label: int, image: int
) -> None:
    """Runs that trained on them resume: if this fails on purpose, raise ``GENERATOR_VERSION``.

    The sum of the image leaves room for the last bit of exp and pow, which differ between processors.
    """
    phantom = draw_phantom(seed, index, spacing)
    assert zlib.crc32(phantom.label.tobytes()) == label
    assert phantom.image.sum(dtype=np.int64) == pytest.approx(image, abs=phantom.image.size / 100)


def test_two_programs_at_once_draw_each_phantom_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def draw(seed: int, index: int, spacing: tuple[float, float, float]) -> Phantom:
        drawn.append(index)
        return draw_phantom(seed, index, spacing)

    monkeypatch.setattr(cohort, "draw_phantom", draw)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: phantom_cases(tmp_path, 3, COARSE, seed=0, processes=1), range(2)))
    assert both[0] == both[1]
    assert sorted(drawn) == [0, 1, 2]


def test_after_an_interruption_only_what_is_missing_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = phantom_cases(tmp_path / "whole", 3, COARSE, seed=0, processes=1)

    def draw(seed: int, index: int, spacing: tuple[float, float, float]) -> Phantom:
        if index == 1:
            raise KeyboardInterrupt
        return draw_phantom(seed, index, spacing)

    monkeypatch.setattr(cohort, "draw_phantom", draw)
    with pytest.raises(KeyboardInterrupt):
        phantom_cases(tmp_path / "cut", 3, COARSE, seed=0, processes=1)
    monkeypatch.undo()
    assert len(list((tmp_path / "cut").rglob("*.nii.gz"))) == 2
    resumed = phantom_cases(tmp_path / "cut", 3, COARSE, seed=0, processes=1)
    for one, other in zip(expected, resumed, strict=True):
        assert [path.read_bytes() for path in one.files] == [path.read_bytes() for path in other.files]


def test_no_more_processes_draw_than_half_of_the_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A phantom of 1 mm has 252 million fine voxels of 40 bytes."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    memory = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 64 * 10**9 // 4096}
    monkeypatch.setattr(os, "sysconf", memory.__getitem__)
    assert num_processes((1.0, 1.0, 1.0)) == 3
    assert num_processes((5.0, 5.0, 5.0)) == 64


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


@pytest.mark.slow
def test_organs_have_the_same_volume_at_five_and_at_four_millimetres() -> None:
    """Sums of three patients; the smallest pancreas of the default forty has 358 voxels of 5 mm."""
    volumes = np.zeros((2, 4))
    for row, step in enumerate((5.0, 4.0)):
        for index in range(3):
            label = draw_phantom(0, index, (step, step, step)).label
            volumes[row] += np.bincount(label.ravel(), minlength=4) * step**3
    np.testing.assert_allclose(volumes[0, 1:], volumes[1, 1:], rtol=0.03)
