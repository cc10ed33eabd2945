"""Synthetic abdominal CT scans with their labels, for whoever has no data: drawn once from a seed, kept as NIfTI files.

The files of case k depend on the seed, k, the spacing and ``GENERATOR_VERSION`` only.
"""

import logging
from collections.abc import Generator
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
from aunet.data.phantom.anatomy import draw_anatomy
from aunet.data.phantom.contrast import draw_attenuation
from aunet.data.phantom.rendering import draw_scanner, render_image, render_label
from aunet.errors import UserError

GENERATOR_VERSION = 2
"""Raised whenever the same seed gives other files."""

SUPERSAMPLING = 2
"""Voxels of the anatomy per voxel of the image, along each axis."""

_log = logging.getLogger(__name__)
_Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Phantom:
    """Image (H, W, D) int16 in HU, label (H, W, D) uint8 in classes of ``PHANTOM_LABELS``, affine (4, 4) to RAS+ mm."""

    image: NDArray[np.int16]
    label: NDArray[np.uint8]
    affine: NDArray[np.float64]


def draw_phantom(seed: int, index: int, spacing: _Spacing) -> Phantom:
    """Draw phantom number ``index`` of a seed, on voxels of ``spacing`` mm."""
    patient, scan = np.random.SeedSequence((seed, index)).spawn(2)
    generator = np.random.default_rng(scan)
    along_i, along_j, along_k = (step / SUPERSAMPLING for step in spacing)
    anatomy = draw_anatomy(np.random.default_rng(patient), (along_i, along_j, along_k))
    attenuation, scanner = draw_attenuation(generator), draw_scanner(generator)
    image = render_image(anatomy.tissue, attenuation, scanner, spacing, SUPERSAMPLING, generator)
    affine = np.diag((*spacing, 1.0))
    affine[:3, 3] = anatomy.affine[:3, 3] + (np.array(spacing) - anatomy.affine.diagonal()[:3]) / 2
    return Phantom(image, render_label(anatomy.tissue, SUPERSAMPLING), affine)


def phantom_cases(
    folder: Path,
    num_cases: int,
    spacing: _Spacing,
    seed: int,
    processes: int | None = None,
    are_made: bool = True,
) -> tuple[Case, ...]:
    """Give the first ``num_cases`` phantoms of a seed; those not yet in ``folder`` are made, in parallel.

    Each image (int16, HU) and label (uint8) is one NIfTI file. ``processes``: how many work; all cores by default.
    With ``are_made`` false none are made: the cases name files that may not be there yet.
    Several programs may ask for the same phantoms at once: a file is there whole or not at all, whoever wrote it.
    """
    _check(num_cases, spacing)
    place = folder / f"v{GENERATOR_VERSION}_seed{seed}_{'x'.join(f'{step:g}' for step in spacing)}mm"
    cases = tuple(_case(place, index) for index in range(num_cases))
    missing = [index for index, case in enumerate(cases) if not _is_present(case)]
    if missing and are_made:
        _log.info("making %d phantoms in %s", len(missing), place)
        _write_all(place, missing, spacing, seed, processes or cpu_count() or 1)
    return cases


def _check(num_cases: int, spacing: _Spacing) -> None:
    if num_cases < 1:
        raise UserError(f"number of phantoms: {num_cases}; ask for at least 1.")
    if not all(1 <= step <= 16 for step in spacing):
        raise UserError(f"spacing of the phantoms: {list(spacing)} mm; each must lie in 1..16, for example 4.")


def _case(place: Path, index: int) -> Case:
    name = f"phantom_{index:04d}"
    return Case(name, (place / f"{name}_image.nii.gz",), place / f"{name}_label.nii.gz")


def _is_present(case: Case) -> bool:
    return all(path.is_file() for path in (*case.images, case.label) if path is not None)


def _write_all(place: Path, indices: list[int], spacing: _Spacing, seed: int, processes: int) -> None:
    with Progress(transient=True) as progress, _pool(min(processes, len(indices))) as pool:
        task = progress.add_task("phantoms", total=len(indices))
        for done in as_completed([pool.submit(_write, place, index, spacing, seed) for index in indices]):
            done.result()
            progress.advance(task)


@contextmanager
def _pool(processes: int) -> Generator[ProcessPoolExecutor]:
    """Fresh processes, as forked ones may hang on locks of vanished threads; on an error the rest is dropped."""
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _write(place: Path, index: int, spacing: _Spacing, seed: int) -> None:
    phantom, case = draw_phantom(seed, index, spacing), _case(place, index)
    for path, array in ((case.images[0], phantom.image), (case.label, phantom.label)):
        assert path is not None
        _save(path, array, phantom.affine)


def _save(path: Path, array: NDArray[np.int16] | NDArray[np.uint8], affine: NDArray[np.float64]) -> None:
    with replaced_atomically(path) as temporary:
        image = nib.Nifti1Image(array, affine)
        image.header.set_xyzt_units("mm")
        nib.save(image, temporary)
