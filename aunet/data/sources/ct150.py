"""The paper's abdominal CT data if a folder of scans is given; otherwise phantoms with the same classes.

CT-150 is not public: any CT cohort with pancreas, spleen and kidneys can take its place.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.class_mapping import Classes, LabelMap, label_map, mapped_cohort
from aunet.data.sources.file_patterns import cases_in_folder, existing_folder
from aunet.data.sources.phantom.cohort import phantom_cases
from aunet.data.sources.phantom.shape_cohort import OrganValues, shaped_cases
from aunet.data.sources.phantom.tissues import PHANTOM_LABELS
from aunet.errors import UserError

_PHANTOM_VALUES = {name: [index] for index, name in enumerate(PHANTOM_LABELS.names)}


def ct150_cohort(
    root: str | None,
    cache: str,
    num_phantoms: int,
    phantom_spacing: Sequence[float],
    phantom_seed: int,
    anatomy: str | None = None,
    organs: OrganValues | None = None,
    classes: Classes | None = None,
    other_labels: str = "error",
    on_error: str = "stop",
    are_phantoms_made: bool = True,
    regions: Classes | None = None,
) -> Cohort:
    """Return the scans below ``root``, or those of the phantom if there is no root.

    Args:
        root: folder of scans; see ``file_patterns.LAYOUTS``.
        cache: folder that keeps the phantom's files.
        num_phantoms: how many phantoms.
        phantom_spacing: their voxel size in mm.
        phantom_seed: the same seed draws the same phantoms.
        anatomy: folder of label maps of real organs; a phantom is rendered on each, instead of drawn ones.
        organs: organ -> its value, or values, in them; see ``organ_shapes.ORGANS``.
        classes: class -> its value, or values, in the label files; see ``label_map``.
        other_labels: see ``label_map``; also for values of ``anatomy`` that ``organs`` does not name.
        on_error: how to treat an unusable case: "stop", or "skip" with a warning.
        are_phantoms_made: false names the files of drawn phantoms without making them.
        regions: regions in place of classes; see ``label_map``.
    """
    if root is not None and anatomy is not None:
        raise UserError(
            f"data.root={root} and data.phantom.anatomy={anatomy}: scans or phantoms; leave one of them out."
        )
    if root is not None:
        folder = existing_folder(root)
        cases = cases_in_folder(folder, on_error)
        labels = label_map(classes, {}, other_labels, root, regions)
        return _cohort(cases, labels, f"{len(cases)} CT scans from {root}", root=folder)
    source = "the phantom (data.root is not set)"
    labels = label_map(classes, _PHANTOM_VALUES, other_labels, source, regions)
    place, (along_i, along_j, along_k) = Path(cache).expanduser() / "phantom", phantom_spacing
    spacing = (along_i, along_j, along_k)
    if anatomy is None:
        cases = phantom_cases(place, num_phantoms, spacing, phantom_seed, are_made=are_phantoms_made)
        text = f"{num_phantoms} synthetic abdominal CT volumes (data.root is not set), not real scans"
    else:
        is_other_ignored = other_labels == "background"
        cases = shaped_cases(place, anatomy, organs or {}, spacing, phantom_seed, is_other_ignored=is_other_ignored)
        text = f"synthetic CT rendered on real organ shapes from {anatomy}: {len(cases)} volumes, not real scans"
    return _cohort(cases, labels, f"PHANTOM: {text}", is_phantom=True)


def _cohort(
    cases: Sequence[Case], labels: LabelMap, description: str, *, root: Path | None = None, is_phantom: bool = False
) -> Cohort:
    annotated = tuple(replace(case, annotated=labels.annotated) for case in cases)
    cohort = mapped_cohort(labels, "ct150", annotated, ["ct"], description, root)
    return replace(cohort, is_phantom=is_phantom)
