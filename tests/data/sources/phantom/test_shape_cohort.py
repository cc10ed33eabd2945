"""Scans rendered on real organ shapes: here balls for organs, and where the project's data are, experts' outlines."""

import itertools
from pathlib import Path

import nibabel
import numpy as np
import pytest
from label_maps import BALLS, ORGANS, label_at, write_label_map
from scans import write_nifti
from scipy import ndimage

from aunet.commands.main import main
from aunet.data.cohort.case import Case
from aunet.data.sources.ct150 import ct150_cohort
from aunet.data.sources.phantom.shape_cohort import draw_on_shapes, shaped_cases
from aunet.errors import UserError

COARSE = (8.0, 8.0, 8.0)
CLASS_OF_VALUE = np.array([0, 2, 1, 3, 0, 0, 0, 0, 0])
MAPS_OF_PROJECT = {value: name for value, (name, _, _) in BALLS.items()}


def cases_of(folder: Path, anatomy: Path, **changes: object) -> tuple[Case, ...]:
    settings = {"organs": ORGANS, "spacing": COARSE, "seed": 0, "is_other_ignored": False, "processes": 1} | changes
    return shaped_cases(folder, str(anatomy), **settings)


def array_of(path: Path | None) -> np.ndarray:
    assert path is not None
    return np.asarray(nibabel.load(path).dataobj)


def share_in_agreement(label: np.ndarray, affine: np.ndarray, source: Path, spacing: float) -> tuple[float, float]:
    """Share of voxels labelled as ``source``: of those where the source has one class, and of those on an organ."""
    centers = nibabel.affines.apply_affine(affine, np.argwhere(np.ones(label.shape, bool)).astype(float))
    offsets = np.array(list(itertools.product((-spacing / 4, 0, spacing / 4), repeat=3)))
    around = np.stack([CLASS_OF_VALUE[label_at(source, centers + offset)] for offset in offsets])
    is_pure = (around == around[0]).all(axis=0)
    is_organ = (around > 0).any(axis=0)
    agrees = label.ravel() == around[len(offsets) // 2]
    return float(agrees[is_pure].mean()), float(agrees[is_organ].mean())


@pytest.mark.parametrize("orientation", ["LAI", "RAS", "SPL"])
def test_the_label_is_the_sources_at_the_same_points_in_the_patient(tmp_path: Path, orientation: str) -> None:
    source = write_label_map(tmp_path / "a.nii.gz", orientation)
    phantom = draw_on_shapes(source, MAPS_OF_PROJECT, False, COARSE, (0, 0))
    in_pure, in_organs = share_in_agreement(phantom.label, phantom.affine, source, COARSE[0])
    assert in_pure == 1.0
    assert in_organs > 0.6
    assert phantom.remark == ""
    for index, value in ((1, 2), (2, 1), (3, 3)):
        volume = (phantom.label == index).sum() * 8**3
        assert volume == pytest.approx(4 / 3 * np.pi * BALLS[value][2] ** 3, rel=0.12)


def test_only_the_planes_of_the_label_map_are_rendered(tmp_path: Path) -> None:
    phantom = draw_on_shapes(write_label_map(tmp_path / "a.nii.gz"), MAPS_OF_PROJECT, False, COARSE, (0, 0))
    lowest, highest = 300 - 70 - 3, 300 - 70 + 33 * 6 + 3
    bottom = phantom.affine[2, 3] - 4
    assert lowest <= bottom < lowest + 8
    assert highest - 8 < bottom + 8 * phantom.label.shape[2] <= highest


def test_a_map_whose_header_has_the_feet_above_is_turned_and_reported(tmp_path: Path) -> None:
    upright, upside_down = (
        draw_on_shapes(
            write_label_map(tmp_path / f"{turned}.nii.gz", is_upside_down=turned),
            MAPS_OF_PROJECT,
            False,
            COARSE,
            (0, 0),
        )
        for turned in (False, True)
    )
    assert "head and feet are exchanged" in upside_down.remark
    np.testing.assert_array_equal(upside_down.label, upright.label)
    np.testing.assert_allclose(upside_down.affine, upright.affine, atol=1e-9)


def test_organs_have_the_attenuation_of_soft_tissue_and_lie_within_the_body(tmp_path: Path) -> None:
    phantom = draw_on_shapes(write_label_map(tmp_path / "a.nii.gz"), MAPS_OF_PROJECT, False, COARSE, (0, 0))
    assert phantom.image.min() < -950
    for index in (1, 2, 3):
        assert 15 < np.median(phantom.image[phantom.label == index]) < 260
    outside, _ = ndimage.label(phantom.image < -500)
    is_air = ndimage.binary_dilation(outside == outside[0, -1, 0])
    assert not (phantom.label[is_air] > 0).any()


def test_files_are_made_once_and_anew_for_other_content(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_label_map(tmp_path / "maps" / "a.nii.gz", is_upside_down=True)
    (first,) = cases_of(tmp_path / "cache", tmp_path / "maps")
    assert first.case_id == "phantom_of_a"
    assert "turned" in caplog.text
    before = first.images[0].stat().st_mtime_ns
    write_label_map(tmp_path / "maps" / "b.nii.gz", shift=(0, 0, 0))
    again, other = cases_of(tmp_path / "cache", tmp_path / "maps")
    assert again == first
    assert first.images[0].stat().st_mtime_ns == before
    assert array_of(other.images[0]).dtype == np.int16
    assert set(np.unique(array_of(other.label))) == {0, 1, 2, 3}
    write_label_map(tmp_path / "maps" / "a.nii.gz")
    changed, _ = cases_of(tmp_path / "cache", tmp_path / "maps")
    assert changed.images != first.images


def test_the_cohort_says_everywhere_that_it_is_synthetic(tmp_path: Path) -> None:
    write_label_map(tmp_path / "maps" / "a.nii.gz")
    cohort = ct150_cohort(None, str(tmp_path / "cache"), 1, COARSE, 0, str(tmp_path / "maps"), ORGANS)
    assert cohort.is_phantom
    assert cohort.description.startswith(
        f"PHANTOM: synthetic CT rendered on real organ shapes from {tmp_path / 'maps'}: 1 volumes"
    )
    assert cohort.labels.names == ("background", "pancreas", "spleen", "kidney")


def test_scans_and_shapes_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.root=.* and data\.phantom\.anatomy=.*leave one"):
        ct150_cohort(str(tmp_path), "", 1, COARSE, 0, str(tmp_path), ORGANS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"organs": {"splen": 1}}, r"no organ 'splen'\. Did you mean spleen\?"),
        ({"organs": {"spleen": 1, "liver": [1, 2]}}, "liver: value 1 is spleen already"),
        ({"organs": {"spleen": 0}}, "value 0 is background"),
        ({"organs": {"spleen": 1}}, r"a\.nii\.gz: has values \[2, 3, 4, 5, 6, 7, 8\]"),
        ({"organs": {"spleen": 99}, "is_other_ignored": True}, "has none of the values"),
        ({"spacing": (0.5, 4.0, 4.0)}, "spacing of the phantoms"),
    ],
)
def test_settings_that_do_not_fit_the_maps_are_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    write_label_map(tmp_path / "maps" / "a.nii.gz")
    with pytest.raises(UserError, match=message):
        cases_of(tmp_path / "cache", tmp_path / "maps", **changes)


