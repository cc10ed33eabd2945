"""Drawn phantoms as NIfTI files: an image (int16, HU) and a label (uint8) each, made in parallel, once.

Several programs may request the same phantoms at once: each is drawn once, and a file appears whole or not at all.
"""

import gc
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from aunet.data.cohort.case import Case
from aunet.data.sources.phantom.space import FIELD_OF_VIEW
from aunet.errors import UserError
from aunet.files import held_alone, remove_remainders, replaced_atomically
from aunet.machine import count_cores, end_with_parent, memory_bytes
from aunet.terminal import shown

SUPERSAMPLING = 2
"""Voxels of the anatomy per voxel of the image, along each axis."""

_BYTES_OF_PROCESS, _BYTES_OF_VOXEL = 130e6, 40.0
"""Most memory of a process that draws: of itself, and for each voxel of the anatomy; measured at 2, 4 and 5 mm."""

_SHARE_OF_MEMORY = 0.5
Spacing = tuple[float, float, float]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Phantom:
    """Image (H, W, D) int16 in HU, label (H, W, D) uint8 in classes of ``PHANTOM_LABELS``, affine (4, 4) to RAS+ mm.

    ``remark`` is a note to the user on how it was made, mostly empty.
    """

    image: NDArray[np.int16]
    label: NDArray[np.uint8]
    affine: NDArray[np.float64]
    remark: str = ""


def phantom_case(place: Path, case_id: str, stem: str) -> Case:
    """Return the case whose files are called ``stem`` in the folder ``place``."""
    return Case(case_id, (place / f"{stem}_image.nii.gz",), place / f"{stem}_label.nii.gz")


Draw = Callable[[], Phantom]


def write_missing(
    draws: Sequence[tuple[Case, Draw]], spacing: Spacing, processes: int | None = None
) -> tuple[Case, ...]:
    """Draw and write the cases whose files are not there yet, and return all.

    Args:
        draws: each case with the function that draws it.
        spacing: their voxel size in mm.
        processes: how many draw at once; by default a process for each core, as far as half of the memory allows.
    """
    missing = [(case, draw) for case, draw in draws if not _is_present(case)]
    if missing:
        _write_all(missing, min(processes or num_processes(spacing), len(missing)))
    return tuple(case for case, _ in draws)


def num_processes(spacing: Spacing) -> int:
    """Return how many phantoms of ``spacing`` mm to draw at once: all cores, within half of the memory."""
    memory = memory_bytes() * _SHARE_OF_MEMORY
    voxels = float(np.prod(FIELD_OF_VIEW) / np.prod(spacing)) * SUPERSAMPLING**3
    fitting = int(memory // (_BYTES_OF_PROCESS + _BYTES_OF_VOXEL * voxels))
    return max(1, min(count_cores(), fitting))


def image_affine(anatomy_affine: NDArray[np.float64], spacing: Spacing) -> NDArray[np.float64]:
    """Return the affine (4, 4) of an image of ``spacing`` mm, from that of the finer anatomy that it averages."""
    affine = np.diag((*spacing, 1.0))
    affine[:3, 3] = anatomy_affine[:3, 3] + (np.array(spacing) - anatomy_affine.diagonal()[:3]) / 2
    return affine


def check_spacing(spacing: Spacing) -> None:
    """Raise UserError for voxels that are too small to draw or too large to show organs."""
    if not all(1 <= step <= 16 for step in spacing):
        raise UserError(f"spacing of the phantoms: {list(spacing)} mm; each must lie in 1..16, for example 4.")


def _is_present(case: Case) -> bool:
    return all(path.is_file() for path in (*case.images, case.label) if path is not None)


def _write_all(missing: Sequence[tuple[Case, Draw]], processes: int) -> None:
    folder, start = missing[0][0].images[0].parent, time.monotonic()
    _log.info("Drawing %d phantoms, %d at a time, in %s", len(missing), processes, folder)
    for remark in shown(_remarks(missing, processes), "Drawing phantoms", len(missing)):
        if remark:
            _log.warning("%s", remark)
    _log.info("Drew %d phantoms in %.0f s", len(missing), time.monotonic() - start)


def _remarks(missing: Sequence[tuple[Case, Draw]], processes: int) -> Iterator[str]:
    """Write each case, in this process or in several others, and yield its remark; on an error the rest is dropped.

    The processes are fresh ones, as forked ones may hang on locks of vanished threads.
    """
    if processes == 1:
        yield from (_write(case, draw) for case, draw in missing)
        return
    pool = ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_prepare_process, initargs=(os.getpid(),)
    )
    try:
        yield from (done.result() for done in as_completed([pool.submit(_write, *which) for which in missing]))
    except BrokenProcessPool:
        raise UserError(
            f"{missing[0][0].images[0].parent}: the system killed a process that draws phantoms, mostly for lack of"
            " memory. Close other programs and start again: the phantoms that are drawn are kept."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare_process(parent: int) -> None:
    """End with the parent, for whose next phantom this process would wait forever if it was killed.

    The objects of the imported modules are never searched for garbage, which would take 3 % of the time.
    """
    end_with_parent(parent)
    gc.freeze()


def _write(case: Case, draw: Draw) -> str:
    image, label = case.images[0], case.label
    assert label is not None
    with held_alone(image.parent / ".locks" / case.case_id):
        if _is_present(case):  # another program drew it meanwhile
            return ""
        remove_remainders(image, label)
        phantom = draw()
        _save(image, phantom.image, phantom.affine)
        _save(label, phantom.label, phantom.affine)
    return phantom.remark


def _save(path: Path, array: NDArray[np.int16] | NDArray[np.uint8], affine: NDArray[np.float64]) -> None:
    with replaced_atomically(path) as temporary:
        image = nib.Nifti1Image(array, affine)
        image.header.set_xyzt_units("mm")
        nib.save(image, temporary)
