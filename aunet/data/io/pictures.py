"""Pictures in two dimensions, PNG and TIFF, as volumes one voxel thick.

A picture has no place in a patient. Here, as in ITK, its columns run to the patient's left, its rows to the back, and
a pixel is 1 mm wide: reports show it upright, and a prediction is written back row by row.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aunet.errors import UserError
from aunet.files import replaced_atomically

PICTURE_SUFFIXES = (".png", ".tif", ".tiff", ".PNG", ".TIF", ".TIFF")
# From (row, column, 0) to RAS+ mm.
PICTURE_AFFINE = np.array([[0.0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])

_FORMATS = ("PNG", "TIFF")
_READ_ERRORS = (OSError, EOFError, ValueError, TypeError, SyntaxError)
_GREY_MODES = ("1", "L", "I", "F", "I;16", "I;16B", "I;16L")
_NUM_CHANNELS = {"RGB": 3, "RGBA": 3, "P": 3, "LA": 1, "PA": 3} | dict.fromkeys(_GREY_MODES, 1)


def is_picture(path: Path) -> bool:
    """Return whether the name is that of a PNG or TIFF file; hidden files are not."""
    return path.suffix in PICTURE_SUFFIXES and not path.name.startswith(".")


def picture_shape(path: Path) -> tuple[int, int, int]:
    """Return rows, columns and 1, from the header alone; errors as in ``read_picture``."""
    width, height = _read(path, lambda picture: picture.size)
    return height, width, 1


def num_picture_channels(path: Path) -> int:
    """Return 1 for grey, 3 for colour, from the header alone; errors as in ``read_picture``."""
    return _NUM_CHANNELS[_read(path, lambda picture: picture.mode)]


def read_picture(path: Path) -> list[NDArray[Any]]:
    """Read the channels of a picture, each (H, W, 1) as stored, with up to 16 bits or in floating point.

    An alpha channel that hides nothing is left out. Raises UserError if it hides pixels, for several pages, for colour
    of 16 bits, which reading would cut to 8, and for a file that is missing, damaged or of another kind.
    """
    array = _read(path, lambda picture: _pixels(picture, path))
    channels = np.moveaxis(array, 2, 0) if array.ndim == 3 else [array]
    return [np.ascontiguousarray(channel[..., None]) for channel in channels]


def read_picture_label(path: Path) -> NDArray[Any]:
    """Read the values (H, W, 1) of a label map, its indices if it has a palette; errors as in ``read_picture``."""
    array = _read(path, lambda picture: np.asarray(picture) if picture.mode == "P" else _pixels(picture, path))
    if array.ndim != 2:
        raise UserError(f"{path}: in colour; a label map has one number a pixel: save it as grey or with a palette.")
    return array.astype(np.uint8 if array.dtype == np.bool_ else array.dtype.newbyteorder("="))[..., None]


def write_picture_label(path: Path, array: NDArray[np.uint8], affine: NDArray[np.float64]) -> None:
    """Write a label map (H, W, 1) as a grey PNG of H rows whose values are the classes, in one step."""
    if path.suffix.lower() != ".png" or array.shape[2:] != (1,) or not np.array_equal(affine, PICTURE_AFFINE):
        raise UserError(
            f"{path}: a picture holds no place in a patient, and only PNG is written. End the name of a picture's label"
            " map in .png, that of a scan in .nii.gz or .nii."
        )
    with replaced_atomically(path) as temporary:
        Image.fromarray(array[..., 0]).save(temporary, format="PNG")


def _read(path: Path, take: Callable[[Image.Image], Any]) -> Any:
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the path of a picture (.png, .tif or .tiff).")
    try:
        with Image.open(path, formats=_FORMATS) as picture:
            _check_readable(picture, path)
            return take(picture)
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(
            f"{path}: its header tells of more pixels than a picture may have ({error}); copy it again if it is"
            " damaged, or cut it into tiles."
        ) from None
    except _READ_ERRORS as error:
        raise UserError(
            f"{path}: not a readable PNG or TIFF file ({error}); it may be damaged: copy it again."
        ) from None


def _check_readable(picture: Image.Image, path: Path) -> None:
    if getattr(picture, "n_frames", 1) > 1:
        raise UserError(
            f"{path}: holds several pages; a picture has one: save each as a file, or all as a NIfTI volume."
        )
    if picture.mode not in _NUM_CHANNELS:
        raise UserError(f"{path}: colours as {picture.mode}; a picture is grey or RGB: convert it.")
    if picture.mode not in _GREY_MODES and any(";16" in str(tile[3]) for tile in getattr(picture, "tile", ())):
        raise UserError(f"{path}: colour of 16 bits cannot be read whole; save each channel as a grey file, or 8 bits.")


def _pixels(picture: Image.Image, path: Path) -> NDArray[Any]:
    """Return (H, W) of a grey picture, (H, W, 3) of one in colour, a palette's colours included."""
    if picture.mode in ("LA", "PA", "RGBA") or (picture.mode == "P" and "transparency" in picture.info):
        if picture.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            raise UserError(f"{path}: its alpha channel hides pixels, so their values are open; save it without alpha.")
        return np.asarray(picture.convert("L" if picture.mode == "LA" else "RGB"))
    return np.asarray(picture.convert("RGB") if picture.mode == "P" else picture)
