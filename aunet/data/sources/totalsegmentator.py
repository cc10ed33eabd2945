"""TotalSegmentator's datasets: a folder per case with ``ct.nii.gz`` and masks ``segmentations/<organ>.nii.gz``."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from aunet.data.cohort.case import Case, Cohort, Modality
from aunet.data.cohort.class_mapping import Classes, LabelMap, label_map, mapped_cohort
from aunet.data.cohort.faulty_cases import usable_cases
from aunet.data.cohort.modality_names import modality_of_words, words_of
from aunet.data.io.formats import VOLUME_SUFFIXES, is_scan, stem
from aunet.data.sources.file_patterns import existing_folder, files_by_case, the_file
from aunet.errors import UserError


def totalsegmentator_cohort(
    root: str | None,
    image: str = "ct",
    modality: Modality | None = None,
    classes: Classes | None = None,
    other_labels: str = "error",
    on_error: str = "stop",
    regions: Classes | None = None,
) -> Cohort:
    """Read the cases below ``root``. A case without the mask of an organ does not annotate the organ's class.

    Args:
        root: the unpacked folder, such as /data/Totalsegmentator_dataset_v201.
        image: name of the image in each case's folder, "ct" or "mri".
        modality: "ct" or "mr"; None judges it by ``image``.
        classes: see ``label_map``; the names are those of the mask files.
        other_labels: see ``label_map``; masks that no class lists are never read.
        on_error: how to treat an unusable case: "stop", or "skip" with a warning.
        regions: regions in place of classes; see ``label_map``.
    """
    folder = existing_folder(root)
    images = files_by_case(folder, f"*/{image}")
    if not images:
        raise UserError(
            f"data.root={root}: no case found. It must hold folders with {image}.nii.gz and segmentations/."
        )
    value_of_name = {name: value for value, name in enumerate(_mask_names(images.values()), start=1)}
    values_of_name = {name: [value] for name, value in value_of_name.items()}
    labels = label_map(classes, values_of_name, other_labels, f"{folder}/*/segmentations", regions)

    def case(case_id: str) -> Case:
        return _case(case_id, the_file(images[case_id], case_id), value_of_name, labels)

    cases = usable_cases(sorted(images), case, on_error)
    modalities: list[Modality | None] = [modality or modality_of_words(words_of(image))]
    description = f"{len(cases)} scans of TotalSegmentator from {root}"
    return mapped_cohort(labels, "totalsegmentator", cases, modalities, description, folder)


def _mask_names(images: Iterable[Sequence[Path]]) -> list[str]:
    """Return the names of the masks that any of the cases has."""
    folders = [paths[0].parent / "segmentations" for paths in images]
    masks = (path for folder in folders if folder.is_dir() for path in folder.iterdir() if is_scan(path))
    return sorted({stem(path) for path in masks})


def _case(case_id: str, image: Path, value_of_name: Mapping[str, int], labels: LabelMap) -> Case:
    folder = image.parent / "segmentations"
    if not folder.is_dir():
        raise UserError(f"{folder}: case {case_id} has no such folder of masks. Unpack it again, or take the case out.")
    paths = {value: _mask(folder, name) for name, value in value_of_name.items() if labels.class_of_value[value]}
    absent = {labels.class_of_value[value] for value, path in paths.items() if path is None}
    unknown = {index for index, _ in labels.labels.foreground if absent.intersection(labels.labels.values_of(index))}
    annotated = set(range(labels.labels.num_classes)) if labels.annotated is None else set(labels.annotated)
    masks = [
        (value, path)
        for value, path in paths.items()
        if path is not None and labels.class_of_value[value] not in absent
    ]
    if not masks:
        raise UserError(f"{folder}: case {case_id} has no mask of any class. Unpack it again, or take the case out.")
    is_complete = not absent and labels.annotated is None
    return Case(
        case_id, (image,), None, masks=tuple(masks), annotated=None if is_complete else frozenset(annotated - unknown)
    )


def _mask(folder: Path, name: str) -> Path | None:
    return next((path for suffix in VOLUME_SUFFIXES if (path := folder / (name + suffix)).is_file()), None)
