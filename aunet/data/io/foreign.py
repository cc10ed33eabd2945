"""Formats that are recognised but not read: the message names the format and how to convert the file."""

import re
from dataclasses import dataclass

_TO_NIFTI = "Convert the scan to NIfTI (.nii.gz)"


@dataclass(frozen=True)
class ForeignFormat:
    """A format by the first bytes of its files, unpacked if they are compressed by gzip, and a remedy."""

    name: str
    signature: re.Pattern[bytes]
    remedy: str


def _kind(name: str, signature: bytes, remedy: str) -> ForeignFormat:
    return ForeignFormat(name, re.compile(signature, re.DOTALL), remedy)


# FreeSurfer's magic is version 1 in big-endian order, then a shape whose numbers are below 65536.
_FOREIGN = (
    _kind("FreeSurfer MGH/MGZ", rb"\0\0\0\x01\0\0..\0\0..\0\0..", f"{_TO_NIFTI}: mri_convert scan.mgz scan.nii.gz."),
    _kind("a ZIP archive", rb"PK(\x03\x04|\x05\x06|\x07\x08)", "Unpack it and give the file or folder inside."),
    _kind("a 7z archive", rb"7z\xbc\xaf\x27\x1c", "Unpack it and give the file or folder inside."),
    _kind("a RAR archive", rb"Rar!\x1a\x07", "Unpack it and give the file or folder inside."),
    _kind("a tar archive", rb".{257}ustar", "Unpack it and give the file or folder inside."),
    _kind("compressed by bzip2", rb"BZh[1-9]", "Unpack it with bunzip2 and give the file inside."),
    _kind("compressed by xz", rb"\xfd7zXZ\0", "Unpack it with unxz and give the file inside."),
    _kind("compressed by Zstandard", rb"\x28\xb5\x2f\xfd", "Unpack it with unzstd and give the file inside."),
    _kind("compressed by LZ4", rb"\x04\x22\x4d\x18", "Unpack it with unlz4 and give the file inside."),
    _kind("compressed by gzip twice", rb"\x1f\x8b", "Unpack it once with gunzip."),
    _kind("HDF5 (also MINC 2, MATLAB 7.3)", rb"\x89HDF\r\n\x1a\n", f"{_TO_NIFTI}, from MINC by mnc2nii."),
    _kind("netCDF (MINC 1)", rb"CDF[\x01\x02]", f"{_TO_NIFTI}: mnc2nii scan.mnc scan.nii."),
    _kind("a MATLAB file", rb"MATLAB 5\.0", f"{_TO_NIFTI}, with its voxel size."),
    _kind("a NumPy array", rb"\x93NUMPY", "It has no voxel size. Save the scan as NIfTI (.nii.gz) with its affine."),
    _kind("a Git LFS pointer, not the file itself", rb"version https://git-lfs", "Fetch the file: git lfs pull."),
    _kind(
        "a git-annex pointer, not the file itself", rb"\.?[./]*/?(\.git/)?annex/objects/", "Fetch it: git annex get."
    ),
    _kind("a VTK file", rb"\s*(<\?xml[^>]*>\s*)?<VTKFile", f"{_TO_NIFTI}, for example with ITK-SNAP."),
    _kind("a web page", rb"\s*<(!DOCTYPE|html|\?xml)", "The download answered with an error page: download it again."),
    _kind("a PDF", rb"%PDF", "Give the scan itself."),
    _kind("a GIF picture", rb"GIF8[79]a", "Convert it to PNG."),
    _kind("a BMP picture", rb"BM.{4}\0\0\0\0", "Convert it to PNG."),
    _kind("JPEG 2000", rb"\0\0\0\x0cjP  ", "Convert it to PNG or TIFF."),
    _kind("a WebP picture", rb"RIFF.{4}WEBP", "Convert it to PNG."),
    _kind("a HEIF picture", rb".{4}ftyp(hei|mif1|avif)", "Convert it to PNG."),
    _kind("a video", rb".{4}ftyp|\x1aE\xdf\xa3|RIFF.{4}AVI ", "Save its frames as PNG files."),
    _kind("a Zeiss CZI picture", rb"ZISRAWFILE", "Convert it to TIFF."),
    _kind("MRtrix", rb"mrtrix image", f"{_TO_NIFTI}: mrconvert scan.mif scan.nii.gz."),
    _kind("Philips PAR/REC", rb"# === DATA DESCRIPTION FILE", f"{_TO_NIFTI}: parrec2nii scan.par."),
    _kind("an AFNI header", rb"\s*type\s*=\s*\w+-attribute", f"{_TO_NIFTI}: 3dAFNItoNIFTI scan+orig."),
    _kind("ECAT", rb"MATRIX\d\d", f"{_TO_NIFTI}."),
    _kind("an XDF or Varian image", rb"#!/usr/local/fdf", f"{_TO_NIFTI}."),
    _kind("a mesh (VTK)", rb"# vtk DataFile", f"{_TO_NIFTI}; a mesh has no voxels."),
    _kind("a mesh (STL)", rb"solid ", f"{_TO_NIFTI}; a mesh has no voxels."),
    _kind("a mesh (PLY)", rb"ply\r?\n", f"{_TO_NIFTI}; a mesh has no voxels."),
    _kind("plain text", rb"[\t\n\r -~]+\Z", "Read it in an editor: it may be a server's answer instead of the scan."),
)


def foreign_format(head: bytes) -> ForeignFormat | None:
    """Return the unread format that a file begins as; None if it is none of them."""
    return next((kind for kind in _FOREIGN if kind.signature.match(head)), None)
