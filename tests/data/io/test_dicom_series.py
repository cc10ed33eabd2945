"""Folders of DICOM as scans, judged by the array and affine they were written from, and by their twins in NIfTI."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from dicom_scans import SERIES, Edit, write_enhanced, write_segmentation, write_series
from numpy.typing import NDArray
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.uid import JPEG2000Lossless, RLELossless

from aunet.data.cohort.case import Case
from aunet.data.cohort.content_digest import ContentDigests
from aunet.data.io.volume import Volume, read_channels, read_grid, read_label, read_volume
from aunet.data.preprocessing.steps import Preprocessing
from aunet.errors import UserError
from aunet.inference.native_space import restore_label_map
from tests.data.geometries import GEOMETRIES

AXIAL = GEOMETRIES["rows from posterior to anterior"]


def values(shape: tuple[int, int, int] = (6, 5, 8)) -> NDArray[np.int16]:
    return np.random.default_rng(0).integers(-1000, 1500, shape).astype(np.int16)


def canonical(volume: Volume) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Array and affine with the axes in the order right, anterior, superior, by nibabel."""
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(np.asarray(volume.array, np.float32), volume.affine))
    return np.asarray(image.dataobj), image.affine


def set_to(**elements: object) -> Edit:
    """Return an edit of the fourth slice alone."""

    def edit(header: Dataset, index: int) -> None:
        for name, value in elements.items() if index == 3 else ():
            setattr(header, name, value)

    return edit


def shifted(millimetres: Callable[[int], float], axis: int = 2) -> Edit:
    """Return an edit that moves each slice of an index along an axis of the patient."""

    def edit(header: Dataset, index: int) -> None:
        position = [float(number) for number in header.ImagePositionPatient]
        position[axis] += millimetres(index)
        header.ImagePositionPatient = position

    return edit


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_series_is_the_volume_it_was_written_from_wherever_it_lies(name: str, tmp_path: Path) -> None:
    affine = GEOMETRIES[name]
    volume = read_volume(write_series(tmp_path, values(), affine))
    array, placed = canonical(volume)
    expected, expected_affine = canonical(Volume(values(), affine))
    assert volume.array.dtype == np.float32
    assert np.array_equal(array, expected)
    np.testing.assert_allclose(placed, expected_affine, atol=1e-5)


def test_an_axial_series_is_stored_from_foot_to_head_with_columns_first(tmp_path: Path) -> None:
    volume = read_volume(write_series(tmp_path, values(), AXIAL))
    assert np.array_equal(volume.array, values())
    np.testing.assert_allclose(volume.affine, AXIAL, atol=1e-6)


def test_the_headers_alone_determine_the_grid(tmp_path: Path) -> None:
    folder = write_series(tmp_path, values(), AXIAL)
    shape, affine = read_grid(folder)
    volume = read_volume(folder)
    assert shape == volume.shape == (6, 5, 8)
    assert np.array_equal(affine, volume.affine)


def test_a_series_has_one_channel(tmp_path: Path) -> None:
    [channel] = read_channels(write_series(tmp_path, values(), AXIAL))
    assert np.array_equal(channel.array, values())


def test_each_slice_is_rescaled_by_its_own_slope_and_intercept(tmp_path: Path) -> None:
    def edit(header: Dataset, index: int) -> None:
        header.RescaleSlope, header.RescaleIntercept = 0.5 * (index + 1), -1024

    volume = read_volume(write_series(tmp_path, values(), AXIAL, edit=edit))
    assert np.array_equal(volume.array, (values() * 0.5 * np.arange(1, 9) - 1024).astype(np.float32))


def test_unsigned_values_beyond_the_signed_range_stay_positive(tmp_path: Path) -> None:
    array = np.full((3, 4, 3), 40000, np.uint16)
    assert (read_volume(write_series(tmp_path, array, AXIAL)).array == 40000).all()


def test_twelve_signed_bits_in_sixteen_keep_their_sign(tmp_path: Path) -> None:
    def edit(header: Dataset, index: int) -> None:
        header.BitsStored, header.HighBit = 12, 11
        header.PixelData = (values()[:, :, index].T & 0x0FFF).astype("<u2").tobytes()

    assert np.array_equal(read_volume(write_series(tmp_path, values(), AXIAL, edit=edit)).array, values().clip(-2048))


