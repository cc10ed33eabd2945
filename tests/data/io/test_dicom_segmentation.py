"""DICOM SEG as a label map, judged by the array it was written from; outlines are refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_scans import SEGMENTATION, SERIES, save, write_series
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset, dcmread
from pydicom.pixels.utils import pack_bits
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from aunet.data.cohort.case import Case
from aunet.data.cohort.references import read_scan_and_reference
from aunet.data.io.volume import align, read_label, read_volume
from aunet.data.sources.folder import folder_cohort
from aunet.doctor.examination import examine_case
from aunet.errors import UserError
from tests.data.geometries import GEOMETRIES

LABEL = np.zeros((16, 10, 8), np.uint8)
LABEL[3:9, 2:6, 2:5] = 1
LABEL[10:14, 4:9, 6] = 2


def write_seg(
    path: Path, label: NDArray[np.uint8], affine: NDArray[np.float64], kind: str = "BINARY", overlap: bool = False
) -> Path:
    """Write a SEG with a frame for each segment and slice, empty ones left out."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    column, row, step = lps[:3, 0], lps[:3, 1], lps[:3, 2]
    header, shared, frames, planes = Dataset(), Dataset(), list[Dataset](), list[NDArray[np.uint8]]()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID, header.SOPInstanceUID, header.SeriesInstanceUID = SEGMENTATION, SERIES + ".7", SERIES + ".8"
    header.Modality, header.SegmentationType = "SEG", kind
    measures, orientation = Dataset(), Dataset()
    measures.PixelSpacing = [float(np.linalg.norm(row)), float(np.linalg.norm(column))]
    measures.SpacingBetweenSlices = float(np.linalg.norm(step))
    orientation.ImageOrientationPatient = [*(column / np.linalg.norm(column)), *(row / np.linalg.norm(row))]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([orientation])
    for segment in (1, 2):
        for index in reversed(range(label.shape[2])):
            plane = (label[:, :, index] == segment) | (overlap and segment == 2 and (label[:, :, index] == 1))
            if plane.any():
                frame, place, number = Dataset(), Dataset(), Dataset()
                place.ImagePositionPatient = (lps @ [0, 0, index, 1])[:3].tolist()
                number.ReferencedSegmentNumber = segment
                frame.PlanePositionSequence, frame.SegmentIdentificationSequence = Sequence([place]), Sequence([number])
                frames.append(frame)
                planes.append(plane.T.astype(np.uint8))
    header.SharedFunctionalGroupsSequence = Sequence([shared])
    header.PerFrameFunctionalGroupsSequence = Sequence(frames)
    header.NumberOfFrames, header.Rows, header.Columns = len(frames), label.shape[1], label.shape[0]
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = 1
    header.HighBit, header.PixelRepresentation = 0, 0
    header.PixelData = pack_bits(np.stack(planes))
    save(header, path)
    return path


@pytest.mark.parametrize("geometry", ["rows from posterior to anterior", "sagittal", "oblique"])
@pytest.mark.parametrize("place", ["seg.dcm", "seg/0001", "folder/seg.dcm"])
def test_a_segmentation_lies_on_the_grid_of_its_scan(geometry: str, place: str, tmp_path: Path) -> None:
    affine = GEOMETRIES[geometry]
    write_series(tmp_path / "ct", np.zeros(LABEL.shape, np.int16) + np.arange(8, dtype=np.int16), affine)
    path = write_seg(tmp_path / place, LABEL, affine)
    label = path.parent if "/" in place else path
    (tmp_path / "cases.csv").write_text(f"case_id,image,label\na,ct,{label.relative_to(tmp_path)}\n")
    cohort = folder_cohort(str(tmp_path / "cases.csv"), "", "", "ct", {"one": 1, "two": 2})
    (image,), reference = read_scan_and_reference(cohort.cases[0], cohort)
    expected = LABEL if np.array_equal(image.array[0, 0], np.arange(8)) else LABEL[:, :, ::-1]
    assert np.array_equal(reference.array, expected)
    _, findings = examine_case(Case("a", cohort.cases[0].images, cohort.cases[0].label), cohort)
    assert not [found for found in findings if found.kind.name.startswith(("cannot", "image and"))]


def sheared(shift: float) -> NDArray[np.float64]:
    affine = np.diag([-0.8, -0.8, 3.0, 1.0])
    affine[1, 2] = shift
    return affine


@pytest.mark.parametrize("shift", [0.4, -0.9, 1.5])
def test_a_segmentation_of_a_tilted_stack_keeps_the_shear_of_its_scan(shift: float, tmp_path: Path) -> None:
    affine = sheared(shift)
    read = read_label(write_seg(tmp_path / "seg.dcm", LABEL, affine))
    first = affine.copy()
    first[:3, 3] = affine[:3] @ [0, 0, 2, 1]
    assert np.allclose(read.affine, first, atol=1e-6)
    assert np.array_equal(read.array, LABEL[:, :, 2:7])
    write_series(tmp_path / "ct", np.zeros(LABEL.shape, np.int16), affine)
    assert np.array_equal(align(read, read_volume(tmp_path / "ct")).array, LABEL)


