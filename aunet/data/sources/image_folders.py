"""Two-dimensional pictures with masks: two folders of PNG, TIFF or JPEG, matched by file name."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.class_mapping import Classes, label_map, mapped_cohort
from aunet.data.cohort.faulty_cases import each_usable
from aunet.data.cohort.listed_labels import ANY_VALUE
from aunet.data.io.pictures import PICTURE_SUFFIXES, num_picture_channels
from aunet.data.sources.file_patterns import FileKind, cases_by_patterns, existing_folder
from aunet.errors import UserError

PICTURES = FileKind("picture (.png, .tif, .tiff or .jpg)", PICTURE_SUFFIXES)


def images_cohort(
    root: str | None,
    images: str | Sequence[str],
    labels: str,
    classes: Classes | None = None,
    other_labels: str = "error",
    on_error: str = "stop",
    name: str = "images",
    regions: Classes | None = None,
) -> Cohort:
    """Find the pictures and masks below ``root``.

    Args:
        root: the folder of the dataset.
        images: pattern of the images in it, with ``*`` for the case (see ``file_patterns.files_by_case``); a list, one
            pattern each, if every channel has a file. A picture in colour has three channels.
        labels: pattern of the masks.
        classes: class -> its value, or values, in the masks: {heart: 255}; see ``label_map``. If the masks number
            objects, {nucleus: any}: every value above 0 belongs to this only class.
        other_labels: see ``label_map``.
        on_error: how to treat an unusable case: "stop", or "skip" with a warning.
        name: that of the dataset.
        regions: regions in place of classes; see ``label_map``.
    """
    folder, has_instances = existing_folder(root), list((classes or {}).values()) == [ANY_VALUE]
    if has_instances and regions:
        raise UserError(
            f"data.target_regions: data.classes={classes} numbers objects, which have no regions. Leave it out."
        )
    listed = dict.fromkeys(classes or {}, 1) if has_instances else classes
    mapping = label_map(listed, {}, other_labels, str(root), regions)
    paired = cases_by_patterns(folder, images, labels, on_error, mapping.annotated, PICTURES)
    cases, num_channels = _with_usual_channels(paired, on_error)
    description = f"{len(cases)} pictures of {name} from {root} (a pixel counts as 1 mm)"
    cohort = mapped_cohort(mapping, name, cases, ["picture" for _ in range(num_channels)], description, folder)
    return replace(cohort, has_instances=has_instances)


def _with_usual_channels(cases: Sequence[Case], on_error: str) -> tuple[tuple[Case, ...], int]:
    """Return the cases with as many channels as most have, and that number; any other case is refused."""
    counts: dict[str, int] = {}

    def count(case: Case) -> None:
        counts[case.case_id] = sum(num_picture_channels(path) for path in case.images)

    def check(case: Case) -> None:
        if counts[case.case_id] != usual:
            raise UserError(
                f"{case.images[0]}: case {case.case_id} has {counts[case.case_id]} channels, most of its dataset"
                f" {usual}: grey has 1, colour 3. Convert it, or take the case out."
            )

    readable = each_usable(cases, count, on_error)
    [(usual, _)] = Counter(counts.values()).most_common(1)
    return tuple(each_usable(readable, check, on_error)), usual
