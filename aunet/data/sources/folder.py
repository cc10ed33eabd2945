"""Scans of your own: two folders of images and label maps, or a table that lists the files of each case."""

from collections.abc import Sequence
from pathlib import Path

from aunet.data.cohort.case import Cohort, Modality
from aunet.data.cohort.class_mapping import Classes, label_map, mapped_cohort
from aunet.data.cohort.modality_names import with_modalities
from aunet.data.sources.case_table import cases_in_table
from aunet.data.sources.file_patterns import cases_by_patterns, existing_folder


def folder_cohort(
    root: str | None,
    images: str | Sequence[str],
    labels: str,
    modality: Modality | Sequence[Modality] | None = None,
    classes: Classes | None = None,
    other_labels: str = "error",
    on_error: str = "stop",
    name: str = "folder",
    regions: Classes | None = None,
) -> Cohort:
    """Find the images and label maps below ``root`` or listed in it.

    Args:
        root: a folder, or a CSV file with the columns of ``cases_in_table``: case_id, image, for more channels
            image_2 and so on, label, and patient and annotated if they are known.
        images: pattern of the images below a folder, with ``*`` for the case: ``images/*_0000`` (see
            ``file_patterns.files_by_case``); a list, one pattern each, for several channels.
        labels: pattern of the label maps.
        modality: that of the images ("ct", "mr", "pet", "picture"), or a list of one per channel; None if unknown.
        classes: class -> its value, or values, in the label files; see ``label_map``.
        other_labels: see ``label_map``.
        on_error: how to treat an unusable case: "stop", or "skip" with a warning.
        name: that of the dataset.
        regions: regions in place of classes; see ``label_map``.
    """
    mapping = label_map(classes, {}, other_labels, str(root), regions)
    path = Path(root).expanduser() if root else None
    if path is not None and path.is_file():
        cases, folder = cases_in_table(path, on_error, mapping.labels, mapping.annotated), path.parent
    else:
        folder = existing_folder(root)
        cases = cases_by_patterns(folder, images, labels, on_error, mapping.annotated)
    unknown = (None,) * len(cases[0].images)
    cohort = mapped_cohort(mapping, name, cases, unknown, f"{len(cases)} scans of {name} from {root}", folder)
    return cohort if modality is None else with_modalities(cohort, modality, "data.modality")
