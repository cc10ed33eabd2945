"""From the integers in a label file to the classes of the cohort."""

import numpy as np

from aunet.data.case import Case, Cohort
from aunet.data.volume import Volume
from aunet.errors import UserError


def classes_of_values(label: Volume, cohort: Cohort, case: Case) -> Volume:
    """Give the label map (H, W, D) uint8 of ``cohort``'s classes; a value without a class is refused or background."""
    if cohort.has_instances:
        return Volume((label.array > 0).astype(np.uint8), label.affine)
    values = np.unique(label.array)
    unknown = [int(value) for value in values if int(value) not in cohort.class_of_value]
    if unknown and not cohort.is_other_background:
        known = {value: cohort.labels.names[index] for value, index in cohort.class_of_value.items()}
        raise UserError(
            f"{case.label}: case {case.case_id} has label values {_shorten(unknown)}; known are {known}. Map them with"
            " data.source.source_labels={name: value, …} or take them as background with"
            " data.source.other_labels=background."
        )
    classes = np.zeros_like(label.array, dtype=np.uint8)
    for value in values:
        classes[label.array == value] = cohort.class_of_value.get(int(value), 0)
    return Volume(classes, label.affine)


def _shorten(values: list[int]) -> str:
    return ", ".join(map(str, values[:8])) + (f" and {len(values) - 8} more" if len(values) > 8 else "")
