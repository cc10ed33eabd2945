"""Series that disagree, are stored in odd ways, or lie beside others: read whole, or refused with the candidates."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_scans import SERIES, write_enhanced, write_series
from numpy.typing import NDArray
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from aunet.data.io.volume import read_grid, read_volume
from aunet.errors import UserError
from aunet.inference.prediction_files import scan_files
from tests.data.geometries import GEOMETRIES

AXIAL = GEOMETRIES["rows from posterior to anterior"]
ARRAY = np.random.default_rng(5).integers(-900, 900, (7, 6, 9)).astype(np.int16)


def values(shape: tuple[int, int, int] = (6, 5, 8)) -> NDArray[np.int16]:
    return np.random.default_rng(0).integers(-1000, 1500, shape).astype(np.int16)


def of_slice(number: int, **elements: Any) -> Callable[[Dataset, int], None]:
    """Return an edit of one slice; an element of None is taken out."""

    def edit(header: Dataset, index: int) -> None:
        for name, value in elements.items() if index == number else ():
            if value is None:
                delattr(header, name)
            else:
                setattr(header, name, value)

    return edit


@pytest.mark.parametrize("number", [0, 3, 7])
@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"RescaleIntercept": None, "RescaleSlope": None}, "RescaleIntercept of .* is"),
        ({"RescaleType": "HU"}, "unit of the values of .* is"),
        ({"PixelSpacing": [0.7, 0.6]}, r"has pixel spacing \[.*"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0.8, 0.6]}, r"has orientation \[.*"),
        ({"Rows": 3}, r"has rows and columns \[.*"),
    ],
)
def test_slices_that_disagree_are_refused_and_named(
    elements: dict[str, Any], said: str, number: int, tmp_path: Path
) -> None:
    write_series(tmp_path, values(), AXIAL, edit=of_slice(number, **elements), RescaleIntercept=-1024)
    with pytest.raises(UserError, match=f"the slices of one volume must be alike, but .*{said}"):
        read_volume(tmp_path)


def test_slices_that_disagree_in_scale_are_each_read_by_their_own_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_series(tmp_path, values(), AXIAL, edit=of_slice(3, RescaleSlope=2, RescaleIntercept=-5))
    expected = values().astype(np.float32)
    expected[:, :, 3] = 2 * expected[:, :, 3] - 5
    assert np.array_equal(read_volume(tmp_path).array, expected)
    assert "2 scales" in caplog.text


@pytest.mark.parametrize("name", ["IM0099", "slice.bin", "00042.img"])
@pytest.mark.parametrize("content", [b"", b"no slice at all" * 40])
def test_a_dropped_file_that_may_be_a_slice_is_named_in_a_warning(
    content: bytes, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_series(tmp_path, values(), AXIAL, names="IM{:04d}".format)
    (tmp_path / name).write_bytes(content)
    read_volume(tmp_path)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"1 file left out as not DICOM: {name}" in record.getMessage()


@pytest.mark.parametrize(
    "elements", [{"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}]
)
def test_a_dropped_file_of_the_series_itself_is_named_in_a_warning(
    elements: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_series(tmp_path, values(), AXIAL, edit=of_slice(7, **elements))
    assert read_volume(tmp_path).shape == (6, 5, 7)
    assert "1 file left out as of the series, but no slices of a volume: IM" in caplog.text


@pytest.mark.parametrize("slices", [9, 24])
def test_guessing_the_series_never_leaves_out_the_larger_one(slices: int, tmp_path: Path) -> None:
    write_series(tmp_path / "a", values(), AXIAL)
    derived = {"ImageType": ["DERIVED", "SECONDARY"], "SeriesInstanceUID": SERIES + ".1", "SeriesNumber": 7}
    write_series(tmp_path / "b", values((6, 5, slices)), AXIAL, **derived)
    with pytest.raises(UserError, match=rf"(?s)2 series.*#7 .*{slices} slices, derived.*#2 .*8 slices"):
        read_volume(tmp_path)
    assert read_volume(Path(f"{tmp_path}#7")).shape == (6, 5, slices)
    assert read_volume(Path(f"{tmp_path}#2")).shape == (6, 5, 8)


def uid_of_each(header: Dataset, index: int) -> None:
    header.SeriesInstanceUID = f"{SERIES}.5.{index}"


def uid_and_number_of_each(header: Dataset, index: int) -> None:
    uid_of_each(header, index)
    header.SeriesNumber = 100 + index


@pytest.mark.parametrize("edit", [uid_of_each, uid_and_number_of_each])
def test_guessing_the_series_a_uid_for_every_slice_is_one_series(
    edit: Callable[[Dataset, int], None], tmp_path: Path
) -> None:
    write_series(tmp_path, values(), AXIAL, edit=edit)
    assert np.array_equal(read_volume(tmp_path).array, values())
    assert read_grid(tmp_path)[0] == (6, 5, 8)


def test_guessing_the_series_two_scans_with_a_uid_for_every_slice_stay_two(tmp_path: Path) -> None:
    write_series(tmp_path / "a", values(), AXIAL, edit=uid_of_each)

    def uid_of_its_own(header: Dataset, index: int) -> None:
        header.SeriesInstanceUID, header.SeriesNumber = f"1.2.{index}", 5

    write_series(tmp_path / "b", values(), AXIAL, edit=uid_of_its_own)
    with pytest.raises(UserError, match=r"(?s)2 series.*8 slices.*8 slices"):
        read_volume(tmp_path)
    assert read_volume(Path(f"{tmp_path}#5")).shape == (6, 5, 8)


def test_guessing_the_series_slices_missing_among_uids_of_their_own_are_named(tmp_path: Path) -> None:
    write_series(tmp_path, values(), AXIAL, edit=uid_of_each, names="{}.dcm".format)
    (tmp_path / "3.dcm").unlink()
    with pytest.raises(UserError, match="slices are missing"):
        read_volume(tmp_path)


def without_preamble(path: Path) -> None:
    path.write_bytes(path.read_bytes()[132:])


def without_meta(path: Path) -> None:
    """Write the dataset alone, implicitly encoded, as old programs did."""
    header = dcmread(path)
    bare = Dataset()
    bare.update({element.tag: element for element in header})
    dcmwrite(path, bare, implicit_vr=True, little_endian=True)


@pytest.mark.parametrize("names", ["{}.dcm", "IM{}"])
@pytest.mark.parametrize("strip", [without_preamble, without_meta])
@pytest.mark.parametrize("number_of_files", [1, 8])
def test_names_dicom_without_preamble_is_read(
    strip: Callable[[Path], None], names: str, number_of_files: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_series(tmp_path, values(), AXIAL, names=names.format)
    for file in sorted(tmp_path.iterdir())[:number_of_files]:
        strip(file)
    assert np.array_equal(read_volume(tmp_path).array, values())
    assert not caplog.records


@pytest.mark.parametrize(
    "content", [b"\x08\x00" + bytes(300), b"\x08\x00\x05\x00CS\xff\xff" + bytes(300), b"\x02" * 400]
)
def test_a_file_that_only_resembles_dicom_without_preamble_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.dcm"):
        read_volume(tmp_path / "a.dcm")


def test_a_deflated_series_is_read(tmp_path: Path) -> None:
    write_series(tmp_path, values(), AXIAL)
    for file in tmp_path.iterdir():
        header = dcmread(file)
        header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        header.save_as(file)
    assert np.array_equal(read_volume(tmp_path).array, values())


def test_a_folder_of_enhanced_files_is_a_scan_each(tmp_path: Path) -> None:
    for number in range(3):
        uid = {"SeriesInstanceUID": f"{SERIES}.{number}"}
        write_enhanced(tmp_path / "in" / f"scan_{number}.dcm", values(), AXIAL, **uid)
    files = scan_files([tmp_path / "in"], tmp_path / "out")
    assert [file.label_map.name for file in files] == [f"scan_{number}.nii.gz" for number in range(3)]


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"PatientID": "P2"}, r"another patient \(PatientID\)"),
        ({"Modality": "MR"}, "another modality"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "another PhotometricInterpretation"),
    ],
)
def test_slices_that_disagree_on_what_they_show_are_refused_without_naming_patients(
    elements: dict[str, str], said: str, tmp_path: Path
) -> None:
    write_series(tmp_path, ARRAY, AXIAL, edit=lambda header, k: edited(header, k, elements))
    with pytest.raises(UserError, match=said) as refusal:
        read_volume(tmp_path)
    assert "P2" not in str(refusal.value)


def edited(header: Dataset, index: int, elements: dict[str, str]) -> None:
    for name, value in elements.items() if index == 2 else ():
        setattr(header, name, value)


@pytest.mark.parametrize("name", ["IM0099.dcm.gz", "IM0099.gz"])
def test_a_dropped_slice_in_gzip_is_refused_with_the_remedy(name: str, tmp_path: Path) -> None:
    write_series(tmp_path, ARRAY, AXIAL)
    last = max(tmp_path.iterdir())
    (tmp_path / name).write_bytes(gzip.compress(last.read_bytes()))
    last.unlink()
    with pytest.raises(UserError, match=rf"{name}: DICOM that is compressed by gzip.*gunzip"):
        read_volume(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html>" + bytes(300), "a web page"),
        (b"\x89PNG\r\n\x1a\n" + bytes(300), r"a picture.*ends in \.png"),
        (b"PK\x03\x04" + bytes(300), "a ZIP archive. Unpack"),
        (gzip.compress(bytes(3000)), "compressed by gzip"),
    ],
)
def test_a_wrong_format_that_is_named_as_dicom_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    write_series(tmp_path, ARRAY, AXIAL)
    (tmp_path / "IM0099.dcm").write_bytes(content)
    with pytest.raises(UserError, match=f"named as DICOM, but it is {said}"):
        read_volume(tmp_path)


@pytest.mark.parametrize("is_second", [lambda k: k > 4, lambda k: k % 2 == 1])
def test_guessing_the_series_parts_of_one_number_that_form_a_grid_together_are_one(
    is_second: Callable[[int], bool], tmp_path: Path
) -> None:
    elements = {"SeriesInstanceUID": "1.2.3"}
    write_series(tmp_path, ARRAY, AXIAL, edit=lambda header, k: edited(header, 2 if is_second(k) else 0, elements))
    assert np.array_equal(read_volume(tmp_path).array, ARRAY)


def test_header_facts_a_distance_of_slices_that_positions_contradict_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_series(tmp_path, ARRAY, AXIAL, SpacingBetweenSlices="99")
    read_volume(tmp_path)
    assert "99 by SpacingBetweenSlices; the positions hold" in caplog.text


@pytest.mark.parametrize("count", [{"ImagesInAcquisition": "12"}, {"NumberOfSlices": 10}])
def test_a_dropped_slice_at_an_end_is_reported_if_the_header_counts_more(
    count: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_series(tmp_path, ARRAY, AXIAL, **count)
    assert np.array_equal(read_volume(tmp_path).array, ARRAY)
    assert f"9 slices, and the header counts {next(iter(count.values()))}" in caplog.text


@pytest.mark.parametrize("count", ["9", "8", "", "many"])
def test_a_dropped_slice_is_not_reported_if_the_header_counts_no_more(
    count: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_series(tmp_path, ARRAY, AXIAL, edit=lambda header, _: add_text(header, "ImagesInAcquisition", count))
    assert np.array_equal(read_volume(tmp_path).array, ARRAY)
    assert not caplog.records


def add_text(header: Dataset, name: str, text: str) -> None:
    """Add an element with a text that need not be valid."""
    header[name] = RawDataElement(
        Tag(name), "IS", len(text), text.encode(), 0, is_implicit_VR=False, is_little_endian=True
    )


def test_slices_that_disagree_in_folders_of_their_own_are_named_with_them(tmp_path: Path) -> None:
    for name in "ab":
        write_series(tmp_path / name, ARRAY, AXIAL)
    with pytest.raises(UserError, match=r"at one position.*\(a/IM0000\.dcm, b/IM0000\.dcm\)"):
        read_volume(tmp_path)
