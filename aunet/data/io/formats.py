"""The registry of file formats: which one a file has, by its content first and then by its name."""

import gzip
import zlib
from pathlib import Path

from aunet.data.io.dicom_files import is_folder_of_files
from aunet.data.io.dicom_format import DICOM
from aunet.data.io.foreign import foreign_format
from aunet.data.io.format import Format
from aunet.data.io.itk_images import META_IMAGE, NRRD
from aunet.data.io.nifti import NIFTI, header_of
from aunet.data.io.pictures import PICTURE, picture_suffix
from aunet.errors import UserError

FORMATS = (NIFTI, NRRD, META_IMAGE, DICOM, PICTURE)
"""Every format that can be read; those that may lie beside previews of themselves come first."""

VOLUME_SUFFIXES = tuple(suffix for kind in FORMATS if not kind.is_flat for suffix in kind.suffixes)
SUFFIXES = tuple(suffix for kind in FORMATS for suffix in kind.suffixes)
READABLE = "NIfTI (.nii.gz, .nii, .hdr), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd), DICOM, PNG, TIFF or JPEG"

_HEAD_BYTES = 1024
_HEADERS = (".hdr", ".mhd", ".nhdr")
_COMPRESSED_VOXELS = ".img.gz"  # of a pair, which is listed by its header
_GZIP = b"\x1f\x8b"


def format_of(path: Path) -> Format:
    """Return the format of a scan or label map, which may be a folder of DICOM.

    Raises:
        UserError: if the path does not exist, if the file begins as one format and is named as another, or if it is of
            a format that is not read.
    """
    if is_folder_of_files(path):
        return DICOM
    if not path.is_file():
        raise UserError(f"{path}: no such file or folder; give {READABLE}, or a folder of DICOM.")
    path = header_of(path)
    named, head = format_of_name(path), _head(path)
    if head == b"":
        raise UserError(f"{path}: an empty file. Copy or export it again.")
    head = head or b""
    if found := next((kind for kind in FORMATS if kind.recognises(head)), None):
        if named not in (None, found):
            assert named is not None
            raise UserError(
                f"{path}: begins as {found.name} and is named as {named.name}. Rename it so that it ends in"
                f" {picture_suffix(head) or found.suffixes[0]}."
            )
        return found
    if foreign := foreign_format(head):
        raise UserError(f"{path}: it is {foreign.name}, which is not read here. {foreign.remedy}")
    if named is None:
        if header := next((other for ending in _HEADERS if (other := path.with_suffix(ending)).is_file()), None):
            raise UserError(f"{path}: the voxels of {header.name}, without their header; give {header.name}.")
        raise UserError(f"{path}: of no known format; give {READABLE}.")
    return named


def format_of_name(path: Path) -> Format | None:
    """Return the format that the name of a file ends as; None if it ends as none, or if the file is hidden."""
    return None if path.name.startswith(".") else next((kind for kind in FORMATS if kind.fits(path)), None)


def is_scan(path: Path) -> bool:
    """Return whether the name is that of a file of a volume, not of a picture; hidden files are not."""
    named = format_of_name(path)
    return named is not None and not named.is_flat


def stem(path: Path) -> str:
    """Return the file name without its suffix: ``scan.nii.gz`` -> ``scan``, ``scan.NRRD`` -> ``scan``."""
    known = (*SUFFIXES, _COMPRESSED_VOXELS)
    length = max((len(suffix) for suffix in known if path.name.lower().endswith(suffix)), default=len(path.suffix))
    return path.name[: len(path.name) - length]


def header_of_scan(path: Path) -> Path:
    """Return the header beside ``path`` if that is the file of its voxels (.img, .raw); else ``path``."""
    if path.suffix and format_of_name(path) is None and path.is_file():
        base = path.name.removesuffix(".gz").rpartition(".")[0]
        for header in (path.with_name(base + ending) for ending in _HEADERS):
            if header.is_file() and _is_of(path, header):
                return header
    return header_of(path)


def _is_of(voxels: Path, header: Path) -> bool:
    try:
        return voxels in files_of(header)
    except UserError:
        return False


def files_of(path: Path) -> list[Path]:
    """Return every file that a scan or label map is read from: more than one for a folder and a detached header."""
    kind = DICOM if is_folder_of_files(path) else format_of_name(header_of(path))
    return kind.files(path) if kind else [path]


def _head(path: Path) -> bytes | None:
    """Return the first bytes, unpacked if the file is compressed by gzip; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if not head.startswith(_GZIP):
            return head
        with gzip.open(path) as stream:
            return stream.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error):
        return None
