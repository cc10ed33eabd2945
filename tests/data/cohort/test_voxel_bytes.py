"""Voxels of NIfTI files compared as bytes, whatever their headers."""

import gzip
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from aunet.data.cohort.voxel_bytes import find_voxel_bytes

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (17, 12, 9)).astype(np.int16)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_checksum_and_digest_are_those_of_the_voxels_alone(kind: Any, name: str, order: str, tmp_path: Path) -> None:
    header = kind.header_class(endianness=order)
    header.set_data_dtype(np.int16)
    image = kind(VOXELS, np.eye(4), header)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"of some length"))
    image.to_filename(tmp_path / name)
    found = find_voxel_bytes(tmp_path / name)
    assert found is not None
    bare = np.asarray(VOXELS, f"{order}i2").tobytes(order="F")
    assert (found.size, found.checksum()) == (len(bare), zlib.crc32(bare))
    (tmp_path / "bare.nii").write_bytes(bytes(found.start) + bare)
    assert found.digest() == type(found)(tmp_path / "bare.nii", False, found.start, len(bare)).digest()


def test_a_packed_scan_is_not_unpacked_for_its_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nibabel.Nifti1Image(np.zeros((512, 512, 40), np.int16), np.eye(4)).to_filename(tmp_path / "scan.nii.gz")
    found, read = find_voxel_bytes(tmp_path / "scan.nii.gz"), list[int]()
    assert found is not None
    plain = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda file, size: read.append(size) or plain(file, size))
    assert found.checksum() == zlib.crc32(bytes(found.size))
    assert read == [found.start]


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", bytes(400), (348).to_bytes(4, "little") + bytes(400)])
def test_files_without_voxels_behind_a_header_are_left_alone(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "scan.nii").write_bytes(content)
    try:
        assert find_voxel_bytes(tmp_path / "scan.nii") is None
    except EOFError:
        assert content == b"\x1f\x8b"
