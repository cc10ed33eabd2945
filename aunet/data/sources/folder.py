"""Scans of your own: two folders of images and label maps, or a table that lists the files of each case."""

import csv
from collections.abc import Sequence
from pathlib import Path

from aunet.data.cohort.case import Case, Cohort, Modality
from aunet.data.cohort.class_mapping import Classes, label_map
from aunet.data.cohort.faulty_cases import usable_cases
from aunet.data.cohort.modality_names import with_modalities
from aunet.data.sources.file_patterns import cases_by_patterns, check_is_there, existing_folder
from aunet.errors import UserError

_COLUMNS = ("case_id", "image", "label")

Row = dict[str, str]


def folder_cohort(
    root: str | None,
    images: str | Sequence[str],
    labels: str,
    modality: Modality | Sequence[Modality] | None = None,
    classes: Classes | None = None,
    other_labels: str = "error",
    on_error: str = "stop",
    name: str = "folder",
) -> Cohort:
    """Find the images and label maps below ``root`` or listed in it.

    Args:
        root: a folder, or a CSV file with the columns of ``cases_in_table``: case_id, image, for more channels
            image_2 and so on, label, and patient if it is known.
        images: pattern of the images below a folder, with ``*`` for the case: ``images/*_0000`` (see
            ``file_patterns.files_by_case``); a list, one pattern each, for several channels.
        labels: pattern of the label maps.
        modality: that of the images ("ct", "mr", "pet", "picture"), or a list of one per channel; None if unknown.
        classes: class -> its value, or values, in the label files; see ``label_map``.
        other_labels: see ``label_map``.
        on_error: how to treat an unusable case: "stop", or "skip" with a warning.
        name: that of the dataset.
    """
    mapping = label_map(classes, {}, other_labels, str(root))
    path = Path(root).expanduser() if root else None
    if path is not None and path.is_file():
        cases, folder = cases_in_table(path, on_error, mapping.annotated), path.parent
    else:
        folder = existing_folder(root)
        cases = cases_by_patterns(folder, images, labels, on_error, mapping.annotated)
    cohort = Cohort(
        name=name,
        cases=cases,
        labels=mapping.labels,
        class_of_value=mapping.class_of_value,
        modality=None,
        num_channels=len(cases[0].images),
        description=f"{len(cases)} scans of {name} from {root}",
        is_other_background=mapping.is_other_background,
        root=folder,
    )
    return cohort if modality is None else with_modalities(cohort, modality, "data.modality")


def cases_in_table(file: Path, on_error: str, annotated: frozenset[int] | None = None) -> tuple[Case, ...]:
    """Read the cases of the table ``file``; equal ``patient`` means one patient, and other columns are ignored.

    A relative path starts at the table's folder and may not leave it, links followed, so that a table that came with
    its data reads nothing else. To list files elsewhere, write absolute paths.
    """
    rows = _rows(file)
    image_columns = ["image", *_further_images(rows[0])]

    def case(numbered: tuple[int, Row]) -> Case:
        number, row = numbered
        place = f"{file}, row {number}"
        if empty := [column for column in (*_COLUMNS, *image_columns) if not row[column]]:
            raise UserError(f"{place}: the column {empty[0]} is empty. Every case needs its id, images and label.")
        *images, label = (_path(row[column], file, place) for column in (*image_columns, "label"))
        for path in (*images, label):
            check_is_there(path, row["case_id"])
        return Case(row["case_id"], tuple(images), label, group=row.get("patient", ""), annotated=annotated)

    return usable_cases(list(enumerate(rows, start=2)), case, on_error)


def _rows(file: Path) -> list[Row]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, strict=True, restval="")
            columns = [str(name).strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            rows = [
                {name: (text or "").strip() for name, text in row.items() if isinstance(name, str)} for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: not a readable CSV file ({error}). Save it as CSV with commas, in UTF-8.") from None
    if missing := [column for column in _COLUMNS if column not in columns]:
        raise UserError(
            f"{file}: lacks the columns {', '.join(missing)}; it has {', '.join(columns) or 'none'}. Its first line"
            " must be case_id,image,label with commas, for several channels also image_2,image_3, and patient if known."
        )
    if not rows:
        raise UserError(f"{file}: lists no case. Write a line for each below the first.")
    return rows


def _further_images(row: Row) -> list[str]:
    numbered = {f"image_{number}" for number in range(2, len(row) + 2)}
    return sorted(numbered & row.keys(), key=lambda column: int(column.rpartition("_")[2]))


def _path(name: str, file: Path, place: str) -> Path:
    path = file.parent / Path(name).expanduser()
    if Path(name).expanduser().is_absolute():
        return path
    try:
        is_inside = path.resolve().is_relative_to(file.parent.resolve())
    except (OSError, RuntimeError, ValueError):
        raise UserError(f"{place}: {name} is a link that leads to itself. Put the file in its place.") from None
    if not is_inside:
        raise UserError(f"{place}: {name} lies outside {file.parent}. Write an absolute path where that is meant.")
    return path
