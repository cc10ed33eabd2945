"""Synthetic abdominal CT scans with labels, for users without data: drawn once from a seed, kept as NIfTI files.

The files of case k depend on the seed, k, the spacing and ``GENERATOR_VERSION`` only.
"""

from functools import partial
from pathlib import Path

import numpy as np

from aunet.data.cohort.case import Case
from aunet.data.sources.phantom.anatomy import draw_anatomy
from aunet.data.sources.phantom.contrast import draw_attenuation
from aunet.data.sources.phantom.drawn_files import (
    SUPERSAMPLING,
    Phantom,
    Spacing,
    check_spacing,
    image_affine,
    phantom_case,
    write_missing,
)
from aunet.data.sources.phantom.rendering import draw_scanner, render_image, render_label
from aunet.errors import UserError

GENERATOR_VERSION = 2
"""Raise it whenever the same seed produces other files."""


def draw_phantom(seed: int, index: int, spacing: Spacing) -> Phantom:
    """Draw phantom number ``index`` of a seed, on voxels of ``spacing`` mm."""
    patient, scan = np.random.SeedSequence((seed, index)).spawn(2)
    generator = np.random.default_rng(scan)
    along_i, along_j, along_k = (step / SUPERSAMPLING for step in spacing)
    anatomy = draw_anatomy(np.random.default_rng(patient), (along_i, along_j, along_k))
    attenuation, scanner = draw_attenuation(generator), draw_scanner(generator)
    image = render_image(anatomy.tissue, attenuation, scanner, spacing, SUPERSAMPLING, generator)
    return Phantom(image, render_label(anatomy.tissue, SUPERSAMPLING), image_affine(anatomy.affine, spacing))


def phantom_cases(
    folder: Path, num_cases: int, spacing: Spacing, seed: int, processes: int | None = None, are_made: bool = True
) -> tuple[Case, ...]:
    """Return the first ``num_cases`` phantoms of a seed; those not yet in ``folder`` are drawn, in parallel.

    Args:
        folder: where their files are kept.
        num_cases: how many phantoms.
        spacing: their voxel size in mm.
        seed: the same seed draws the same phantoms.
        processes: how many draw at once; by default one for each core, as far as half of the memory allows.
        are_made: false draws none, so the cases may name files that do not exist yet.

    Raises:
        UserError: if ``num_cases`` is below 1, or the spacing is not within 1 to 16 mm.
    """
    if num_cases < 1:
        raise UserError(f"number of phantoms: {num_cases}; ask for at least 1.")
    check_spacing(spacing)
    place = folder / f"v{GENERATOR_VERSION}_seed{seed}_{'x'.join(f'{step:g}' for step in spacing)}mm"
    names = [f"phantom_{index:04d}" for index in range(num_cases)]
    draws = [
        (phantom_case(place, name, name), partial(draw_phantom, seed, index, spacing))
        for index, name in enumerate(names)
    ]
    return write_missing(draws, spacing, processes) if are_made else tuple(case for case, _ in draws)
