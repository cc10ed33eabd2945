"""NRRD (.nrrd, .nhdr) and MetaImage (.mha, .mhd), read and written by SimpleITK, an optional package."""

import errno
import logging
import os
import re
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path, PureWindowsPath
from types import ModuleType
from typing import Any

import numpy as np

from aunet.data.io.format import Format, StoredVoxels
from aunet.data.io.grid import Affine, Shape, Voxels
from aunet.data.io.itk_header import check_all_read, check_compression, check_header, header_remarks, header_text
from aunet.errors import MissingPackageError, UserError
from aunet.files import replaced_atomically

_logger = logging.getLogger(__name__)

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_LARGEST_SIDE = 1000.0  # mm of a voxel
# Deflate packs at most 1032 bytes into one, bzip2, which NRRD may use, many more of a constant volume.
_LARGEST_COMPRESSION = 50_000
# Where a header in text names the file with the voxels, and its unit of length.
_DATA_FILE = re.compile(rb"^(?:data ?file|ElementDataFile)\s*[:=]\s*(.+?)\s*$", re.MULTILINE | re.IGNORECASE)
_UNIT = re.compile(rb"^(?:space units|DistanceUnits)\s*[:=]\s*(.+?)\s*$", re.MULTILINE | re.IGNORECASE)
_MM_OF_UNIT = {
    **dict.fromkeys(("mm", "millimeter", "millimetre", "millimeters", ""), 1.0),
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometer", "micrometre"), 0.001),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 10.0),
    **dict.fromkeys(("m", "meter", "metre"), 1000.0),
}
# SimpleITK turns RAS and LAS to LPS; with any other space of NRRD, also RAST and LAST, it leaves the axes as they are.
_SPACE = re.compile(rb"^space:\s*(.+?)\s*$", re.MULTILINE | re.IGNORECASE)
_KNOWN_SPACES = (
    *("lps", "left-posterior-superior", "lpst", "left-posterior-superior-time"),
    *("ras", "right-anterior-superior", "las", "left-anterior-superior"),
)
_TRANSFORM = re.compile(rb"^(?:TransformMatrix|Rotation|Orientation)\s*=", re.MULTILINE)
# 3D Slicer may cut the empty margins off a segmentation.
_SEGMENTS = re.compile(rb"^Segment\d+_", re.MULTILINE)
_INSIDE = ("local", "")
_LONGEST_NAME = 255  # bytes, of file systems; looking for a longer one fails


def check_installed(subject: str) -> None:
    """Raise MissingPackageError about ``subject`` if the package that reads and writes these formats is missing."""
    if find_spec("SimpleITK") is None:
        raise MissingPackageError(subject, "NRRD and MetaImage need SimpleITK: pip install 'aunet[itk]'.")


def _imported(path: Path) -> ModuleType:
    check_installed(str(path))
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    return SimpleITK


def _files(path: Path) -> list[Path]:
    """Return the header and the file with the voxels that it names; raise UserError if that lies elsewhere."""
    match = _DATA_FILE.search(header_text(path)) if path.is_file() else None
    name = match[1].decode(errors="replace").removeprefix("./") if match else ""
    if name.lower() in _INSIDE:
        return [path]
    if name.upper().startswith("LIST") or "%" in name or PureWindowsPath(name).name != name:
        raise UserError(
            f"{path}: its voxels are in {name!r}; only a single file in the same folder is read. If it lies beside the"
            " header, write its name there without a folder; else save the scan as one file (.nrrd or .mha)."
        )
    if len(name.encode()) > _LONGEST_NAME or not path.with_name(name).is_file():
        raise UserError(f"{path}: its voxels are in {name}, which is not there. Put it beside the header.")
    return [path, path.with_name(name)]


def _reader(path: Path, image_io: str) -> tuple[Any, Shape, Affine]:
    """Return a reader whose header is read, the shape (H, W, D) and the affine to RAS+ mm."""
    itk, files = _imported(path), _files(path)
    check_header(path)
    reader = itk.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise UserError(f"{path}: {_unreadable(image_io, error)}") from None
    size, num_axes = reader.GetSize(), reader.GetDimension()
    if num_axes < 3 or min(size) < 1:
        raise UserError(f"{path}: shape {tuple(size)}; a volume of three axes is needed: export the scan again.")
    num_bytes = sum(file.stat().st_size for file in files)
    if int(np.prod(size, dtype=object)) > num_bytes * _LARGEST_COMPRESSION:
        raise UserError(
            f"{path}: its header describes {'×'.join(map(str, size))} voxels, more than its"
            f" {num_bytes:,} bytes can hold; it is truncated or damaged: copy it again."
        )
    return reader, (size[0], size[1], size[2]), _affine(reader, num_axes, path)


