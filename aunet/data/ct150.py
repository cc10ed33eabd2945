"""The paper's abdominal CT data, where a folder of scans is given; else phantoms with the same classes.

CT-150 is not public: any CT cohort with pancreas, spleen and kidneys serves in its place.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aunet.data.case import Case, Cohort
from aunet.data.label_map import Classes, LabelMap, label_map
from aunet.data.nifti_folders import cases_in_folder, existing_folder
from aunet.data.phantom.cohort import phantom_cases

_PHANTOM_VALUES = {"background": [0], "pancreas": [1], "spleen": [2], "kidney": [3]}


def ct150_cohort(
    root: str | None,
    cache: str,
    num_phantoms: int,
    phantom_spacing: Sequence[float],
    phantom_seed: int,
    classes: Classes | None = None,
    other_labels: str = "error",
    on_error: str = "stop",
    are_phantoms_made: bool = True,
) -> Cohort:
    """Give the scans below ``root``, or with no root the phantom's.

    Args:
        root: folder of scans; see ``nifti_folders.LAYOUTS``.
        cache: folder that keeps the phantom's files.
        num_phantoms: how many phantoms.
        phantom_spacing: their voxel size in mm.
        phantom_seed: the same seed, the same phantoms.
        classes: class -> its value, or values, in the label files; see ``label_map``.
        other_labels: see ``label_map``.
        on_error: "stop" or "skip": what a case is that cannot be used.
        are_phantoms_made: false names the phantoms' files without making them.
    """
    if root is None:
        labels = label_map(classes, _PHANTOM_VALUES, other_labels, "the phantom (data.root is not set)")
        along_i, along_j, along_k = phantom_spacing
        place = Path(cache).expanduser() / "phantom"
        cases = phantom_cases(
            place, num_phantoms, (along_i, along_j, along_k), phantom_seed, are_made=are_phantoms_made
        )
        description = f"PHANTOM: {num_phantoms} synthetic abdominal CT volumes (data.root is not set), not real scans"
        return _cohort(cases, labels, description, is_phantom=True)
    folder = existing_folder(root)
    labels = label_map(classes, {}, other_labels, root)
    cases = cases_in_folder(folder, on_error)
    return _cohort(cases, labels, f"{len(cases)} CT scans from {root}", root=folder)


def _cohort(
    cases: Sequence[Case], labels: LabelMap, description: str, *, root: Path | None = None, is_phantom: bool = False
) -> Cohort:
    return Cohort(
        name="ct150",
        cases=tuple(replace(case, annotated=labels.annotated) for case in cases),
        labels=labels.labels,
        class_of_value=labels.class_of_value,
        modality="ct",
        description=description,
        is_other_background=labels.is_other_background,
        is_phantom=is_phantom,
        root=root,
    )
