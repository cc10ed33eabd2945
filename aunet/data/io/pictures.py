"""Pictures in two dimensions, PNG, TIFF and JPEG, as volumes one voxel thick.

A picture has no place in a patient. Here, as in ITK, its columns run to the patient's left, its rows to the back, and
a pixel is 1 mm wide: reports show it upright, and a prediction is written back row by row.
"""

import io
import logging
import os
import struct
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

from aunet.data.io.format import Format, StoredVoxels
from aunet.data.io.grid import Affine, Shape, Voxels
from aunet.errors import UserError
from aunet.files import replaced_atomically

_logger = logging.getLogger(__name__)
T = TypeVar("T")

PICTURE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
# From (row, column, 0) to RAS+ mm.
PICTURE_AFFINE = np.array([[0.0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])

_FORMATS = ("PNG", "TIFF", "JPEG")
# First bytes -> suffix; TIFF in either byte order, beyond 4 GB its larger variant.
_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": ".png",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"II+\0": ".tif",
    b"MM\0+": ".tif",
    b"\xff\xd8\xff": ".jpg",
}
# Markers of a JPEG that begin its frame; the byte behind the length is the number of bits of a pixel.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Pixels of one byte: deflate packs 1032 bytes of 8 black or white pixels into one, TIFF's bilevel codes more.
_LARGEST_COMPRESSION = {"PNG": 8 * 1032, "TIFF": 50_000, "JPEG": 50_000}
_READ_ERRORS = (OSError, EOFError, ValueError, TypeError, SyntaxError)
_UPRIGHT = 1
_GREY_MODES = ("1", "L", "I", "F", "I;16", "I;16B", "I;16L")
_NUM_CHANNELS = {"RGB": 3, "RGBA": 3, "P": 3, "LA": 1, "PA": 3} | dict.fromkeys(_GREY_MODES, 1)


def is_picture(path: Path) -> bool:
    """Return whether the name is that of a PNG, TIFF or JPEG file; hidden files are not."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")


def picture_suffix(head: bytes) -> str:
    """Return the suffix that a picture with these first bytes should have; an empty one for other files."""
    return next((suffix for signature, suffix in _SIGNATURES.items() if head.startswith(signature)), "")


def picture_shape(path: Path) -> tuple[int, int, int]:
    """Return rows, columns and 1, from the header alone; errors as in ``read_picture``."""
    width, height = _read(path, lambda picture: picture.size)
    return height, width, 1


def num_picture_channels(path: Path) -> int:
    """Return 1 for grey, 3 for colour, from the header alone; errors as in ``read_picture``."""
    return _NUM_CHANNELS[_read(path, lambda picture: picture.mode)]


def read_picture(path: Path) -> list[Voxels]:
    """Read the channels of a picture, each (H, W, 1) as stored, with up to 16 bits or in floating point.

    An alpha channel that hides nothing is left out. Raises UserError if it hides pixels, for several pages, for colour
    of 16 bits, which reading would cut to 8, and for a file that is missing, damaged or of another kind.
    """
    array = _read(path, lambda picture: _as_stored(picture, path, _pixels(picture, path)))
    channels = np.moveaxis(array, 2, 0) if array.ndim == 3 else [array]
    return [np.ascontiguousarray(channel[..., None]) for channel in channels]


def read_picture_label(path: Path) -> Voxels:
    """Read the values (H, W, 1) of a label map, its indices if it has a palette; errors as in ``read_picture``."""

    def take(picture: Image.Image) -> Voxels:
        return _as_stored(picture, path, np.asarray(picture) if picture.mode == "P" else _pixels(picture, path))

    array = _read(path, take)
    if array.ndim != 2:
        raise UserError(f"{path}: in colour; a label map has one number a pixel: save it as grey or with a palette.")
    return array.astype(np.uint8 if array.dtype == np.bool_ else array.dtype.newbyteorder("="))[..., None]


def write_picture_label(path: Path, array: NDArray[np.uint8], affine: NDArray[np.float64]) -> None:
    """Write a label map (H, W, 1) as a grey PNG of H rows whose values are the classes, in one step."""
    if path.suffix.lower() != ".png" or array.shape[2:] != (1,) or not np.array_equal(affine, PICTURE_AFFINE):
        raise UserError(
            f"{path}: a picture holds no place in a patient, and only PNG is written. End the name of a picture's label"
            " map in .png, that of a scan in .nii.gz, .nii, .nrrd or .mha."
        )
    with replaced_atomically(path) as temporary:
        Image.fromarray(array[..., 0]).save(temporary, format="PNG")


class _BoundedFile(io.BufferedReader):
    """A file that reads no more bytes than are left of it, as Python reserves memory for all that are asked for.

    Pillow asks for as many as the header of a part says, 2 GB in a damaged file.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """Return ``size`` bytes, all that are left if it is negative or None, or fewer at the end of the file."""
        if size is None or size < 0:
            return super().read()
        return super().read(min(size, max(0, os.fstat(self.fileno()).st_size - self.tell())))


