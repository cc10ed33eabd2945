"""Label maps on the lattice of an image: axes in another order, rounding of headers, and slices left out."""

from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.orientations import inv_ornt_aff

from aunet.data.io.grid import Volume, align, check_same_grid, cover_both
from aunet.data.io.volume import read_label, read_volume
from aunet.errors import UserError
from tests.data.geometries import GEOMETRIES

LABEL = np.random.default_rng(0).integers(0, 5, (3, 4, 5)).astype(np.uint8)


def reordered(affine: np.ndarray, order: tuple[int, ...], signs: tuple[int, ...]) -> Volume:
    """Return the label map stored with its axes in another order and direction, by nibabel."""
    orientation = np.array([[axis, sign] for axis, sign in zip(order, signs, strict=True)])
    array = nibabel.orientations.apply_orientation(LABEL, orientation)
    return Volume(np.asarray(array), affine @ inv_ornt_aff(orientation, LABEL.shape))


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_label_in_another_axis_order_is_reordered_without_loss(name: str) -> None:
    affine = GEOMETRIES[name]
    image = Volume(np.zeros(LABEL.shape), affine)
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        label = align(reordered(affine, order, signs), image)
        assert np.array_equal(label.array, LABEL)
        check_same_grid(image, label, "case")


@pytest.mark.parametrize("change", [np.diag([2.0, 1, 1, 1]), np.diag([-1.0, 1, 1, 1])])
def test_a_label_on_another_lattice_is_not_moved(change: np.ndarray) -> None:
    affine = GEOMETRIES["oblique"]
    label = Volume(LABEL, affine @ change)
    aligned = align(label, Volume(np.zeros(LABEL.shape), affine))
    assert aligned.affine is label.affine
    with pytest.raises(UserError, match="mm apart"):
        check_same_grid(Volume(np.zeros(LABEL.shape), affine), aligned, "case")


def test_a_label_that_lacks_a_slice_is_not_extended_unless_it_was_stored_sparsely() -> None:
    affine = GEOMETRIES["anisotropic"]
    image, part = Volume(np.zeros(LABEL.shape), affine), affine.copy()
    part[:3, 3] += affine[:3, :3] @ [1, 0, 2]
    cut = Volume(LABEL[1:, :, 2:], part)
    assert align(cut, image).shape == (2, 4, 3)
    extended = align(Volume(cut.array, part, is_sparse=True), image)
    expected = LABEL.copy()
    expected[:1] = 0
    expected[:, :, :2] = 0
    assert np.array_equal(extended.array, expected)


@pytest.mark.parametrize(("slices", "inside"), [(-2, 3), (9, 0)])
def test_a_sparse_label_that_marks_voxels_outside_the_image_is_refused_with_their_numbers(
    slices: int, inside: int
) -> None:
    affine, moved = GEOMETRIES["anisotropic"], GEOMETRIES["anisotropic"].copy()
    moved[:3, 3] += slices * affine[:3, 2]
    image, label = Volume(np.zeros((1, 1, 5)), affine), Volume(np.ones((1, 1, 5)), moved, is_sparse=True)
    with pytest.raises(UserError, match=f"only {inside} of its 5 marked .* Check that the segmentation belongs"):
        align(label, image)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_only_slice_of_a_tilted_stack_lies_in_it_although_it_does_not_know_the_tilt(sign: int) -> None:
    affine = GEOMETRIES["sheared"]
    alone, image, expected = affine.copy(), Volume(np.zeros(LABEL.shape), affine), np.zeros_like(LABEL)
    expected[:, :, 3] = LABEL[:, :, 3]
    alone[:3, 3] = affine[:3] @ [0, 0, 3, 1]
    alone[:3, 2] = [0, 0, sign * affine[2, 2]]
    assert np.array_equal(align(Volume(LABEL[:, :, 3:4], alone, is_sparse=True), image).array, expected)
    alone[:3, 2] *= 2  # of a series with other slices
    with pytest.raises(UserError, match="one voxel grid"):
        check_same_grid(image, align(Volume(LABEL[:, :, 3:4], alone, is_sparse=True), image), "case")


