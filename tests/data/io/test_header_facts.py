"""NIfTI headers whose facts are odd or contradict each other: what is used, and what is said of it."""

import gzip
import re
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from aunet.data.io.volume import read_channels, read_grid, read_label, read_volume, write_label
from aunet.errors import UserError

ARRAY = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
AFFINE = np.diag([-1.5, -1.5, 3.0, 1.0])


def save(path: Path, affine: np.ndarray = AFFINE, unit: str = "mm", **fields: Any) -> Path:
    """Write a file with both transforms; fields of its header are then overwritten, ``pixdim__1`` for one element."""
    image = nibabel.Nifti1Image(ARRAY, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units(unit)
    content = image.to_bytes()
    header: Any = nibabel.Nifti1Header(content[:348], check=False)
    for field, value in fields.items():
        name, _, index = field.partition("__")
        if index:
            header[name][int(index)] = value
        else:
            header[name] = value
    path.write_bytes(header.binaryblock + content[348:])
    return path


def in_unit(factor: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[:3] *= factor
    return affine


@pytest.mark.parametrize(("unit", "factor"), [("micron", 1000.0), ("meter", 0.001), ("mm", 1.0), ("unknown", 1.0)])
def test_header_facts_the_unit_of_length_is_applied(
    unit: str, factor: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    volume = read_volume(save(tmp_path / "a.nii", in_unit(factor), unit))
    assert np.allclose(volume.affine, AFFINE, rtol=1e-6)
    assert np.allclose(read_grid(tmp_path / "a.nii")[1], AFFINE, rtol=1e-6)
    assert ("xyzt_units" in caplog.text) == (factor != 1.0)


def test_header_facts_voxels_of_a_microscope_are_not_taken_for_none(tmp_path: Path) -> None:
    fine = np.diag([0.25, 0.25, 0.5, 1.0])
    assert read_volume(save(tmp_path / "a.nii", fine, "micron")).spacing == pytest.approx((2.5e-4, 2.5e-4, 5e-4))


def test_header_facts_a_unit_that_makes_voxels_of_a_kilometre_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"1500 × 1500 × 3000 mm wide.*metres.*xyzt_units.*millimetres\?"):
        read_volume(save(tmp_path / "a.nii", AFFINE, "meter"))


def test_header_facts_a_label_map_is_written_in_mm(tmp_path: Path) -> None:
    volume = read_volume(save(tmp_path / "a.nii", in_unit(1000), "micron"))
    write_label(tmp_path / "label.nii.gz", np.zeros(volume.shape, np.uint8), volume.affine)
    written: Any = nibabel.load(tmp_path / "label.nii.gz")
    assert written.header.get_xyzt_units()[0] == "mm"
    assert np.allclose(written.affine, AFFINE)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"qoffset_x": 99.0}, r"sform and qform.*the sform is used, with voxels of 1\.5 × 1\.5 × 3 mm"),
        ({"quatern_b": 0.7, "quatern_c": 0.0, "quatern_d": 0.1}, r"sform and qform.*the sform is used"),
        ({"pixdim__1": 0.8, "qform_code": 0}, r"1\.5 × 1\.5 × 3 mm wide by its sform and 0\.8 × 1\.5 × 3 by pixdim"),
        ({"pixdim__3": 5.0}, "sform and qform.*pixdim: 1.5 × 1.5 × 5"),
        ({"pixdim__2": float("nan")}, r"1\.5 × 1\.5 × 3 mm wide by its sform and 1\.5 × nan × 3 by pixdim"),
        ({"srow_x": 0.0}, "sform has no inverse; the qform is used"),
        ({"sform_code": 0, "qform_code": 0}, "neither sform nor qform is set"),
    ],
)
def test_header_facts_that_contradict_each_other_cost_one_warning_with_what_is_used(
    fields: dict[str, Any], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    volume = read_volume(save(tmp_path / "a.nii", **fields))
    assert volume.spacing == pytest.approx((1.5, 1.5, 3.0), rel=1e-5)
    (record,) = caplog.records
    assert re.search(said, record.getMessage()), record.getMessage()


def test_header_facts_that_agree_up_to_rounding_are_not_mentioned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read_volume(save(tmp_path / "a.nii", pixdim__1=1.503))
    assert not caplog.records


@pytest.mark.parametrize("offset", [0, 100, 348])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_voxels_that_begin_inside_the_header_are_read_from_behind_it(
    offset: int, suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = save(tmp_path / "a.nii", vox_offset=offset)
    if suffix == ".nii.gz":
        path = tmp_path / "a.nii.gz"
        path.write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes()))
    assert np.array_equal(read_volume(path).array, ARRAY)
    assert f"begin at byte {offset} (vox_offset), inside the header; they are read from byte 352 on" in caplog.text