def _affine(reader: Any, num_axes: int, path: Path) -> Affine:
    direction = np.array(reader.GetDirection()).reshape(num_axes, num_axes)[:3, :3]
    lps = np.eye(4)
    lps[:3, :3] = direction * np.array(reader.GetSpacing()[:3])
    lps[:3, 3] = reader.GetOrigin()[:3]
    affine = _LPS_TO_RAS @ lps
    affine[:3] *= _mm_of_unit(path)
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or not sides.all() or abs(np.linalg.det(affine[:3, :3] / sides)) < 1e-6:
        raise UserError(f"{path}: its affine {affine.tolist()} has no inverse or is not finite; export the scan again.")
    if sides.max() > _LARGEST_SIDE:
        raise UserError(f"{path}: its voxels are {sides.max():g} mm wide, more than any scanner's; repair its unit.")
    return affine


def _mm_of_unit(path: Path) -> float:
    match = _UNIT.search(header_text(path))
    words = (
        {word.strip(" \"'").lower() for word in re.split(r"\s+", match[1].decode(errors="replace"))} if match else {""}
    )
    factors = {_MM_OF_UNIT.get(word) for word in words}
    factor = factors.pop()
    if factors or factor is None:
        raise UserError(
            f"{path}: its unit of length is {', '.join(sorted(words))}; mm, cm, m and um are known, one for all axes."
            " Correct 'space units' (NRRD) or 'DistanceUnits' (MetaImage) in its header."
        )
    return factor


def _orientation_remark(path: Path) -> str | None:
    """Return a sentence if the header leaves open where the axes point in the patient, with what is assumed."""
    header = header_text(path)
    if not header.startswith(b"NRRD"):
        return None if _TRANSFORM.search(header) else "TransformMatrix is not set; its axes are taken as LPS, a guess."
    match = _SPACE.search(header)
    space = match[1].decode(errors="replace") if match else None
    if space is None:
        return "its header has no space; its axes are taken as LPS (left-posterior-superior), a guess."
    if space.lower() not in _KNOWN_SPACES:
        return f"its space is {space}, not one of a patient (LPS, RAS or LAS); its axes are taken as LPS, a guess."
    return None


def _unreadable(image_io: str, error: RuntimeError) -> str:
    reason = str(error).strip().splitlines()[-1]
    if "FieldCheck" in reason:  # NrrdIO's checks of the header's fields against each other
        return f"its header contradicts itself ({reason}). Correct it, or export the scan again."
    return f"not a readable {image_io.removesuffix('ImageIO')} file ({reason}); it may be truncated: copy it again."


def _read(path: Path, image_io: str) -> StoredVoxels:
    reader, shape, affine = _reader(path, image_io)
    check_compression(path, _files(path)[-1])
    try:
        image = reader.Execute()
        array: Voxels = _imported(path).GetArrayFromImage(image)
    except RuntimeError as error:
        raise UserError(f"{path}: {_unreadable(image_io, error)}") from None
    check_all_read(path, _files(path)[-1], array.nbytes)
    for remark in (_orientation_remark(path), *header_remarks(path)):
        if remark:
            _logger.warning("%s: %s", path, remark)
    # SimpleITK returns (time, D, W, H, component); components and times are channels alike.
    stored = array.reshape(-1, *shape[::-1], max(1, image.GetNumberOfComponentsPerPixel()))
    channels = tuple(one[..., part].transpose(2, 1, 0) for one in stored for part in range(stored.shape[-1]))
    return StoredVoxels(channels, affine, is_sparse=_SEGMENTS.search(header_text(path)) is not None)


def _write(path: Path, array: Voxels, affine: Affine) -> None:
    itk = _imported(path)
    lps = _LPS_TO_RAS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = itk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    with replaced_atomically(path) as temporary:
        try:
            itk.WriteImage(image, str(temporary), useCompression=True)
        except RuntimeError as error:
            if shutil.disk_usage(path.parent).free < array.nbytes:  # which ITK does not always say
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from None
            raise UserError(f"{path}: cannot be written ({str(error).strip().splitlines()[-1]}).") from None


def _read_with(image_io: str) -> Callable[[Path], StoredVoxels]:
    return lambda path: _read(path, image_io)


def _grid_with(image_io: str) -> Callable[[Path], tuple[Shape, Affine]]:
    return lambda path: _reader(path, image_io)[1:]


NRRD = Format(
    name="NRRD",
    suffixes=(".nrrd", ".nhdr"),
    recognises=lambda head: head[:6] == b"NRRD00",
    read_grid=_grid_with("NrrdImageIO"),
    read_image=_read_with("NrrdImageIO"),
    read_label=_read_with("NrrdImageIO"),
    label_suffix=".nrrd",
    write_label=_write,
    write_image=_write,
    files=_files,
)
META_IMAGE = Format(
    name="MetaImage",
    suffixes=(".mha", ".mhd"),
    recognises=lambda head: re.match(rb"\s*(ObjectType|NDims)\s*=", head) is not None,
    read_grid=_grid_with("MetaImageIO"),
    read_image=_read_with("MetaImageIO"),
    read_label=_read_with("MetaImageIO"),
    label_suffix=".mha",
    write_label=_write,
    write_image=_write,
    files=_files,
)