def turned_about_z(angle: float) -> np.ndarray:
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return affine


@pytest.mark.parametrize("degrees", [0.01, 0.03, 0.05])
def test_float_noise_of_a_qform_is_the_same_grid(degrees: float, tmp_path: Path) -> None:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine = np.array(
        [[-cosine * 0.7, sine * 0.7, 0, 90], [-sine * 0.7, -cosine * 0.7, 0, 100], [0, 0, 3, -40], [0, 0, 0, 1]]
    )
    array = np.zeros((256, 256, 4), np.uint8)
    nibabel.Nifti1Image(array, affine).to_filename(tmp_path / "image.nii.gz")
    label = nibabel.Nifti1Image(array, affine)
    label.set_qform(affine, 1)
    label.set_sform(None, 0)
    label.to_filename(tmp_path / "label.nii.gz")
    image, read = read_volume(tmp_path / "image.nii.gz"), read_label(tmp_path / "label.nii.gz")
    check_same_grid(image, read, "case")
    assert np.array_equal(align(read, image).affine, image.affine)


def test_a_qform_that_turns_the_label_visibly_is_another_grid(tmp_path: Path) -> None:
    turned = np.array(
        [[np.cos(0.02), -np.sin(0.02), 0, 0], [np.sin(0.02), np.cos(0.02), 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )
    label = nibabel.Nifti1Image(np.zeros((64, 64, 4), np.uint8), turned)
    label.set_qform(turned, 1)
    label.set_sform(None, 0)
    label.to_filename(tmp_path / "label.nii.gz")
    read = align(read_label(tmp_path / "label.nii.gz"), Volume(np.zeros((64, 64, 4)), np.eye(4)))
    with pytest.raises(UserError, match="mm apart"):
        check_same_grid(Volume(np.zeros((64, 64, 4)), np.eye(4)), read, "case")


def test_two_sparse_labels_of_different_extent_are_put_on_the_grid_that_holds_both() -> None:
    random = np.random.default_rng(0)
    scan = random.integers(0, 3, (2, 7, 6, 5)) * (random.random((2, 7, 6, 5)) < 0.3)
    whole = np.diag([2.0, 1.0, 3.0, 1.0])
    boxes = (np.s_[1:5, 0:4, 2:5], np.s_[3:7, 2:6, 1:3])
    parts = [np.zeros_like(values) for values in scan]
    for part, values, box in zip(parts, scan, boxes, strict=True):
        part[box] = values[box]
    affines = [whole.copy(), whole.copy()]
    for affine, box in zip(affines, boxes, strict=True):
        affine[:3, 3] = whole[:3, :3] @ [side.start for side in box]
    first, second = (
        Volume(part[box], affine, is_sparse=True) for part, box, affine in zip(parts, boxes, affines, strict=True)
    )
    turned = Volume(
        second.array[::-1].transpose(2, 0, 1),
        second.affine @ np.array([[0, -1, 0, 3], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]),
        is_sparse=True,
    )

    for other in (second, turned):
        covered = cover_both(first, other)
        assert all(np.array_equal(volume.affine, covered[0].affine) for volume in covered)
        for volume, part in zip(covered, parts, strict=True):
            assert np.array_equal(volume.array, part[1:7, 0:6, 1:5])


def test_a_label_that_is_not_sparse_or_of_another_lattice_is_not_extended() -> None:
    one, other = Volume(np.ones((2, 2, 2)), np.eye(4), is_sparse=True), Volume(np.ones((3, 2, 2)), np.eye(4))
    assert cover_both(one, other) == (one, other)
    moved = replace(one, affine=one.affine + np.array([0, 0, 0, 0.4]))
    assert cover_both(one, moved) == (one, moved)
