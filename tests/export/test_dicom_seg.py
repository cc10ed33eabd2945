"""DICOM SEG of generated series: voxels, places, references and names, judged by pydicom and highdicom."""

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_scans import write_enhanced, write_series
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray
from pydicom import Dataset

from aunet.classes import Labels
from aunet.data.io.volume import Volume, align, read_grid, read_label, write_label
from aunet.errors import UserError
from aunet.export.segment_codes import read_codes
from aunet.inference.prediction import Prediction
from aunet.inference.prediction_files import scan_files
from aunet.pipeline.prediction_delivery import Delivery
from tests.data.geometries import GEOMETRIES

highdicom = pytest.importorskip("highdicom")
from aunet.export import segmentation_object  # noqa: E402
from aunet.export.dicom_seg import write_segmentation  # noqa: E402
from aunet.export.label_formats import find_format  # noqa: E402

LABELS = Labels(("background", "right_kidney", "spleen"))
LABEL = np.zeros((16, 11, 9), np.uint8)  # frames of a number of pixels that fills no whole bytes
LABEL[3:9, 2:6, 2:5] = 1
LABEL[10:14, 4:9, 4] = LABEL[12, 8, 5:8] = 2
NEEDED = {"StudyInstanceUID": "1.2.3", "FrameOfReferenceUID": "1.2.4", "PatientName": "Doe"}
SCANS = pytest.mark.parametrize(
    "geometry", ["rows from posterior to anterior", "flipped", "sagittal", "oblique", "sheared"]
)


def series(folder: Path, geometry: str = "oblique", **elements: object) -> Path:
    return write_series(folder / "ct", np.zeros(LABEL.shape, np.int16), GEOMETRIES[geometry], **{**NEEDED, **elements})


def written(folder: Path, geometry: str = "oblique", label: NDArray[np.uint8] = LABEL, labels: Labels = LABELS) -> Path:
    scan = folder / "ct" if (folder / "ct").exists() else series(folder, geometry)
    write_segmentation(folder / "seg.dcm", label, GEOMETRIES[geometry], labels, scan)
    return folder / "seg.dcm"


