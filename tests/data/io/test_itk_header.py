"""Headers that would end the process inside SimpleITK are refused before it reads them."""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from aunet.data.io.itk_header import check_header
from aunet.data.io.volume import Volume, align, read_grid, read_label, read_volume
from aunet.errors import UserError


def written(path: Path) -> Path:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((3, 4, 5), np.int16)), str(path))
    return path


def edited(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    return path


# NrrdIO also ends a line at a carriage return alone.
@pytest.mark.parametrize(
    "line", [b"[" * 1500, b"labels: " + b"(" * 1500, b"units: " + b"x" * 1500, b"# x\r" + b"[" * 1500]
)
def test_a_line_that_overflows_the_library_is_refused(line: bytes, tmp_path: Path) -> None:
    scan = edited(written(tmp_path / "scan.nrrd"), b"encoding:", line + b"\nencoding:")
    with pytest.raises(UserError, match="characters, more than 500"):
        read_grid(scan)


@pytest.mark.parametrize("line", [b"# " + b"x" * 3000, b"Segment0_Note:=" + b"x: " * 3000, b"content: " + b"x" * 3000])
def test_long_comments_and_notes_are_read(line: bytes, tmp_path: Path) -> None:
    scan = edited(written(tmp_path / "scan.nrrd"), b"encoding:", line + b"\nencoding:")
    assert read_volume(scan).shape == (5, 4, 3)


def test_a_header_of_many_segments_is_read_to_its_end(tmp_path: Path) -> None:
    notes = b"".join(b"Segment%d_Tags:=%s\n" % (number, b"x" * 900) for number in range(120))
    scan = edited(written(tmp_path / "scan.nrrd"), b"encoding:", notes + b"encoding:")
    assert read_volume(scan).shape == (5, 4, 3)
    line_at_the_end = edited(scan, b"encoding:", b"units: " + b"x" * 1500 + b"\nencoding:")
    with pytest.raises(UserError, match="characters, more than 500"):
        read_grid(line_at_the_end)


@pytest.mark.parametrize("number", [b"-2147483648", b"0", b"11", b"x", b"99999999999999999999"])
def test_a_number_of_axes_that_the_library_does_not_survive_is_refused(number: bytes, tmp_path: Path) -> None:
    scan = edited(written(tmp_path / "scan.mha"), b"NDims = 3", b"NDims = " + number)
    with pytest.raises(UserError, match="not a number from 1 to 10"):
        check_header(scan)


def test_damaged_compressed_voxels_are_refused_as_the_library_would_read_them_for_ever(tmp_path: Path) -> None:
    scan = tmp_path / "scan.mha"
    array = np.random.default_rng(0).integers(0, 99, (3, 4, 5)).astype(np.int16)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array), str(scan), True)
    assert np.array_equal(read_volume(scan).array, array.transpose(2, 1, 0))
    content = bytearray(scan.read_bytes())
    content[-30] ^= 255
    scan.write_bytes(content)
    with pytest.raises(UserError, match="compressed voxels are damaged"):
        read_volume(scan)
    scan.write_bytes(content[:-40])
    with pytest.raises(UserError, match="compressed voxels are damaged"):
        read_volume(scan)


@pytest.mark.parametrize("pack", [zlib.compress, gzip.compress], ids=["zlib", "gzip"])
@pytest.mark.parametrize("size_format", ["d", "e"], ids=["whole", "real"])
def test_compressed_voxels_that_the_library_reads_are_accepted(
    pack: Callable[[bytes], bytes], size_format: str, tmp_path: Path
) -> None:
    array = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    packed = pack(array.tobytes())
    header = f"""ObjectType = Image
NDims = 3
BinaryData = True
CompressedData = True
CompressedDataSize = {len(packed):{size_format}}
TransformMatrix = 1 0 0 0 1 0 0 0 1
DimSize = 5 4 3
ElementType = MET_SHORT
ElementDataFile = LOCAL
"""
    (tmp_path / "scan.mha").write_bytes(header.encode() + packed)
    assert np.array_equal(read_volume(tmp_path / "scan.mha").array, array.transpose(2, 1, 0))


NRRD_TEXT = (
    "NRRD0004\ntype: short\ndimension: 3\nsizes: 3 4 5\nendian: little\nspace: left-posterior-superior\n"
    "space directions: (1,0,0) (0,1,0) (0,0,2)\nspace origin: (0,0,0)\nencoding: raw\n"
)
META_TEXT = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
    "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 1 1 2\nDimSize = 3 4 5\n"
    "ElementType = MET_SHORT\n"
)
WITHIN = np.arange(60, dtype=np.int16).reshape(3, 4, 5)


