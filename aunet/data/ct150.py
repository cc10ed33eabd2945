"""The paper's abdominal CT data, where a folder of scans is given; else phantoms with the same classes.

CT-150 is not public: any CT cohort with pancreas, spleen and kidneys serves in its place.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from aunet.data.case import Case, Cohort
from aunet.data.nifti_folders import cases_in_folder, existing_folder
from aunet.data.phantom.cohort import phantom_cases
from aunet.data.phantom.drawn_files import Spacing
from aunet.data.phantom.shape_cohort import OrganValues, shaped_cases
from aunet.data.phantom.tissues import PHANTOM_LABELS
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
    anatomy: str | None = None,
    organs: OrganValues | None = None,
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
        anatomy: folder of label maps of real organs: a phantom is rendered on each, in place of drawn ones.
        organs: organ -> its value, or values, in them; see ``organ_shapes.ORGANS``.
        are_phantoms_made: false names the files of drawn phantoms without making them.
    """
    if other_labels not in ("error", "background"):
        raise UserError(f"data.source.other_labels={other_labels}: use 'error' or 'background'.")
    if root is not None and anatomy is not None:
        raise UserError(
            f"data.root={root} and data.phantom.anatomy={anatomy}: scans or phantoms; leave one of them out."
        )
    if root is None:
        place, (along_i, along_j, along_k) = Path(cache).expanduser() / "phantom", phantom_spacing
        spacing = (along_i, along_j, along_k)
        if anatomy is None:
            return _phantom_cohort(place, num_phantoms, spacing, phantom_seed, are_phantoms_made)
        is_other_ignored = other_labels == "background"
        cases = shaped_cases(place, anatomy, organs or {}, spacing, phantom_seed, is_other_ignored=is_other_ignored)
        text = f"synthetic CT rendered on real organ shapes from {anatomy}: {len(cases)} volumes, not real scans"
        return _cohort_of_phantoms(cases, text)
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


def _phantom_cohort(place: Path, number: int, spacing: Spacing, seed: int, are_made: bool) -> Cohort:
    text = f"{number} synthetic abdominal CT volumes (data.root is not set), not real scans"
    return _cohort_of_phantoms(phantom_cases(place, number, spacing, seed, are_made=are_made), text)


def _cohort_of_phantoms(cases: tuple[Case, ...], text: str) -> Cohort:
    return Cohort(
        name="ct150",
        cases=cases,
        labels=PHANTOM_LABELS,
        class_of_value={index: index for index in range(PHANTOM_LABELS.num_classes)},
        modality="ct",
        description=f"PHANTOM: {text}",
        is_phantom=True,
    )