def centroid(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    return affine[:3] @ [*np.argwhere(mask).mean(axis=0), 1]


@SCANS
def test_a_segmentation_read_back_has_the_voxels_of_the_label_map(geometry: str, tmp_path: Path) -> None:
    path = written(tmp_path, geometry)
    expected = Volume(LABEL, GEOMETRIES[geometry])
    assert np.array_equal(align(read_label(path), expected).array, LABEL)


@pytest.mark.parametrize("geometry", ["rows from posterior to anterior", "flipped", "sagittal", "oblique"])
def test_a_segmentation_read_by_highdicom_has_the_voxels_of_the_label_map(geometry: str, tmp_path: Path) -> None:
    volume = highdicom.seg.segread(written(tmp_path, geometry)).get_volume(combine_segments=True)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    read = Volume(volume.array.astype(np.uint8), affine, is_sparse=True)
    assert np.array_equal(align(read, Volume(LABEL, GEOMETRIES[geometry])).array, LABEL)


@SCANS
def test_the_centroids_of_the_written_frames_are_those_of_the_label_map(geometry: str, tmp_path: Path) -> None:
    header = pydicom.dcmread(written(tmp_path, geometry))
    shared = header.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    spacing = shared.PixelMeasuresSequence[0].PixelSpacing
    points: dict[int, list[NDArray[np.float64]]] = {1: [], 2: []}
    for frame, plane in zip(header.PerFrameFunctionalGroupsSequence, header.pixel_array, strict=True):
        position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        number = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        for row, column in np.argwhere(plane):
            points[number].append(position + column * spacing[1] * cosines[:3] + row * spacing[0] * cosines[3:])
    for number, places in points.items():
        expected = centroid(number == LABEL, GEOMETRIES[geometry]) * (-1, -1, 1)
        assert np.allclose(np.mean(places, axis=0), expected, atol=1e-3)


def test_a_label_map_in_another_axis_order_yields_the_same_frames(tmp_path: Path) -> None:
    affine = GEOMETRIES["oblique"]
    turn = ornt_transform(io_orientation(affine), axcodes2ornt("SRA"))
    turned, turned_affine = apply_orientation(LABEL, turn), affine @ inv_ornt_aff(turn, LABEL.shape)
    path = written(tmp_path)
    write_segmentation(tmp_path / "turned.dcm", turned, turned_affine, LABELS, tmp_path / "ct")
    assert pydicom.dcmread(tmp_path / "turned.dcm").PixelData == pydicom.dcmread(path).PixelData


@pytest.mark.parametrize(
    ("name", "label", "patient"),
    [
        ("膵臓", "膵臓", "Müller"),
        ("Bauchspeicheldrüse", "Bauchspeicheldrüse", "Doe"),
        ("cyst\\tumor", "cyst/tumor", "Doe"),
    ],
)
def test_segments_keep_names_with_letters_that_the_scan_lacks(
    name: str, label: str, patient: str, tmp_path: Path
) -> None:
    charset = {} if patient.isascii() else {"SpecificCharacterSet": "ISO_IR 100"}
    series(tmp_path, PatientName=patient, **charset)
    header = pydicom.dcmread(written(tmp_path, labels=Labels(("background", name, "spleen"))))
    assert header.SegmentSequence[0].SegmentLabel == label
    assert header.PatientName == patient
    assert name == "cyst\\tumor" or header.SpecificCharacterSet == "ISO_IR 192"


def test_an_empty_character_set_means_the_default_letters(tmp_path: Path) -> None:
    series(tmp_path, SpecificCharacterSet=None)
    np.testing.assert_array_equal(np.unique(read_label(written(tmp_path)).array), [0, 1, 2])


def mirrored(build: Callable[..., Dataset], label: NDArray[np.uint8], *others: object) -> Dataset:
    return build(label[::-1], *others)


def upside_down(build: Callable[..., Dataset], label: NDArray[np.uint8], *others: object) -> Dataset:
    return build(label[:, :, ::-1], *others)


def shifted(build: Callable[..., Dataset], label: NDArray[np.uint8], *others: object) -> Dataset:
    header = build(label, *others)
    for frame in header.PerFrameFunctionalGroupsSequence:
        place = frame.PlanePositionSequence[0]
        place.ImagePositionPatient = [place.ImagePositionPatient[0] + 0.1, *place.ImagePositionPatient[1:]]
    return header


def without_a_voxel(build: Callable[..., Dataset], label: NDArray[np.uint8], *others: object) -> Dataset:
    return build(np.where(np.arange(label.size).reshape(label.shape) == label.argmax(), 0, label), *others)


@pytest.mark.parametrize("fault", [mirrored, upside_down, shifted, without_a_voxel])
def test_frames_that_lie_elsewhere_than_the_label_map_are_not_written(
    fault: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = segmentation_object.build_segmentation
    monkeypatch.setattr(segmentation_object, "build_segmentation", lambda *arguments: fault(build, *arguments))
    with pytest.raises(UserError, match=r"seg\.dcm: not written, as its frames would hold \d+ voxels of \w+"):
        written(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["ct"]


def test_each_frame_refers_to_the_slice_at_its_place_and_segments_follow_each_other(tmp_path: Path) -> None:
    header = pydicom.dcmread(written(tmp_path))
    places = {
        str(source.SOPInstanceUID): list(source.ImagePositionPatient)
        for source in map(pydicom.dcmread, (tmp_path / "ct").iterdir())
    }
    numbers = [
        frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        for frame in header.PerFrameFunctionalGroupsSequence
    ]
    assert numbers == [1, 1, 1, 2, 2, 2, 2]
    for frame in header.PerFrameFunctionalGroupsSequence:
        source = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert list(frame.PlanePositionSequence[0].ImagePositionPatient) == places[source]


def test_segments_have_names_codes_colours_and_the_algorithm_that_made_them(tmp_path: Path) -> None:
    header = pydicom.dcmread(written(tmp_path))
    kidney, spleen = header.SegmentSequence
    assert (kidney.SegmentNumber, kidney.SegmentLabel) == (1, "right_kidney")
    kind = kidney.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("64033007", "SCT")
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Right"
    assert spleen.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Spleen"
    assert spleen.SegmentAlgorithmType == "AUTOMATIC"
    assert spleen.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "aunet"
    assert kidney.RecommendedDisplayCIELabValue != spleen.RecommendedDisplayCIELabValue
    assert (header.PatientName, header.PatientID, header.StudyInstanceUID) == ("Doe", "P1", "1.2.3")
    assert header.SegmentationType == "BINARY"


def test_a_class_that_was_not_found_keeps_its_number_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    label = np.where(LABEL == 2, LABEL, 0).astype(np.uint8)
    path = written(tmp_path, label=label)
    assert "segments without voxels, as none was found: right_kidney" in caplog.text
    assert set(np.unique(read_label(path).array).tolist()) == {0, 2}
    assert len(pydicom.dcmread(path).SegmentSequence) == 2


@pytest.mark.parametrize("is_enhanced", [True, False])
def test_a_label_map_without_any_class_is_one_empty_frame_of_each(is_enhanced: bool, tmp_path: Path) -> None:
    scan = series(tmp_path)
    if is_enhanced:
        scan = write_enhanced(tmp_path / "ct.dcm", np.zeros(LABEL.shape, np.int16), GEOMETRIES["oblique"], **NEEDED)
    write_segmentation(tmp_path / "seg.dcm", np.zeros_like(LABEL), GEOMETRIES["oblique"], LABELS, scan)
    assert not read_label(tmp_path / "seg.dcm").array.any()
    assert pydicom.dcmread(tmp_path / "seg.dcm").NumberOfFrames == 2


def test_a_single_class_in_a_single_slice_is_read_back(tmp_path: Path) -> None:
    label = np.zeros_like(LABEL)
    label[2:5, 3, 4] = 1
    read = read_label(written(tmp_path, label=label, labels=Labels(("background", "liver"))))
    assert np.array_equal(align(read, Volume(label, GEOMETRIES["oblique"])).array, label)


def test_a_series_in_one_file_is_referred_to_by_frame(tmp_path: Path) -> None:
    scan = write_enhanced(tmp_path / "ct.dcm", np.zeros(LABEL.shape, np.int16), GEOMETRIES["oblique"], **NEEDED)
    write_segmentation(tmp_path / "seg.dcm", LABEL, GEOMETRIES["oblique"], LABELS, scan)
    expected = Volume(LABEL, GEOMETRIES["oblique"])
    assert np.array_equal(align(read_label(tmp_path / "seg.dcm"), expected).array, LABEL)
    source = pydicom.dcmread(scan).PerFrameFunctionalGroupsSequence
    for frame in pydicom.dcmread(tmp_path / "seg.dcm").PerFrameFunctionalGroupsSequence:
        number = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        position = source[number - 1].PlanePositionSequence[0].ImagePositionPatient
        assert frame.PlanePositionSequence[0].ImagePositionPatient == position


def test_a_series_without_a_frame_of_reference_is_refused(tmp_path: Path) -> None:
    scan = series(tmp_path, FrameOfReferenceUID="")
    with pytest.raises(UserError, match=r"ct: 9 of 9 files have no FrameOfReferenceUID.*\.nii\.gz"):
        write_segmentation(tmp_path / "seg.dcm", LABEL, GEOMETRIES["oblique"], LABELS, scan)


def test_slices_that_are_series_of_their_own_are_refused(tmp_path: Path) -> None:
    def number(header: Dataset, index: int) -> None:
        header.SeriesInstanceUID = f"1.2.5.{index}"

    scan = write_series(tmp_path / "ct", np.zeros(LABEL.shape, np.int16), GEOMETRIES["oblique"], edit=number, **NEEDED)
    with pytest.raises(UserError, match=r"ct: its files have 9 different SeriesInstanceUID"):
        write_segmentation(tmp_path / "seg.dcm", LABEL, GEOMETRIES["oblique"], LABELS, scan)


def test_a_label_map_of_another_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must lie on one voxel grid"):
        write_segmentation(tmp_path / "seg.dcm", LABEL, np.eye(4), LABELS, series(tmp_path))


def test_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan, find = series(tmp_path), importlib.util.find_spec
    monkeypatch.setattr("aunet.export.dicom_seg.find_spec", lambda name: None if name == "highdicom" else find(name))
    with pytest.raises(UserError, match=r"pip install 'aunet\[seg\]'"):
        write_segmentation(tmp_path / "seg.dcm", LABEL, GEOMETRIES["oblique"], LABELS, scan)
    with pytest.raises(UserError, match="--format dicom-seg: DICOM SEG needs highdicom"):
        find_format("dicom-seg")


def test_codes_of_ones_own_replace_ours(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "codes.json"
    file.write_text(
        json.dumps({"Right Kidney": {"value": "K1", "scheme": "99HOSPITAL", "meaning": "Graft", "side": "left"}})
    )
    write_segmentation(tmp_path / "seg.dcm", LABEL, GEOMETRIES["oblique"], LABELS, series(tmp_path), read_codes(file))
    kind = pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning) == ("K1", "99HOSPITAL", "Graft")
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    assert not caplog.records


def test_dicom_seg_is_a_format_of_predictions_of_series_alone(tmp_path: Path) -> None:
    scan, found = series(tmp_path), find_format("dicom-seg")
    (file,) = scan_files([scan], tmp_path / "out", label_format=found)
    assert file.label_map.name == "ct.dcm"
    delivery = Delivery(tmp_path / "out", label_format=found)
    delivery.write(file, Prediction(LABEL, GEOMETRIES["oblique"], LABELS))
    expected = Volume(LABEL, GEOMETRIES["oblique"])
    assert np.array_equal(align(read_label(file.label_map), expected).array, LABEL)
    assert delivery.is_complete(file, LABELS)
    moved = GEOMETRIES["oblique"].copy()
    moved[:3, 3] += 1
    shutil.rmtree(scan)
    write_series(scan, np.zeros(LABEL.shape, np.int16), moved, **NEEDED)
    assert not delivery.is_complete(file, LABELS)
    write_label(tmp_path / "scan.nii.gz", LABEL, np.eye(4))
    with pytest.raises(UserError, match=r"--format dicom-seg: .*scan\.nii\.gz is not DICOM"):
        scan_files([tmp_path / "scan.nii.gz"], tmp_path / "out", label_format=found)


def test_a_class_without_a_known_code_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written(tmp_path, labels=Labels(("background", "phlogiston", "spleen")))
    assert "coded as tissue, as no code is known for the name: phlogiston" in caplog.text


@pytest.mark.realdata
def test_the_segmentation_of_a_real_series_opens_in_simpleitk_with_the_voxels_of_the_nifti(
    tmp_path: Path, shared_data: Path
) -> None:
    itk = pytest.importorskip("SimpleITK")
    scan = shared_data / "abdomen_ct" / "dicom" / "amos_0001"
    if not scan.is_dir():
        pytest.skip(f"no real scans: {scan} is not there")
    shape, affine = read_grid(scan)
    reference = read_label(shared_data / "abdomen_ct" / "amos_0001_label.nii.gz")
    label = align(
        Volume(reference.array.astype(np.uint8), reference.affine, is_sparse=True), Volume(np.zeros(shape), affine)
    )
    labels = Labels(("background", *(f"organ {number}" for number in range(1, int(label.array.max()) + 1))))
    write_label(tmp_path / "a.nii.gz", np.ascontiguousarray(label.array), affine)
    write_segmentation(tmp_path / "a.dcm", label.array, affine, labels, scan)
    nifti, frames = read_label(tmp_path / "a.nii.gz"), itk.GetArrayFromImage(itk.ReadImage(str(tmp_path / "a.dcm")))
    found = np.zeros_like(nifti.array)
    for frame, plane in zip(pydicom.dcmread(tmp_path / "a.dcm").PerFrameFunctionalGroupsSequence, frames, strict=True):
        position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float) * (-1, -1, 1)
        depth = round(float((np.linalg.inv(nifti.affine) @ [*position, 1])[2]))
        found[:, :, depth][plane.T > 0] = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    assert np.array_equal(found, nifti.array)
    assert np.count_nonzero(found)


def test_codes_of_ones_own_go_with_the_format_that_has_codes(tmp_path: Path) -> None:
    file = tmp_path / "codes.json"
    file.write_text(json.dumps({"spleen": {"value": "K1", "scheme": "99HOSPITAL", "meaning": "Graft"}}))
    prediction = Prediction(LABEL, GEOMETRIES["oblique"], LABELS)
    find_format("DICOM-SEG", file).write(tmp_path / "seg.dcm", prediction, (series(tmp_path),))
    kind = pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence[1].SegmentedPropertyTypeCodeSequence[0]
    assert kind.CodeValue == "K1"
    with pytest.raises(UserError, match=r"--segment-codes .*nii\.gz has no coded names; add --format dicom-seg"):
        find_format("nii.gz", file)


def test_segments_of_regions_overlap_and_are_read_back_as_the_painted_label_map(tmp_path: Path) -> None:
    regions = Labels(("background", "tumour", "core"), ((1, 2), (2,)))
    label = LABEL.copy()
    label[4:6, 3:5, 3] = 2
    path = written(tmp_path, label=label, labels=regions)
    stored = pydicom.dcmread(path)
    numbers = [
        int(frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        for frame in stored.PerFrameFunctionalGroupsSequence
    ]
    sizes = dict.fromkeys(numbers, 0)
    for number, plane in zip(numbers, stored.pixel_array, strict=True):
        sizes[number] += int(np.count_nonzero(plane))
    assert sizes == {1: np.count_nonzero(label), 2: np.count_nonzero(label == 2)}
    assert np.array_equal(align(read_label(path), Volume(label, GEOMETRIES["oblique"])).array, label)
