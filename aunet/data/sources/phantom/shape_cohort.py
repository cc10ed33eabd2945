"""Synthetic CT rendered on real organ shapes: a scan for each label map of a folder that lacks its images.

The files of a case depend on the content of its label map, on the settings and on ``FITTING_VERSION`` only.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from aunet.data.cohort.case import Case
from aunet.data.io.formats import is_scan, stem
from aunet.data.sources.file_patterns import existing_folder
from aunet.data.sources.phantom.contrast import draw_attenuation
from aunet.data.sources.phantom.drawn_files import (
    SUPERSAMPLING,
    Draw,
    Phantom,
    Spacing,
    check_spacing,
    image_affine,
    phantom_case,
    write_missing,
)
from aunet.data.sources.phantom.fitted_anatomy import draw_fitted_anatomy
from aunet.data.sources.phantom.organ_shapes import ORGANS, read_organ_shapes
from aunet.data.sources.phantom.rendering import draw_scanner, render_image, render_label
from aunet.errors import UserError
from aunet.messages import nearest

FITTING_VERSION = 1
"""Raise it whenever the same label map produces other files."""

OrganValues = Mapping[str, int | Sequence[int]]


def draw_on_shapes(
    path: Path, organ_of_value: Mapping[int, str], is_other_ignored: bool, spacing: Spacing, entropy: Sequence[int]
) -> Phantom:
    """Render a scan around the organs of one label map, on voxels of ``spacing`` mm in its own coordinates."""
    shapes = read_organ_shapes(path, organ_of_value, is_other_ignored=is_other_ignored)
    patient, scan = np.random.SeedSequence(entropy).spawn(2)
    generator = np.random.default_rng(scan)
    along_i, along_j, along_k = (step / SUPERSAMPLING for step in spacing)
    fine = (along_i, along_j, along_k)
    anatomy = draw_fitted_anatomy(np.random.default_rng(patient), shapes, fine, SUPERSAMPLING)
    attenuation, scanner = draw_attenuation(generator), draw_scanner(generator)
    image = render_image(anatomy.tissue, attenuation, scanner, spacing, SUPERSAMPLING, generator)
    label, affine = render_label(anatomy.tissue, SUPERSAMPLING), image_affine(anatomy.affine, spacing)
    return Phantom(image, label, affine, shapes.remark)


def shaped_cases(
    folder: Path,
    anatomy: str,
    organs: OrganValues,
    spacing: Spacing,
    seed: int,
    *,
    is_other_ignored: bool,
    processes: int | None = None,
) -> tuple[Case, ...]:
    """Return a case for each label map in the folder ``anatomy``; those not yet in ``folder`` are made, in parallel.

    Args:
        folder: where the scans are kept.
        anatomy: folder of NIfTI label maps, in any orientation.
        organs: name (one of ``ORGANS``) -> its value, or values, in the label maps.
        spacing: voxel size of the scans in mm.
        seed: determines all that the label maps leave open.
        is_other_ignored: whether values without a name are left out; else they are refused.
        processes: how many draw at once; by default one for each core, as far as half of the memory allows.
    """
    check_spacing(spacing)
    organ_of_value = _organ_of_value(organs)
    paths = [path for path in sorted(existing_folder(anatomy, "data.phantom.anatomy").iterdir()) if is_scan(path)]
    if not paths:
        raise UserError(f"data.phantom.anatomy={anatomy}: holds no label map (.nii.gz or .nii).")
    settings = [FITTING_VERSION, seed, list(spacing), sorted(organ_of_value.items()), is_other_ignored]
    draws: list[tuple[Case, Draw]] = []
    for path in paths:
        digest = _digest(path)
        entropy = (seed, int(digest[:16], base=16))
        draw = partial(draw_on_shapes, path, organ_of_value, is_other_ignored, spacing, entropy)
        draws.append((_case(folder / f"shapes_v{FITTING_VERSION}", path, digest, settings), draw))
    return write_missing(draws, spacing, processes)


def _organ_of_value(organs: OrganValues) -> dict[int, str]:
    names: dict[int, str] = {}
    for name, values in organs.items():
        if name not in ORGANS:
            raise UserError(
                f"data.phantom.organs: no organ {name!r}. Did you mean {nearest(name, ORGANS)}?"
                f" There are {', '.join(ORGANS)}."
            )
        for value in [values] if isinstance(values, int) else values:
            if value in names or value < 1:
                rule = f"is {names[value]} already" if value in names else "is background; organs have 1 and more"
                raise UserError(f"data.phantom.organs: {name}: value {value} {rule}.")
            names[value] = name
    return names


def _case(place: Path, path: Path, digest: str, settings: Sequence[object]) -> Case:
    case_id = f"phantom_of_{stem(path)}"
    key = hashlib.sha256(json.dumps([digest, *settings]).encode()).hexdigest()[:16]
    return phantom_case(place, case_id, f"{case_id}-{key}")


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}). Restore it, or take it away.") from None