def _read(path: Path, take: Callable[[Image.Image], T]) -> T:
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the path of a picture (.png, .tif, .tiff or .jpg).")
    try:
        with _BoundedFile(path.open("rb", buffering=0)) as file, Image.open(file, formats=_FORMATS) as picture:
            _check_readable(picture, path)
            _check_size(picture, path)
            return take(picture)
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(
            f"{path}: its header describes more pixels than a picture may have ({error}); copy it again if it is"
            " damaged, or cut it into tiles."
        ) from None
    except _READ_ERRORS as error:
        if (bits := _jpeg_bits(path)) not in (0, 8):
            raise UserError(f"{path}: a JPEG of {bits} bits cannot be read; convert it to PNG or TIFF.") from None
        raise UserError(
            f"{path}: not a readable PNG, TIFF or JPEG file ({error}); it may be damaged: copy it again."
        ) from None


def _jpeg_bits(path: Path) -> int:
    """Return the bits of a pixel by the header of a JPEG file, which Pillow does not name; 0 for another file."""
    try:
        with path.open("rb") as file:
            is_jpeg = file.read(2) == b"\xff\xd8"
            while is_jpeg and len(segment := file.read(5)) == 5 and segment[0] == 0xFF:
                if segment[1] in _JPEG_FRAMES:
                    return segment[4]
                file.seek(int.from_bytes(segment[2:4], "big") - 3, 1)
    except OSError:
        return 0
    return 0


def _check_readable(picture: Image.Image, path: Path) -> None:
    if _num_pages(picture) > 1:
        raise UserError(
            f"{path}: holds several pages; a picture has one: save each as a file, or all as a NIfTI volume."
        )
    if picture.format == "TIFF" and _orientation(picture) != _UPRIGHT:
        raise UserError(
            f"{path}: its mark of orientation is {_orientation(picture)}, so some programs turn it and others do not."
            " Save it upright and without the mark: mogrify -auto-orient."
        )
    if picture.mode not in _NUM_CHANNELS:
        raise UserError(f"{path}: colours as {picture.mode}; a picture is grey or RGB: convert it.")
    if picture.mode not in _GREY_MODES and any(";16" in str(tile[3]) for tile in _tiles(picture)):
        raise UserError(f"{path}: colour of 16 bits cannot be read whole; save each channel as a grey file, or 8 bits.")


def _check_size(picture: Image.Image, path: Path) -> None:
    """Raise UserError before memory is reserved for more pixels than the file can hold, however well it is packed."""
    num_bytes, (width, height) = path.stat().st_size, picture.size
    if width * height > num_bytes * _LARGEST_COMPRESSION[picture.format or "TIFF"]:
        raise UserError(
            f"{path}: its header describes {width}×{height} pixels, more than its {num_bytes:,} bytes can hold; it is"
            " truncated or damaged: copy it again."
        )


def _pixels(picture: Image.Image, path: Path) -> Voxels:
    """Return (H, W) of a grey picture, (H, W, 3) of one in colour, a palette's colours included."""
    if picture.mode in ("LA", "PA", "RGBA") or (picture.mode == "P" and "transparency" in picture.info):
        if picture.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            raise UserError(f"{path}: its alpha channel hides pixels, so their values are open; save it without alpha.")
        return np.asarray(picture.convert("L" if picture.mode == "LA" else "RGB"))
    return np.asarray(picture.convert("RGB") if picture.mode == "P" else picture)


def _orientation(picture: Image.Image) -> int:
    """Return the mark by which viewers turn a picture; 1 (upright) if it has none or a damaged one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            mark: object = picture.getexif().get(ExifTags.Base.Orientation)
        except (*_READ_ERRORS, KeyError, struct.error):
            return _UPRIGHT
    return mark if isinstance(mark, int) and 1 <= mark <= 8 else _UPRIGHT


def _as_stored(picture: Image.Image, path: Path, array: Voxels) -> Voxels:
    """Return ``array``, with a warning if viewers show the picture turned."""
    if (mark := _orientation(picture)) != _UPRIGHT:
        _logger.warning(
            "%s: viewers turn it by its mark of orientation (EXIF: %d); rows and columns are read as stored. Its label"
            " map must be stored alike.",
            path,
            mark,
        )
    return array


def _num_pages(picture: Image.Image) -> int:
    pages = vars(type(picture)).get("n_frames")
    return int(pages.fget(picture)) if isinstance(pages, property) and pages.fget else 1


def _tiles(picture: Image.Image) -> Sequence[tuple[object, ...]]:
    return picture.tile if isinstance(picture, ImageFile.ImageFile) else []


def _grid(path: Path) -> tuple[Shape, Affine]:
    return picture_shape(path), PICTURE_AFFINE


def _image(path: Path) -> StoredVoxels:
    return StoredVoxels(tuple(channel.astype(np.float32) for channel in read_picture(path)), PICTURE_AFFINE)


def _label(path: Path) -> StoredVoxels:
    return StoredVoxels((read_picture_label(path),), PICTURE_AFFINE)


PICTURE = Format(
    name="PNG, TIFF or JPEG",
    suffixes=PICTURE_SUFFIXES,
    recognises=lambda head: bool(picture_suffix(head)),
    read_grid=_grid,
    read_image=_image,
    read_label=_label,
    label_suffix=".png",
    write_label=write_picture_label,
    is_flat=True,
)