def test_white_for_the_lowest_value_leaves_the_numbers_alone_and_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    volume = read_volume(write_series(tmp_path, values(), AXIAL, PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(volume.array, values())
    assert "MONOCHROME1" in caplog.text


def test_the_frames_of_one_file_are_a_series(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "frames.dcm", values(), AXIAL)
    volume = read_volume(tmp_path)
    assert np.array_equal(volume.array, values())
    np.testing.assert_allclose(volume.affine, AXIAL, atol=1e-6)


def test_run_length_encoded_slices_are_read(tmp_path: Path) -> None:
    for file in write_series(tmp_path, values(), AXIAL).iterdir():
        header = dcmread(file)
        header.compress(RLELossless)
        header.save_as(file)
    assert np.array_equal(read_volume(tmp_path).array, values())


def test_slices_compressed_as_jpeg_lossless_are_read(tmp_path: Path) -> None:
    gdcm = pytest.importorskip("gdcm", reason="the extra that reads JPEG lossless is not installed: aunet[dicom]")
    for file in write_series(tmp_path, values(), AXIAL).iterdir():
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(file))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(file))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
    assert dcmread(next(tmp_path.iterdir())).file_meta.TransferSyntaxUID.is_compressed
    assert np.array_equal(read_volume(tmp_path).array, values())


def test_slices_compressed_as_nothing_installed_reads_name_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in write_series(tmp_path, values(), AXIAL).iterdir():
        header = dcmread(file)
        header.file_meta.TransferSyntaxUID = JPEG2000Lossless
        header.PixelData = b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x04\x00\x00\x00\0\0\0\0"
        header["PixelData"].is_undefined_length = True
        dcmwrite(file, header, enforce_file_format=True)
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.is_available", False)
    with pytest.raises(UserError, match=r"\.dcm: compressed as JPEG 2000.*pip install 'aunet\[dicom\]'"):
        read_volume(tmp_path)


def test_a_tilted_gantry_is_reported_and_its_slices_return_to_their_own_voxels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    label = (values((12, 10, 8)) > 0).astype(np.int16)
    volume = read_volume(write_series(tmp_path, label, GEOMETRIES["sheared"], GantryDetectorTilt=15))
    assert "gantry tilt of 14.9 degrees" in caplog.text
    prepared = Preprocessing((0.45, 0.45, 1.5), "ct", (-160.0, 240.0)).label(volume)
    logits = np.stack([prepared.array == 0, prepared.array == 1])
    restored = restore_label_map(torch.from_numpy(logits), prepared.affine, volume.shape, volume.affine)
    assert np.mean(restored == volume.array) > 0.98  # averaging rounds off some corners


def test_a_tilt_that_the_positions_do_not_show_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read_volume(write_series(tmp_path, values(), AXIAL, GantryDetectorTilt=12.5))
    assert "GantryDetectorTilt is 12.5 degrees, but" in caplog.text


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_even(tmp_path: Path) -> None:
    affine = GEOMETRIES["as in the network"].copy()
    affine[2, 2] = 0.625
    folder = write_series(
        tmp_path, values((4, 4, 40)), affine, edit=shifted(lambda i: round(220 + 0.625 * i, 1) - 220 - 0.625 * i)
    )
    assert read_volume(folder).spacing[2] == pytest.approx(0.625, abs=0.003)


def test_files_that_are_not_dicom_are_left_out_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_series(tmp_path, values(), AXIAL)
    for name in ("notes.txt", "DICOMDIR.bak", ".hidden.dcm"):
        (folder / name).write_text("no image")
    with caplog.at_level("INFO"):
        assert read_volume(folder).shape == (6, 5, 8)
    assert "1 file left out as not DICOM: DICOMDIR.bak" in caplog.text


def test_localizers_and_other_objects_are_left_out_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_series(tmp_path, values(), AXIAL)
    scout = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "SeriesInstanceUID": SERIES + ".1"}
    write_series(tmp_path / "scout", values()[:, :, :1], GEOMETRIES["sagittal"], **scout)
    write_segmentation(tmp_path / "organ.dcm")
    with caplog.at_level("INFO"):
        assert np.array_equal(read_volume(tmp_path).array, values())
    assert "1 SEG files, 1 CT files beside the series are left out" in caplog.text


def test_a_derived_series_yields_to_the_original_and_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_series(tmp_path / "axial", values(), AXIAL)
    derived = {"ImageType": ["DERIVED", "SECONDARY", "MPR"], "SeriesInstanceUID": SERIES + ".1", "SeriesNumber": 7}
    write_series(tmp_path / "coronal", values((4, 4, 12)), GEOMETRIES["coronal"], **derived)
    assert np.array_equal(read_volume(tmp_path).array, values())
    assert "left out as derived" in caplog.text
    assert read_volume(tmp_path.with_name(f"{tmp_path.name}#7")).shape == (4, 4, 12)


