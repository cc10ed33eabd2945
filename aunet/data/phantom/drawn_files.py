"""Drawn phantoms as NIfTI files: an image (int16, HU) and a label (uint8) each, made in parallel, once.

Several programs may ask for the same phantoms at once: a file is there whole or not at all, whoever wrote it.
"""

import logging
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from aunet.atomic_files import replaced_atomically
from aunet.data.case import Case
from aunet.errors import UserError

SUPERSAMPLING = 2
"""Voxels of the anatomy per voxel of the image, along each axis."""

Spacing = tuple[float, float, float]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Phantom:
    """Image (H, W, D) int16 in HU, label (H, W, D) uint8 in classes of ``PHANTOM_LABELS``, affine (4, 4) to RAS+ mm.

    ``remark`` is what the user should know about how it was made; mostly nothing.
    """

    image: NDArray[np.int16]
    label: NDArray[np.uint8]
    affine: NDArray[np.float64]
    remark: str = ""


def phantom_case(place: Path, case_id: str, stem: str) -> Case:
    """The case whose files are called ``stem`` in the folder ``place``."""
    return Case(case_id, (place / f"{stem}_image.nii.gz",), place / f"{stem}_label.nii.gz")


Draw = Callable[[], Phantom]


def write_missing(draws: Sequence[tuple[Case, Draw]], processes: int | None) -> tuple[Case, ...]:
    """Draw and write the cases whose files are not there yet, in ``processes`` (by default all cores); give all."""
    missing = [(case, draw) for case, draw in draws if not _is_present(case)]
    if missing:
        _write_all(missing, processes or cpu_count() or 1)
    return tuple(case for case, _ in draws)


def image_affine(anatomy_affine: NDArray[np.float64], spacing: Spacing) -> NDArray[np.float64]:
    """Affine (4, 4) of an image of ``spacing`` mm, from that of the finer anatomy it is averaged of."""
    affine = np.diag((*spacing, 1.0))
    affine[:3, 3] = anatomy_affine[:3, 3] + (np.array(spacing) - anatomy_affine.diagonal()[:3]) / 2
    return affine


def check_spacing(spacing: Spacing) -> None:
    """Raise UserError for voxels that are too small to draw or too large to tell organs."""
    if not all(1 <= step <= 16 for step in spacing):
        raise UserError(f"spacing of the phantoms: {list(spacing)} mm; each must lie in 1..16, for example 4.")


def _is_present(case: Case) -> bool:
    return all(path.is_file() for path in (*case.images, case.label) if path is not None)


def _write_all(missing: Sequence[tuple[Case, Draw]], processes: int) -> None:
    _log.info("making %d phantoms in %s", len(missing), missing[0][0].images[0].parent)
    with Progress(transient=True) as progress, _pool(min(processes, len(missing))) as pool:
        task = progress.add_task("phantoms", total=len(missing))
        for done in as_completed([pool.submit(_write, case, draw) for case, draw in missing]):
            if remark := done.result():
                _log.warning("%s", remark)
            progress.advance(task)


@contextmanager
def _pool(processes: int) -> Generator[ProcessPoolExecutor]:
    """Fresh processes, as forked ones may hang on locks of vanished threads; on an error the rest is dropped."""
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _write(case: Case, draw: Draw) -> str:
    phantom = draw()
    for path, array in ((case.images[0], phantom.image), (case.label, phantom.label)):
        assert path is not None
        _save(path, array, phantom.affine)
    return phantom.remark


def _save(path: Path, array: NDArray[np.int16] | NDArray[np.uint8], affine: NDArray[np.float64]) -> None:
    with replaced_atomically(path) as temporary:
        image = nib.Nifti1Image(array, affine)
        image.header.set_xyzt_units("mm")
        nib.save(image, temporary)
