"""Headers that would end the process inside SimpleITK are refused before it reads them."""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from aunet.data.io.itk_header import check_header
from aunet.data.io.volume import read_grid, read_volume
from aunet.errors import UserError


def written(path: Path) -> Path:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((3, 4, 5), np.int16)), str(path))
    return path


def edited(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    return path


@pytest.mark.parametrize("line", [b"[" * 1500, b"labels: " + b"(" * 1500, b"units: " + b"x" * 1500])
def test_a_line_that_overflows_the_library_is_refused(line: bytes, tmp_path: Path) -> None:
    scan = edited(written(tmp_path / "scan.nrrd"), b"encoding:", line + b"\nencoding:")
    with pytest.raises(UserError, match="characters, more than 500"):
        read_grid(scan)


@pytest.mark.parametrize("line", [b"# " + b"x" * 3000, b"Segment0_Note:=" + b"x: " * 3000, b"content: " + b"x" * 3000])
def test_long_comments_and_notes_are_read(line: bytes, tmp_path: Path) -> None:
    scan = edited(written(tmp_path / "scan.nrrd"), b"encoding:", line + b"\nencoding:")
    assert read_volume(scan).shape == (5, 4, 3)


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