@pytest.mark.parametrize("left_out", [[], range(1, 60, 2), [7, 8, 30]])
def test_the_slices_of_a_long_tilted_stack_do_not_drift(left_out: list[int], tmp_path: Path) -> None:
    affine, label = sheared(0.4), np.ones((3, 2, 60), np.uint8)
    label[:, :, left_out] = 0
    read = read_label(write_seg(tmp_path / "seg.dcm", label, affine))
    assert np.allclose(read.affine, affine, atol=1e-6)
    assert np.array_equal(read.array, label[:, :, : read.shape[2]])


def test_slices_without_a_distance_in_the_header_take_it_from_their_positions(tmp_path: Path) -> None:
    path = write_seg(tmp_path / "seg.dcm", LABEL, sheared(0.0))
    header = dcmread(path)
    del header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    header.save_as(path)
    read = read_label(path)
    assert read.spacing == pytest.approx((0.8, 0.8, 3.0))
    assert np.array_equal(read.array, LABEL[:, :, 2:7])


def test_a_segmentation_with_a_slice_aside_of_the_others_is_refused(tmp_path: Path) -> None:
    path = write_seg(tmp_path / "seg.dcm", LABEL, sheared(0.4))
    header = dcmread(path)
    place = header.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0]
    place.ImagePositionPatient = [place.ImagePositionPatient[0] + 2, *place.ImagePositionPatient[1:]]
    header.save_as(path)
    with pytest.raises(UserError, match=r"seg\.dcm: its slices do not lie on one line: frame 2 is 2 mm aside"):
        read_label(path)


def turn_frame(frame: Dataset, shared: Dataset) -> None:
    turned = Dataset()
    turned.ImageOrientationPatient = [0, 1, 0, 1, 0, 0]
    frame.PlaneOrientationSequence = Sequence([turned])


def shrink_frame(frame: Dataset, shared: Dataset) -> None:
    measures = Dataset()
    measures.PixelSpacing = [0.4, 0.8]
    frame.PixelMeasuresSequence = Sequence([measures])


def skew_all(frame: Dataset, shared: Dataset) -> None:
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (turn_frame, "ImageOrientationPatient of frame 2 is .* a voxel grid has one"),
        (
            shrink_frame,
            r"PixelSpacing of frame 2 is \[0\.4, 0\.8\] and of frame 1 \[0\.8, 0\.8\]; a voxel grid has one",
        ),
        (skew_all, "ImageOrientationPatient is .* two unit vectors at a right angle"),
    ],
)
def test_frames_that_form_no_grid_are_refused(
    change: Callable[[Dataset, Dataset], None], said: str, tmp_path: Path
) -> None:
    path = write_seg(tmp_path / "seg.dcm", LABEL, sheared(0.0))
    header = dcmread(path)
    change(header.PerFrameFunctionalGroupsSequence[1], header.SharedFunctionalGroupsSequence[0])
    header.save_as(path)
    with pytest.raises(UserError, match=rf"seg\.dcm: {said}"):
        read_label(path)


def test_a_segmentation_of_another_series_is_a_finding_of_its_case_alone(tmp_path: Path) -> None:
    write_series(tmp_path / "images" / "a", np.zeros((16, 10, 4), np.int16), sheared(0.0))
    write_seg(tmp_path / "labels" / "a.dcm", LABEL, sheared(0.0))
    (tmp_path / "cases.csv").write_text("case_id,image,label\na,images/a,labels/a.dcm\n")
    cohort = folder_cohort(str(tmp_path / "cases.csv"), "", "", "ct", {"one": 1, "two": 2})
    facts, findings = examine_case(cohort.cases[0], cohort)
    assert facts is not None
    assert any("only 48 of its 92 marked voxels lie inside" in found.message for found in findings)


def test_of_overlapping_segments_the_later_counts_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    label = read_label(write_seg(tmp_path / "a.dcm", LABEL, GEOMETRIES["anisotropic"], overlap=True))
    assert "72 voxels lie in two segments" in caplog.text
    assert set(np.unique(label.array)) == {0, 2}


def test_a_fractional_segmentation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.dcm: a fractional segmentation.*binary"):
        read_label(write_seg(tmp_path / "a.dcm", LABEL, GEOMETRIES["anisotropic"], kind="FRACTIONAL"))


@pytest.mark.parametrize("as_folder", [True, False])
def test_a_wrong_format_outlines_are_named_with_their_remedy(as_folder: bool, tmp_path: Path) -> None:
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID, header.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.3", SERIES + ".3"
    header.Modality, header.SeriesInstanceUID = "RTSTRUCT", SERIES + ".4"
    save(header, tmp_path / "rt" / "rt.dcm")
    with pytest.raises(UserError, match=r"outlines \(RTSTRUCT\).*3D Slicer.*dcmrtstruct2nii"):
        read_label(tmp_path / "rt" if as_folder else tmp_path / "rt" / "rt.dcm")