@pytest.fixture
def two_series(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    write_series(folder / "a", values(), AXIAL, SeriesNumber=2)
    second = {"SeriesInstanceUID": SERIES + ".1", "SeriesNumber": 5, "SeriesDescription": "arterial"}
    write_series(folder / "b", values((6, 5, 4)), AXIAL, **second)
    return folder


def test_several_series_are_listed_for_the_user_to_choose(two_series: Path) -> None:
    with pytest.raises(UserError) as refusal:
        read_volume(two_series)
    message = str(refusal.value)
    assert f"{two_series}#2" in message
    assert f"#2 'portal venous', CT, 8 slices, UID {SERIES}" in message
    assert f"#5 'arterial', CT, 4 slices, UID {SERIES}.1" in message


@pytest.mark.parametrize(("choice", "slices"), [("2", 8), ("5", 4), (SERIES, 8), (SERIES + ".1", 4)])
def test_a_series_is_chosen_by_its_number_or_uid(two_series: Path, choice: str, slices: int) -> None:
    path = two_series.with_name(f"study#{choice}")
    assert read_volume(path).shape == (6, 5, slices)
    assert read_grid(path)[0] == (6, 5, slices)


def test_a_missing_series_is_reported_with_those_present(two_series: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)no series 9 .*#2 'portal venous'.*#5 'arterial'"):
        read_volume(two_series.with_name("study#9"))


def test_unicode_spaces_and_marks_in_names_are_read(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "Müller, Zoë #3 腹部", values(), AXIAL, names="Schicht {} ü.dcm".format)
    assert np.array_equal(read_volume(folder).array, values())


def test_a_loop_of_links_is_walked_once(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "scan", values(), AXIAL)
    (folder / "again").symlink_to(folder, target_is_directory=True)
    assert np.array_equal(read_volume(folder).array, values())


def test_a_single_slice_takes_its_depth_from_the_slice_thickness(tmp_path: Path) -> None:
    volume = read_volume(write_series(tmp_path, values((6, 5, 1)), AXIAL))
    assert volume.shape == (6, 5, 1)
    assert volume.spacing == pytest.approx((0.6, 0.6, 5.0))


def remove(*indices: int) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        for index in indices:
            (folder / f"{index}.dcm").unlink()

    return damage


def truncate(share: float) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = (folder / "3.dcm").read_bytes()
        (folder / "3.dcm").write_bytes(content[: int(share * len(content))])

    return damage


def rewrite(change: Callable[[Dataset], None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        header = dcmread(folder / "3.dcm")
        change(header)
        header.save_as(folder / "3.dcm")

    return damage


def copy_slice(folder: Path) -> None:
    (folder / "copy.dcm").write_bytes((folder / "3.dcm").read_bytes())


DAMAGES = {
    "a missing slice": (remove(3), r"slices are missing at 245 mm \(between 4\.dcm and 2\.dcm\); .* 5 mm apart"),
    "several missing slices": (remove(2, 5, 6), r"missing at 230, 235 mm \(between 7.*\); 250 mm"),
    "a file twice": (copy_slice, r"two slices lie at one position.*245 mm \(3\.dcm, copy\.dcm\)"),
    "an empty file": (truncate(0.0), r"3\.dcm: named as DICOM, but"),
    "a file cut in its last slice": (truncate(0.98), r"3\.dcm: .*truncated"),
    "a file without pixels": (rewrite(lambda header: delattr(header, "PixelData")), r"3\.dcm: .*pixels cannot be read"),
    "a slice without position": (
        rewrite(lambda header: delattr(header, "ImagePositionPatient")),
        r"3\.dcm: ImagePositionPatient is None",
    ),
    "a position that is no number": (
        rewrite(lambda header: header.__setattr__("ImagePositionPatient", ["nan", 0, 0])),
        r"3\.dcm: .*ImagePositionPatient|3\.dcm: not a readable",
    ),
    "a slope of zero": (rewrite(lambda header: header.__setattr__("RescaleSlope", 0)), r"3\.dcm: RescaleSlope is 0"),
    "colours": (
        rewrite(lambda header: header.__setattr__("PhotometricInterpretation", "RGB")),
        r"3\.dcm: .*grey values.*RGB",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_series_is_refused_by_its_fault(damage: str, tmp_path: Path) -> None:
    folder = write_series(tmp_path / "scan", values(), GEOMETRIES["rows from posterior to anterior"], names=str_dcm)
    act, message = DAMAGES[damage]
    act(folder)
    with pytest.raises(UserError, match=message):
        read_volume(folder)


def str_dcm(number: int) -> str:
    return f"{number}.dcm"


def claim_huge(header: Dataset, index: int) -> None:
    header.Rows = header.Columns = 65535


FAULTS = {
    "headers that claim a huge size": (claim_huge, r"\.dcm: its pixels cannot be read"),
    "steps that drift": (shifted(lambda i: 0.03 * i * i), r"unevenly spaced: 5\.03 mm from .* 5\.39 mm from"),
    "unequal steps": (shifted(lambda i: 2.0 * (i > 3)), r"unevenly spaced: 7 mm from"),
    "steps that grow": (shifted(lambda i: 0.3 * i * i), r"unevenly spaced"),
    "a slice moved aside": (shifted(lambda i: 4.0 * (i == 3), axis=0), r"not lie on one line: .* 4 mm aside"),
    "a slice of another direction": (set_to(ImageOrientationPatient=[1, 0, 0, 0, 0, -1]), "has orientation"),
    "a slice of another spacing": (set_to(PixelSpacing=[0.7, 0.7]), "has pixel spacing"),
    "directions that are not at a right angle": (
        set_to(ImageOrientationPatient=[1, 0, 0, 0.5, 0.5, 0]),
        "two unit vectors at a right angle",
    ),
    "a spacing of zero": (set_to(PixelSpacing=[0, 0.7]), r"none may be 0"),
    "values by a table": (set_to(ModalityLUTSequence=[Dataset()]), "ModalityLUTSequence"),
    "frames without positions": (set_to(NumberOfFrames=3), "3 frames, but positions of 1"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_slices_that_are_not_an_even_stack_are_refused_by_their_fault(fault: str, tmp_path: Path) -> None:
    edit, message = FAULTS[fault]
    with pytest.raises(UserError, match=message):
        read_volume(write_series(tmp_path, values(), AXIAL, edit=edit))


@pytest.mark.parametrize("share", np.linspace(0.0, 0.99, 34).round(3).tolist())
def test_a_slice_cut_anywhere_is_named(share: float, tmp_path: Path) -> None:
    folder = write_series(tmp_path / "scan", values((12, 10, 3)), AXIAL, names=str_dcm)
    content = (folder / "2.dcm").read_bytes()
    (folder / "2.dcm").write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"2\.dcm"):
        read_volume(folder)


def test_slices_of_another_size_in_one_series_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, values(), AXIAL)
    moved = AXIAL.copy()
    moved[2, 3] += 40
    write_series(tmp_path, values((7, 5, 2)), moved, names="other{}.dcm".format)
    with pytest.raises(UserError, match=r"other.* has rows and columns \[5, 7\]"):
        read_volume(tmp_path)


def test_a_folder_with_other_objects_alone_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    write_segmentation(tmp_path / "organ.dcm")
    with pytest.raises(UserError, match="1 SEG files, but no slices of a volume"):
        read_volume(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no DICOM file in this folder"):
        read_volume(tmp_path)


def test_a_label_map_written_as_slices_is_read_from_their_folder(tmp_path: Path) -> None:
    label = read_label(write_series(tmp_path, values(), AXIAL))
    assert np.issubdtype(label.array.dtype, np.integer)
    assert np.array_equal(label.array, values())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    folder = write_series(tmp_path, values(), AXIAL, names=str_dcm)
    (folder / "3.dcm").chmod(0)
    with pytest.raises(UserError, match=r"3\.dcm: cannot be read"):
        read_volume(folder)


def test_the_digest_of_a_series_follows_its_files_and_the_choice(two_series: Path) -> None:
    def digest(path: Path) -> str:
        return ContentDigests().of_case(Case("case", (path,), None))

    first, chosen = digest(two_series), digest(two_series.with_name("study#2"))
    assert first == digest(two_series)
    assert len({first, chosen, digest(two_series.with_name("study#5"))}) == 3
    next((two_series / "b").iterdir()).unlink()
    assert digest(two_series) != first


@pytest.mark.realdata
def test_a_real_series_is_its_twin_in_nifti_voxel_for_voxel(shared_data: Path) -> None:
    if not shared_data.is_dir():
        pytest.skip(f"no real scans: {shared_data} is not there")
    series = read_volume(shared_data / "abdomen_ct" / "dicom" / "amos_0001")
    twin = read_volume(shared_data / "abdomen_ct" / "amos_0001_ct.nii.gz")
    assert np.array_equal(series.array, twin.array)
    np.testing.assert_allclose(series.affine, twin.affine, atol=1e-3)
