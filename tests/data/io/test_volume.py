"""NIfTI files in and out, judged by nibabel and by bytes written by hand."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from aunet.data.io.volume import (
    Volume,
    check_same_grid,
    read_channels,
    read_grid,
    read_label,
    read_volume,
    stem,
    write_label,
)
from aunet.errors import UserError

SHEARED = np.array([[0.8, 0, 0.1, -10], [0, -0.8, 0.3, 20], [0, 0, 2.5, 5], [0, 0, 0, 1]])


def oblique_affine() -> NDArray[np.float64]:
    angle = 0.3
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag([-0.7, 0.9, 3.0])
    affine[:3, 3] = [12.5, -30.25, 100]
    return affine


def save(path: Path, array: NDArray, affine: NDArray[np.float64] | None = None) -> Path:
    nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine).to_filename(path)
    return path


@pytest.fixture
def image_file(tmp_path: Path) -> Path:
    return save(tmp_path / "scan.nii.gz", np.arange(60, dtype=np.int16).reshape(3, 4, 5), oblique_affine())


def test_an_image_keeps_its_stored_axis_order_and_affine(image_file: Path) -> None:
    volume = read_volume(image_file)
    assert volume.array.dtype == np.float32
    assert np.array_equal(volume.array, np.arange(60).reshape(3, 4, 5))
    assert np.allclose(volume.affine, oblique_affine(), atol=1e-5)
    assert volume.spacing == pytest.approx((0.7, 0.9, 3.0), abs=1e-6)


def test_the_header_alone_holds_shape_and_affine(image_file: Path) -> None:
    shape, affine = read_grid(image_file)
    assert shape == (3, 4, 5)
    assert np.array_equal(affine, read_volume(image_file).affine)


def test_the_stored_intensity_scale_is_applied(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.array([[[0, 1], [2, 3]]], dtype=np.int16), np.eye(4))
    image.header.set_slope_inter(2.0, -1024.0)
    image.to_filename(tmp_path / "scaled.nii")
    stored = nibabel.load(tmp_path / "scaled.nii").dataobj.get_unscaled()
    assert np.array_equal(read_volume(tmp_path / "scaled.nii").array, 2.0 * stored - 1024.0)


def test_a_trailing_axis_of_length_one_is_dropped(tmp_path: Path) -> None:
    assert read_volume(save(tmp_path / "a.nii", np.zeros((3, 4, 5, 1), np.float32))).shape == (3, 4, 5)


def test_the_channels_of_a_4d_file_come_apart(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(3, 4, 5, 2)).astype(np.float32)
    first, second = read_channels(save(tmp_path / "a.nii.gz", array))
    assert np.array_equal(first.array, array[..., 0])
    assert np.array_equal(second.array, array[..., 1])


def test_a_big_endian_label_map_is_read_in_native_byte_order(tmp_path: Path) -> None:
    label = np.arange(24).reshape(2, 3, 4)
    path = tmp_path / "big.nii.gz"
    nibabel.Nifti1Image(label.astype(">i2"), np.eye(4), nibabel.Nifti1Header(endianness=">")).to_filename(path)
    read = read_label(path).array
    assert np.array_equal(read, label)
    assert read.dtype.isnative


def test_a_label_map_stored_as_float_becomes_integer(tmp_path: Path) -> None:
    label = read_label(save(tmp_path / "label.nii.gz", np.full((2, 2, 2), 7.0, np.float32)))
    assert np.issubdtype(label.array.dtype, np.integer)
    assert (label.array == 7).all()


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf, 1e12])
def test_a_label_map_with_a_value_that_is_not_a_class_is_refused(tmp_path: Path, value: float) -> None:
    array = np.zeros((2, 2, 2))
    array[1, 0, 1] = value
    with pytest.raises(UserError, match=r"label\.nii\.gz.*whole numbers"):
        read_label(save(tmp_path / "label.nii.gz", array))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.nii\.gz: no such file"):
        read_volume(tmp_path / "nothing.nii.gz")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.95])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_truncated_file_is_named(tmp_path: Path, share: float, suffix: str) -> None:
    whole = save(tmp_path / f"whole{suffix}", np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32))
    content = whole.read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=f"cut{suffix}.*(truncated|an empty file)"):
        read_volume(cut)


@pytest.mark.parametrize("content", [b"this is no image at all" * 50, gzip.compress(b"nor is this" * 100, mtime=0)])
def test_a_file_that_only_has_the_name_of_nifti_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fake.nii.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="it is plain text, which is not read here"):
        read_volume(path)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 6, 2), (2, 2, 2, 1, 3)])
def test_an_image_without_exactly_three_axes_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="three axes"):
        read_volume(save(tmp_path / "a.nii.gz", np.zeros(shape, np.float32)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_with_a_nan_voxel_is_refused(tmp_path: Path, value: float) -> None:
    array = np.zeros((3, 3, 3), np.float32)
    array[1, 1, 1] = value
    with pytest.raises(UserError, match=r"a\.nii\.gz.*NaN or infinite"):
        read_volume(save(tmp_path / "a.nii.gz", array))


@pytest.mark.parametrize("entry", [0.0, np.nan])
def test_an_affine_without_inverse_is_refused(tmp_path: Path, entry: float) -> None:
    path = save(tmp_path / "a.nii", np.zeros((3, 3, 3), np.float32))
    content = bytearray(path.read_bytes())
    content[280:296] = np.array([entry, 0, 0, 0], "<f4").tobytes()  # srow_x, the first row of the sform
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.nii: its affine"):
        read_volume(path)


def test_an_orientation_that_is_a_guess_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = nibabel.Nifti1Image(np.zeros((3, 3, 3), np.float32), None)
    image.to_filename(tmp_path / "unplaced.nii")
    read_volume(tmp_path / "unplaced.nii")
    assert "unplaced.nii: neither sform nor qform" in caplog.text


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_written_label_map_is_read_back_with_its_affine(tmp_path: Path, suffix: str) -> None:
    label = np.random.default_rng(0).integers(0, 4, (5, 6, 7)).astype(np.uint8)
    write_label(tmp_path / f"label{suffix}", label, oblique_affine())
    volume = read_label(tmp_path / f"label{suffix}")
    assert volume.array.dtype == np.uint8
    assert np.array_equal(volume.array, label)
    assert np.allclose(volume.affine, oblique_affine(), atol=1e-5)


def test_both_transforms_of_a_written_label_map_agree(tmp_path: Path) -> None:
    write_label(tmp_path / "label.nii.gz", np.zeros((2, 3, 4), np.uint8), oblique_affine())
    image = nibabel.load(tmp_path / "label.nii.gz")
    assert image.header["sform_code"] > 0
    assert image.header["qform_code"] > 0
    assert np.allclose(image.get_sform(), image.get_qform(), atol=1e-4)
    assert image.header.get_xyzt_units()[0] == "mm"


def test_a_sheared_label_map_leaves_the_qform_unset_as_it_cannot_hold_shear(tmp_path: Path) -> None:
    write_label(tmp_path / "label.nii.gz", np.zeros((2, 3, 4), np.uint8), SHEARED)
    image = nibabel.load(tmp_path / "label.nii.gz")
    assert image.header["qform_code"] == 0
    assert np.allclose(image.affine, SHEARED, atol=1e-6)


def test_equal_label_maps_give_equal_files(tmp_path: Path) -> None:
    label = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    for name in ("a.nii.gz", "b.nii.gz"):
        write_label(tmp_path / name, label, np.eye(4))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_a_label_map_needs_the_name_of_a_format_that_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"label\.npy.*\.nii\.gz, \.nrrd, \.mha, \.nii"):
        write_label(tmp_path / "label.npy", np.zeros((2, 2, 2), np.uint8), np.eye(4))


@pytest.mark.parametrize(
    ("name", "expected"), [("scan.nii.gz", "scan"), ("scan.v2.nii", "scan.v2"), ("liver.CT.nii.gz", "liver.CT")]
)
def test_the_stem_is_the_name_without_nifti_suffix(name: str, expected: str) -> None:
    assert stem(Path("folder") / name) == expected


def test_grids_equal_up_to_rounding_are_one() -> None:
    affine = oblique_affine()
    image, label = Volume(np.zeros((300, 300, 60)), affine), Volume(np.zeros((300, 300, 60)), affine.round(5))
    check_same_grid(image, label, "case")


@pytest.mark.parametrize("shift", [0.05, -3.0])
def test_a_label_map_that_lies_elsewhere_is_refused_with_its_distance(shift: float) -> None:
    moved = oblique_affine()
    moved[1, 3] += shift
    image = Volume(np.zeros((5, 6, 7)), oblique_affine(), Path("image.nii.gz"))
    label = Volume(np.zeros((5, 6, 7)), moved, Path("label.nii.gz"))
    with pytest.raises(UserError, match=rf"case liver_3: image\.nii\.gz and label\.nii\.gz .* {abs(shift):.3g} mm"):
        check_same_grid(image, label, "liver_3")


def test_a_label_map_of_another_shape_is_refused() -> None:
    with pytest.raises(UserError, match=r"\(2, 3, 4\).*\(2, 3, 5\)"):
        check_same_grid(Volume(np.zeros((2, 3, 4)), np.eye(4)), Volume(np.zeros((2, 3, 5)), np.eye(4)), "case")
