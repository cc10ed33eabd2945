"""Pictures of two dimensions with masks: two folders of PNG or TIFF, matched by file name."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from aunet.data.case import Case, Cohort
from aunet.data.nifti_folders import existing_folder
from aunet.data.picture_files import PICTURE_SUFFIXES, is_picture, num_picture_channels
from aunet.data.volume import stem
from aunet.errors import UserError
from aunet.labels import Labels

_ANY = "any"


def images_cohort(
    root: str | None,
    images: str,
    labels: str,
    classes: Mapping[str, int | str | Sequence[int]],
    other_labels: str = "error",
    name: str = "images",
) -> Cohort:
    """Find the pictures and masks below ``root``.

    Args:
        root: the folder that holds both folders.
        images: the folder of the images in it.
        labels: the folder of the masks.
        classes: class -> its value, or values, in the masks: {heart: 255}. {nucleus: any}, one class alone, where
            they number objects: every value above 0 belongs to it.
        other_labels: "error" or "background": what a value is that ``classes`` does not name.
        name: of the dataset.
    """
    if not classes:
        raise UserError(
            "data.source.classes is not set: it tells what the values in the masks mean. Give {vessel: 255}, or"
            " {nucleus: any} where they number objects."
        )
    if root is None:
        raise UserError(f"data={name} needs the folder that holds {images}/ and {labels}/: data.root=/path/to/it.")
    if other_labels not in ("error", "background"):
        raise UserError(f"data.source.other_labels={other_labels}: use 'error' or 'background'.")
    folder = existing_folder(root)
    cases = _cases(_pictures(folder, "images", images), _pictures(folder, "labels", labels))
    has_instances = list(classes.values()) == [_ANY]
    return Cohort(
        name=name,
        cases=cases,
        labels=Labels(("background", *classes)),
        class_of_value={0: 0, 1: 1} if has_instances else _class_of_value(classes),
        modality="picture",
        description=f"{len(cases)} pictures of {name} from {root} (a pixel counts as 1 mm)",
        num_channels=num_picture_channels(cases[0].images[0]),
        is_other_background=other_labels == "background",
        has_instances=has_instances,
    )


def _pictures(root: Path, key: str, name: str) -> dict[str, Path]:
    """Case id -> file, of the folder ``name``."""
    files = sorted(filter(is_picture, existing_folder(str(root / name), f"data.source.{key}").iterdir()))
    found: dict[str, Path] = {}
    for file in files:
        if found.setdefault(stem(file), file) is not file:
            raise UserError(f"{file.parent}: {found[stem(file)].name} and {file.name} are of one case; keep one.")
    if not found:
        raise UserError(f"data.source.{key}={name}: no picture ({', '.join(PICTURE_SUFFIXES)}) lies in {root / name}.")
    return found


def _cases(images: Mapping[str, Path], labels: Mapping[str, Path]) -> tuple[Case, ...]:
    if missing := sorted(images.keys() - labels.keys()):
        raise UserError(
            f"{images[missing[0]]}: no mask has this name, nor those of {len(missing)} of {len(images)} images in all."
            " Images and masks are matched by file name; add the masks, or move the images away."
        )
    return tuple(Case(case_id, (image,), labels[case_id]) for case_id, image in images.items())


def _class_of_value(classes: Mapping[str, int | str | Sequence[int]]) -> dict[int, int]:
    class_of_value = {0: 0}
    for index, (name, entry) in enumerate(classes.items(), start=1):
        for value in [entry] if isinstance(entry, (int, str)) else entry:
            if not isinstance(value, int) or class_of_value.setdefault(value, index) != index:
                raise UserError(
                    f"data.source.classes.{name}={entry}: give whole numbers, each to one class, or 'any' to one alone."
                )
    return class_of_value
