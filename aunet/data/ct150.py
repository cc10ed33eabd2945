"""The paper's abdominal CT data, where a folder of scans is given; else phantoms with the same classes.

CT-150 is not public: any CT cohort with pancreas, spleen and kidneys serves in its place.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from aunet.data.case import Cohort
from aunet.data.nifti_folders import cases_in_folder, existing_folder
from aunet.data.phantom.cohort import phantom_cases
from aunet.errors import UserError
from aunet.labels import Labels


def ct150_cohort(
    root: str | None,
    cache: str,
    source_labels: Mapping[str, int | Sequence[int]],
    other_labels: str,
    num_phantoms: int,
    phantom_spacing: Sequence[float],
    phantom_seed: int,
    are_phantoms_made: bool = True,
) -> Cohort:
    """Give the scans below ``root``, or with no root the phantom's.

    Args:
        root: folder of scans; see ``nifti_folders.LAYOUTS``.
        cache: folder that keeps the phantom's files.
        source_labels: class name -> its value, or values, in the label files (left and right kidney -> kidney).
        other_labels: "error" or "background": what a value is that ``source_labels`` does not name.
        num_phantoms: how many phantoms.
        phantom_spacing: their voxel size in mm.
        phantom_seed: the same seed, the same phantoms.
        are_phantoms_made: false names the phantoms' files without making them.
    """
    if root is None:
        folder = Path(cache).expanduser()
        return _phantom_cohort(folder, num_phantoms, phantom_spacing, phantom_seed, are_phantoms_made)
    if other_labels not in ("error", "background"):
        raise UserError(f"data.source.other_labels={other_labels}: use 'error' or 'background'.")
    cases = cases_in_folder(existing_folder(root))
    return Cohort(
        name="ct150",
        cases=cases,
        labels=Labels(("background", *source_labels)),
        class_of_value=_class_of_value(source_labels),
        modality="ct",
        description=f"{len(cases)} CT scans from {root}",
        is_other_background=other_labels == "background",
    )


def _class_of_value(source_labels: Mapping[str, int | Sequence[int]]) -> dict[int, int]:
    class_of_value = {0: 0}
    for index, (name, values) in enumerate(source_labels.items(), start=1):
        for value in [values] if isinstance(values, int) else values:
            if value in class_of_value:
                raise UserError(f"data.source.source_labels: {name}: value {value} already belongs to another class.")
            class_of_value[value] = index
    return class_of_value


def _phantom_cohort(cache: Path, number: int, spacing: Sequence[float], seed: int, are_made: bool) -> Cohort:
    along_i, along_j, along_k = spacing
    cases = phantom_cases(cache / "phantom", number, (along_i, along_j, along_k), seed, are_made=are_made)
    return Cohort(
        name="ct150",
        cases=cases,
        labels=Labels(("background", "pancreas", "spleen", "kidney")),
        class_of_value={0: 0, 1: 1, 2: 2, 3: 3},
        modality="ct",
        description=f"PHANTOM: {number} synthetic abdominal CT volumes (data.root is not set), not real scans",
        is_phantom=True,
    )
