"""Mapping from the integers of a case's reference to the classes of the cohort."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from aunet.classes import IGNORED
from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.splits import Presence
from aunet.data.io.volume import Volume, align, check_same_grid, read_channels, read_label
from aunet.errors import UserError
from aunet.messages import shortened
from aunet.terminal import shown

_logger = logging.getLogger(__name__)

_MOST_NAMED = 8
# Each thread holds a label map in memory.
_THREADS = 4


def read_scan_and_reference(case: Case, cohort: Cohort) -> tuple[list[Volume], Volume]:
    """Read the channels of ``case`` and its reference in classes, in the axis order of the image.

    Raises UserError unless all lie on one grid.
    """
    channels = [channel for path in case.images for channel in read_channels(path)]
    if len(channels) != cohort.num_channels:
        raise UserError(
            f"{case.images[0]}: case {case.case_id} has {len(channels)} channels,"
            f" its dataset {cohort.num_channels}. Save those that the others have, or take the case out."
        )
    label = align(read_reference(case, cohort), channels[0])
    check_same_grid(channels[0], label, case.case_id)
    return channels, label


def read_reference(case: Case, cohort: Cohort) -> Volume:
    """Read the label map (H, W, D) uint8 of ``case`` in ``cohort``'s classes; raise UserError if that fails."""
    if not case.masks:
        if case.label is None:
            raise UserError(f"{case.images[0]}: case {case.case_id} has no label map. Add it, or take the case out.")
        return classes_of_values(read_label(case.label), cohort, case)
    return classes_of_values(_merged_masks(case), cohort, case)


def classes_of_values(label: Volume, cohort: Cohort, case: Case) -> Volume:
    """Return the label map (H, W, D) uint8 in ``cohort``'s classes; a value without one is refused or background."""
    if cohort.has_instances:
        return replace(label, array=(label.array > 0).astype(np.uint8))
    values, class_of_value = np.unique(label.array), dict(case.class_of_value) or cohort.class_of_value
    is_other_background = case.is_other_background if case.class_of_value else cohort.is_other_background
    unknown = [int(value) for value in values if int(value) not in class_of_value]
    if unknown and not is_other_background:
        known = {value: cohort.labels.name_of(index) for value, index in class_of_value.items()}
        raise UserError(
            f"{label.name}: case {case.case_id} has label values {shortened(unknown, _MOST_NAMED)}; known are"
            f" {known}. Map them with data.classes='{{NAME: VALUE, …}}' or, if the dataset has no names for them, take"
            " them as background with data.other_labels=background."
        )
    classes = np.zeros_like(label.array, dtype=np.uint8)
    for value in values:
        classes[label.array == value] = class_of_value.get(int(value), 0)
    return replace(label, array=classes)


def _merged_masks(case: Case) -> Volume:
    """Merge the case's binary masks into one label map; if they overlap, the later one counts, with a warning."""
    masks = [(value, _read_mask(path, case)) for value, path in case.masks]
    first = masks[0][1]
    merged = np.zeros(first.shape, dtype=np.uint16)
    overlap = 0
    for value, unaligned in masks:
        mask = align(unaligned, first)
        check_same_grid(first, mask, case.case_id)
        is_inside = mask.array != 0
        overlap += np.count_nonzero(merged[is_inside])
        merged[is_inside] = value
    if overlap:
        _logger.warning("case %s: %d voxels lie in two masks; the later of them counts", case.case_id, overlap)
    return Volume(merged, first.affine, first.path)


def _read_mask(path: Path, case: Case) -> Volume:
    mask = read_label(path)
    values = np.unique(mask.array)
    if len(values) > 2 or (len(values) == 2 and 0 not in values):
        raise UserError(
            f"{path}: the mask of case {case.case_id} holds the values {shortened(values.tolist(), _MOST_NAMED)}; a"
            " mask holds 0 and one other. Is it a label map of several classes?"
        )
    return mask


def present_classes(cohort: Cohort) -> Presence:
    """Read every label map, showing progress, and map case_id to the classes in it, the background left out.

    Of regions that overlap, each counts whose part is there.
    """

    def read(case: Case) -> frozenset[int]:
        values = np.unique(read_reference(case, cohort).array)
        found = [int(value) for value in values if value not in (0, IGNORED)]
        return frozenset(index for value in found for index in cohort.labels.classes_with(value))

    with ThreadPoolExecutor(_THREADS) as threads:
        found = shown(threads.map(read, cohort.cases), "Reading which classes each case has", len(cohort.cases))
        return {case.case_id: classes for case, classes in zip(cohort.cases, found, strict=True)}