@pytest.mark.parametrize("offset", [-1, 0, 352, 543])
def test_voxels_that_begin_inside_the_longer_header_of_nifti_2_are_read_from_behind_it(
    offset: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = nibabel.Nifti2Image(ARRAY, AFFINE).to_bytes()
    header = nibabel.Nifti2Header(content[:540], check=False)
    header["vox_offset"] = offset
    (tmp_path / "a.nii").write_bytes(header.binaryblock + content[540:])
    assert np.array_equal(read_volume(tmp_path / "a.nii").array, ARRAY)
    assert f"begin at byte {offset} (vox_offset), inside the header; they are read from byte 544 on" in caplog.text


@pytest.mark.parametrize("num_axes", [1, 2])
def test_a_file_of_fewer_than_three_axes_is_refused_for_its_axes(num_axes: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.nii.*(axes|three)"):
        read_volume(save(tmp_path / "a.nii", dim__0=num_axes))


def test_voxels_that_begin_inside_a_header_with_an_extension_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", vox_offset=0)
    content = bytearray(path.read_bytes())
    content[348] = 1
    path.write_bytes(bytes(content) + bytes(16))
    with pytest.raises(UserError, match=r"a\.nii.*vox_offset.*extension.*Convert"):
        read_volume(path)


def test_voxels_of_a_pair_begin_at_the_first_byte_of_their_own_file(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(ARRAY, AFFINE), tmp_path / "a.hdr")
    assert np.array_equal(read_volume(tmp_path / "a.hdr").array, ARRAY)
    content = bytearray((tmp_path / "a.hdr").read_bytes())
    content[108:112] = np.float32(352).tobytes()
    (tmp_path / "a.hdr").write_bytes(content)
    with pytest.raises(UserError, match=r"begin at byte 352 \(vox_offset\).*they begin at byte 0; convert"):
        read_volume(tmp_path / "a.hdr")


@pytest.mark.parametrize("excess", [2e-7, 1e-5, 5e-4])
def test_float_noise_that_makes_a_quaternion_longer_than_1_is_clamped(excess: float, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", sform_code=0, quatern_b=0, quatern_c=0, quatern_d=1 + excess)
    assert np.allclose(read_volume(path).affine, AFFINE, atol=1e-5)


def test_a_quaternion_far_from_a_rotation_stays_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a readable NIfTI"):
        read_volume(save(tmp_path / "a.nii", sform_code=0, quatern_b=0.9, quatern_c=0.9, quatern_d=0.9))


@pytest.mark.parametrize("noise", [1.5e-5, -2e-9, 9e-4])
def test_float_noise_on_labels_is_rounded(noise: float, tmp_path: Path) -> None:
    label = np.array([[[0, 1, 2, 3]]], np.float64)
    nibabel.Nifti1Image(label * (1 + noise), AFFINE).to_filename(tmp_path / "a.nii.gz")
    if abs(noise) * 3 <= 1e-3:
        assert read_label(tmp_path / "a.nii.gz").array.tolist() == [[[0, 1, 2, 3]]]
    else:
        with pytest.raises(UserError, match="whole numbers"):
            read_label(tmp_path / "a.nii.gz")


def test_float_noise_of_labels_stored_through_a_scaled_int16_is_rounded(tmp_path: Path) -> None:
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    label = np.random.default_rng(0).integers(0, 4, (5, 6, 7)).astype(float)
    nibabel.Nifti1Image(label, AFFINE, header).to_filename(tmp_path / "a.nii.gz")
    assert np.array_equal(read_label(tmp_path / "a.nii.gz").array, label)


def test_voxels_that_begin_inside_an_extension_are_read_from_behind_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    array = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "plain.nii")
    raw = (tmp_path / "plain.nii").read_bytes()
    extension = b"\1\0\0\0" + (48).to_bytes(4, "little") + (6).to_bytes(4, "little") + b"x" * 40
    (tmp_path / "scan.nii").write_bytes(raw[:348] + extension + raw[352:])
    assert np.array_equal(read_volume(tmp_path / "scan.nii").array, array)
    assert "inside an extension of the header; they are read from byte 400 on" in caplog.text


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("extra", [1, 352, 4096])
def test_bytes_behind_the_voxels_are_reported(
    extra: int, suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nibabel.save(nibabel.Nifti1Image(np.ones((3, 4, 5), np.int16), np.eye(4)), tmp_path / "plain.nii")
    raw = (tmp_path / "plain.nii").read_bytes() + bytes(extra)
    path = tmp_path / f"scan{suffix}"
    path.write_bytes(gzip.compress(raw) if suffix.endswith("gz") else raw)
    read_volume(path)
    assert f"its voxels end at byte 472 by its header, and the file at byte {472 + extra:,}" in caplog.text


def test_channels_that_itk_stores_behind_a_time_axis_are_read(tmp_path: Path) -> None:
    array = np.arange(120, dtype=np.int16).reshape(3, 4, 5, 1, 2)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "scan.nii.gz")
    first, second = read_channels(tmp_path / "scan.nii.gz")
    assert np.array_equal(np.stack([first.array, second.array], -1), array[:, :, :, 0])


def test_voxels_that_are_said_to_begin_too_late_are_refused_with_where_they_may_begin(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", vox_offset=368)
    with pytest.raises(UserError, match=r"begin at byte 368 \(vox_offset\).*they begin at byte 352; convert"):
        read_volume(path)