def scan_of(folder: Path, text: str, *, before: bytes = b"") -> Path:
    """Write a header and its voxels, perhaps behind some bytes of another program, and return the header."""
    (folder / "scan.raw").write_bytes(before + WITHIN.tobytes(order="F"))
    is_nrrd = text.startswith("NRRD")
    path = folder / ("scan.nhdr" if is_nrrd else "scan.mhd")
    path.write_text(text + ("data file: scan.raw\n" if is_nrrd else "ElementDataFile = scan.raw\n"))
    return path


@pytest.mark.parametrize(("text", "word"), [(NRRD_TEXT, "byte skip: -1\n"), (META_TEXT, "HeaderSize = -1\n")])
def test_voxels_behind_a_header_of_their_own_are_refused_until_the_text_says_so(
    text: str, word: str, tmp_path: Path
) -> None:
    pytest.importorskip("SimpleITK")
    with pytest.raises(UserError, match=rf"120 bytes of voxels, and scan.raw holds 632.*'{word.strip()}'"):
        read_volume(scan_of(tmp_path, text, before=bytes(512)))
    assert np.array_equal(read_volume(scan_of(tmp_path, text + word, before=bytes(512))).array, WITHIN)


@pytest.mark.parametrize(
    ("text", "left_out", "added", "said"),
    [
        (NRRD_TEXT, "space directions: (1,0,0) (0,1,0) (0,0,2)\nspace origin: (0,0,0)\n", "", "no voxel size"),
        (NRRD_TEXT, "space origin: (0,0,0)\n", "", "no place"),
        (META_TEXT, "ElementSpacing = 1 1 2\n", "", "no voxel size"),
        (META_TEXT, "Offset = 0 0 0\n", "", "no place"),
        (META_TEXT, "", "ElementSize = 2 2 5\n", "ElementSpacing is used"),
        (META_TEXT, "ElementSpacing = 1 1 2\n", "ElementSpacing = -1 1 2\n", "the sign is left out"),
        (META_TEXT, "", "AnatomicalOrientation = LPI\n", "AnatomicalOrientation is LPI"),
        (META_TEXT, "", "AnatomicalOrientation = ASR\n", "TransformMatrix is used"),
    ],
)
def test_header_facts_that_are_missing_or_contradict_each_other_are_reported(
    text: str, left_out: str, added: str, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("SimpleITK")
    text = text.replace(left_out, "") + added
    if "space directions" not in text:
        text = text.replace("space: left-posterior-superior\n", "")
    assert np.array_equal(read_volume(scan_of(tmp_path, text)).array, WITHIN)
    assert said in caplog.text


def test_a_segmentation_whose_margins_3d_slicer_cut_off_is_put_in_its_place(tmp_path: Path) -> None:
    pytest.importorskip("SimpleITK")
    text = NRRD_TEXT.replace("(0,0,0)\nenc", "(1,2,4)\nenc") + "Segment0_LabelValue:=1\n"
    image = Volume(np.zeros((6, 7, 9)), np.diag([-1.0, -1, 2, 1]))
    expected = np.zeros((6, 7, 9), np.int16)
    expected[1:4, 2:6, 2:7] = WITHIN
    assert np.array_equal(align(read_label(scan_of(tmp_path, text)), image).array, expected)


@pytest.mark.parametrize(
    "turn", [(1, 0, 0, 0, 1, 0, 0, 0, 1), (-1, 0, 0, 0, -1, 0, 0, 0, 1), (0, 0, 1, 1, 0, 0, 0, -1, 0)]
)
def test_header_facts_that_itk_itself_writes_on_the_orientation_are_not_mentioned(
    turn: tuple[float, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    itk = pytest.importorskip("SimpleITK")
    image = itk.GetImageFromArray(WITHIN)
    image.SetDirection(turn)
    itk.WriteImage(image, str(tmp_path / "scan.mha"))
    assert b"AnatomicalOrientation" in (tmp_path / "scan.mha").read_bytes()
    read_volume(tmp_path / "scan.mha")
    assert not caplog.records


@pytest.mark.parametrize("letters", ["LPS", "???", "RA", "RAX"])
def test_header_facts_of_another_convention_or_none_on_the_orientation_are_not_mentioned(
    letters: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("SimpleITK")
    read_volume(scan_of(tmp_path, f"{META_TEXT}AnatomicalOrientation = {letters}\n"))
    assert not caplog.records
