"""Files of coefficients in 8 bits: those of a case at one epoch, all gated levels in one ``.npz``."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aunet.errors import UserError
from aunet.files import replaced_atomically
from aunet.inference.coefficients import LevelCoefficients

STEPS = 255


def write_coefficients(path: Path, levels: Sequence[LevelCoefficients]) -> None:
    """Write the coefficients, rounded to 1/255 of each map's largest value."""
    with replaced_atomically(path) as temporary, temporary.open("wb") as file:
        arrays = {name: array for level in levels for name, array in _compact(level).items()}
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_coefficients(path: Path) -> list[LevelCoefficients]:
    """Read what ``write_coefficients`` wrote, finest level first; raise UserError if the file is damaged."""
    with refusing_damage(path):
        arrays = read_arrays(path)
        numbers = sorted(int(name.removeprefix("level_")) for name in arrays if name.startswith("level_"))
        return [_expanded(level, arrays) for level in numbers]


def read_arrays(path: Path) -> dict[str, NDArray[np.floating | np.uint8]]:
    """Return the arrays of an ``.npz`` file by name; use it within ``refusing_damage``."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


@contextmanager
def refusing_damage(path: Path) -> Generator[None]:
    """Raise UserError for whatever reading the ``.npz`` file at ``path`` raises."""
    try:
        yield
    # Damaged archives end in errors of any kind: of zipfile, zlib, the parser of array headers, or missing names.
    except Exception as error:  # noqa: BLE001
        reason = str(error) or type(error).__name__
        raise UserError(f"{path}: not readable ({reason}). Restore the file, or delete it: it is only shown.") from None


def in_steps(values: NDArray[np.floating]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return maps (maps, h, w, d) in steps of 1/255 of each one's largest value, and these values (maps, 1, 1, 1)."""
    largest = values.max(axis=(1, 2, 3), keepdims=True)
    steps = np.rint(values * (STEPS / np.where(largest > 0, largest, 1.0)))
    return steps.astype(np.uint8), largest.astype(np.float32)


def _compact(level: LevelCoefficients) -> dict[str, NDArray[np.floating | np.uint8]]:
    steps, largest = in_steps(level.values)
    return {
        f"level_{level.level}": steps,
        f"largest_{level.level}": largest,
        f"cell_size_{level.level}": np.array(level.cell_size, dtype=np.float64),
        f"offset_{level.level}": np.array(level.offset, dtype=np.float64),
    }


def _expanded(level: int, arrays: Mapping[str, NDArray[np.floating | np.uint8]]) -> LevelCoefficients:
    steps, largest = arrays[f"level_{level}"], arrays[f"largest_{level}"]
    if steps.ndim != 4 or largest.shape != (len(steps), 1, 1, 1):
        raise ValueError(f"level {level} holds arrays of shape {steps.shape} and {largest.shape}")
    values = steps * (largest / STEPS)
    cell_size, offset = _triple(arrays[f"cell_size_{level}"]), _triple(arrays[f"offset_{level}"])
    return LevelCoefficients(level, values.astype(np.float32), cell_size, offset)


def _triple(array: NDArray[np.floating | np.uint8]) -> tuple[float, float, float]:
    first, second, third = array.tolist()
    return first, second, third