def test_a_folder_without_label_maps_and_an_image_in_their_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.phantom\.anatomy=.*no such folder"):
        cases_of(tmp_path, tmp_path / "none")
    (tmp_path / "maps").mkdir()
    with pytest.raises(UserError, match="holds no label map"):
        cases_of(tmp_path, tmp_path / "maps")
    write_nifti(tmp_path / "maps" / "ct.nii.gz", np.full((4, 4, 4), -1000, np.int16))
    with pytest.raises(UserError, match="holds values from -1000"):
        cases_of(tmp_path, tmp_path / "maps")


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "is_turned"), [("11", False), ("55", True)])
def test_experts_outlines_are_rendered_where_they_lie(shared_data: Path, name: str, is_turned: bool) -> None:
    """Case 55 is one of nine whose headers have head and feet exchanged: the liver would hang below the kidney."""
    source = shared_data / "multiorgan" / "labels" / f"{name}.nii.gz"
    phantom = draw_on_shapes(source, MAPS_OF_PROJECT, False, (4.0, 4.0, 4.0), (0, 0))
    assert bool(phantom.remark) == is_turned
    affine = phantom.affine.copy()
    if is_turned:
        image = nibabel.load(source)
        heights = nibabel.affines.apply_affine(image.affine, [[0, 0, 0], [0, 0, image.shape[2] - 1]])[:, 2]
        affine[2, 2], affine[2, 3] = -affine[2, 2], heights.sum() - affine[2, 3]
    in_pure, in_organs = share_in_agreement(phantom.label, affine, source, 4.0)
    assert in_pure > 0.999
    assert in_organs > 0.75


@pytest.mark.realdata
def test_experts_outlines_train_an_epoch(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    for name in ("11", "55", "74"):
        (tmp_path / "maps" / f"{name}.nii.gz").symlink_to(shared_data / "multiorgan" / "labels" / f"{name}.nii.gz")
    words = f"""train data=ct150 data.phantom.anatomy={tmp_path / "maps"} data.phantom.spacing=[8,8,8] trainer=smoke
        trainer.max_epochs=1 data.phantom.patch_size=[32,32,16] data.cache={tmp_path / "cache"} logger=csv
        model.network.channels=[4,8,8,8,8] hydra.run.dir={tmp_path / "run"}"""
    assert main(words.split()) == 0
    report = (tmp_path / "run" / "report.html").read_text()
    assert "synthetic CT rendered on real organ shapes" in report
