"""A dataset in BIDS: subjects, sessions, images by suffix, and label maps among the derivatives."""

import csv
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aunet.classes import class_name, matching_name
from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.class_mapping import Classes, label_map, mapped_cohort
from aunet.data.cohort.faulty_cases import usable_cases
from aunet.data.cohort.modality_names import modalities_of_names
from aunet.data.io.volume import is_image, stem
from aunet.data.sources.file_patterns import check_is_there, existing_folder, tell_unused
from aunet.data.sources.listed_paths import plain_name
from aunet.errors import UserError
from aunet.messages import shortened

_logger = logging.getLogger(__name__)

_ENTITY = re.compile(r"([a-zA-Z0-9]+)-([^_]+)")
# Entities that a label map has of its own: they say how it was made, not which image it belongs to.
_OF_LABELS = frozenset(("space", "desc", "label", "seg", "atlas", "res", "den", "hemi", "from", "mode"))


@dataclass(frozen=True)
class _File:
    """A file by the parts of its name: ``sub-01_ses-1_acq-fast_T1w`` has three entities and the suffix T1w."""

    path: Path
    entities: Mapping[str, str]
    suffix: str

    @property
    def visit(self) -> tuple[str, str]:
        """Return subject and session, empty if there is none."""
        return self.entities.get("sub", ""), self.entities.get("ses", "")

    @property
    def case_id(self) -> str:
        """Return the name without suffix and ending."""
        return "_".join(f"{key}-{value}" for key, value in self.entities.items())


@dataclass(frozen=True)
class _Kind:
    """The files in ``place`` with the suffix and entities of ``name``, which the setting ``key`` holds.

    Entities in ``ignored`` may differ from those of the image that a file belongs to. A file of a ``lone`` subject, all
    of whose images are of one session, need not name it.
    """

    name: str
    key: str
    place: Path
    files: Sequence[_File]
    ignored: frozenset[str] = frozenset()
    lone: frozenset[str] = frozenset()


def bids_cohort(
    root: str | None,
    images: str | Sequence[str] = "T1w",
    labels: str = "dseg",
    derivatives: str | None = None,
    classes: Classes | None = None,
    other_labels: str = "error",
    on_error: str = "stop",
    name: str = "bids",
    regions: Classes | None = None,
) -> Cohort:
    """Find the images below ``root`` and the label map of each in ``derivatives``.

    A label map belongs to an image of the same subject and session if no entity of both differs; space, desc, label and
    others that say how it was made do not count. All sessions of a subject are one patient. A table ``*_dseg.tsv`` with
    the columns index and name names the values.

    Args:
        root: the folder that holds sub-01 and so on.
        images: suffix of the images, with entities if only some are meant: ``acq-mprage_T1w``; a list for channels.
        labels: suffix of the label maps, likewise: ``dseg``, ``desc-manual_dseg``, ``label-lesion_mask``.
        derivatives: the folder of the label maps below ``root/derivatives``; None for the only one that holds some.
        classes: class -> its value, values or names; see ``label_map``, also for ``other_labels``.
        other_labels: how to treat a label that ``classes`` does not list: "error" or "background".
        on_error: how to treat an unusable case: "stop", or "skip" with a warning.
        name: that of the dataset.
        regions: regions in place of classes; see ``label_map``.
    """
    folder = existing_folder(root)
    raw = folder / "rawdata" if (folder / "rawdata").is_dir() and not any(folder.glob("sub-*")) else folder
    channels = [_image_kind(raw, kind) for kind in ([images] if isinstance(images, str) else images)]
    visits = {image.visit for image in channels[0].files}
    lone = {subject for subject, _ in visits if sum(other == subject for other, _ in visits) == 1}
    marked = _label_kind(folder, labels, derivatives, frozenset(lone))
    mapping = label_map(classes, _values_of_name(marked.place), other_labels, str(marked.place), regions)
    case = partial(_case, others=[*channels[1:], marked], annotated=mapping.annotated)
    cases = usable_cases(channels[0].files, case, on_error)
    _tell_unused(marked.files, channels[0].files, cases)
    text = f"{len(cases)} scans of {len({case.group for case in cases})} subjects from {root}"
    modalities = modalities_of_names(channel.name.rpartition("_")[2] for channel in channels)
    return mapped_cohort(mapping, name, cases, modalities, text, folder)


def _image_kind(folder: Path, name: str) -> _Kind:
    files = _files(folder, name)
    if not files:
        raise UserError(
            f"data.source.images={name}: no file sub-*_{name} in {folder}/sub-*{_suffixes_in(folder)}. Name the suffix"
            " of the images, such as T1w, FLAIR or ct, with data.root at the folder that holds sub-*."
        )
    return _Kind(name, "data.source.images", folder, files)


def _label_kind(folder: Path, name: str, derivatives: str | None, lone: frozenset[str]) -> _Kind:
    place = _derivatives(folder, name, derivatives)
    return _Kind(name, "data.source.labels", place, _files(place, name), _OF_LABELS, lone)


def _case(image: _File, others: Sequence[_Kind], annotated: frozenset[int] | None) -> Case:
    """Return the case of an image of the first channel; the last of ``others`` is its label map."""
    paths = (image.path, *(_partner(image, kind).path for kind in others))
    for path in paths:
        check_is_there(path, image.case_id)
    return Case(image.case_id, paths[:-1], paths[-1], f"sub-{image.visit[0]}", annotated=annotated)


def _tell_unused(labels: Sequence[_File], images: Sequence[_File], cases: Sequence[Case]) -> None:
    """Log the label maps that no case uses; those of visits with an image do not count, as one of them was chosen."""
    used, visits = {case.label for case in cases}, {image.visit for image in images}
    tell_unused(label.path for label in labels if label.path not in used and label.visit not in visits)


def _files(folder: Path, kind: str) -> list[_File]:
    """Return the files of subjects in ``folder`` with the suffix and the entities of ``kind``, sorted by name."""
    wanted = _parsed(Path(kind))
    found = [_parsed(path) for path in sorted(folder.glob("sub-*/**/sub-*")) if path.is_file() and is_image(path)]
    return [file for file in found if file.suffix == wanted.suffix and wanted.entities.items() <= file.entities.items()]


def _suffixes_in(folder: Path) -> str:
    """Return which suffixes the files of subjects have, in words for a message; empty if there is none."""
    suffixes = {_parsed(path).suffix for path in folder.glob("sub-*/**/sub-*") if is_image(path)}
    return f", which has {shortened(sorted(suffixes))}" if suffixes else ""


def _parsed(path: Path) -> _File:
    *parts, suffix = plain_name(stem(path)).split("_")
    matches = [match for part in parts if (match := _ENTITY.fullmatch(part))]
    return _File(path, {match[1]: match[2] for match in matches}, suffix)


def _derivatives(folder: Path, labels: str, name: str | None) -> Path:
    """Return the folder of the label maps: the one asked for, or the only one that holds some."""
    if name is not None:
        return existing_folder(str(folder / "derivatives" / name), "data.source.derivatives")
    place = folder / "derivatives"
    pipelines = sorted(path for path in place.iterdir() if path.is_dir()) if place.is_dir() else []
    candidates = [path for path in (place, *pipelines) if path.is_dir() and _files(path, labels)]
    if not candidates and _files(folder, labels):  # beside the images, as some datasets have them
        return folder
    if not candidates and not place.is_dir():
        raise UserError(
            f"data.root={folder}: no label map *_{labels} beside the images, and no folder derivatives. If they have"
            " another suffix, name it with data.source.labels=dseg."
        )
    if len(candidates) != 1:
        found = f"{len(candidates)} folders with them" if candidates else "none with them"
        names = ", ".join(path.name for path in candidates or pipelines) or "nothing"
        there = "" if candidates else next(filter(None, map(_suffixes_in, pipelines)), "")
        raise UserError(
            f"{place}: label maps *_{labels} are looked for in one folder of it, and it holds {found}"
            f" ({names}){there}. Name it with data.source.derivatives=NAME, and their suffix with"
            " data.source.labels=dseg."
        )
    return candidates[0]


def _partner(image: _File, kind: _Kind) -> _File:
    """Return the file of ``kind`` that belongs to ``image``.

    Of those that fit, it is the one with most entities alike, then the one with fewest that the image lacks.
    """
    subject = image.visit[0]
    visits = {image.visit} | ({(subject, "")} if subject in kind.lone else set())
    fitting = [other for other in kind.files if other.visit in visits and _fits(image, other, kind.ignored)]
    ranks = [(-_num_alike(image, other), len(other.entities.keys() - image.entities.keys())) for other in fitting]
    best = [other for other, rank in zip(fitting, ranks, strict=True) if rank == min(ranks)]
    if not best:
        raise UserError(
            f"{image.path}: case {image.case_id} has no {kind.name} of the same subject and session. Add it, or take"
            " the case out with data.cases or data.on_error=skip."
        )
    if len(best) > 1:
        entities = best[-1].entities.items() - best[0].entities.items()
        entity, value = min(entities, default=("desc", "manual"))
        raise UserError(
            f"{image.path}: case {image.case_id} has {len(best)} files of {kind.name}, {best[0].path.name} and"
            f" {best[-1].path.name} for two. Name an entity of the right one as well, such as"
            f" {entity}-{value}_{kind.name} in {kind.key}."
        )
    return best[0]


def _fits(image: _File, other: _File, ignoring: frozenset[str]) -> bool:
    shared = image.entities.keys() & other.entities.keys() - ignoring
    return all(image.entities[key] == other.entities[key] for key in shared)


def _num_alike(image: _File, other: _File) -> int:
    return sum(other.entities.get(key) == value for key, value in image.entities.items())


def _values_of_name(place: Path) -> dict[str, list[int]]:
    """Return the values by name in the tables ``*_dseg.tsv``; none if there is no table.

    A name may have several values; names that differ only in case and separators are one, in its first spelling. If
    tables name one value differently, a warning says so and none are used.
    """
    found: dict[int, tuple[str, Path]] = {}
    spelling: dict[str, str] = {"background": "background"}
    for file in sorted(place.rglob("*dseg.tsv")):
        for value, name in _named_values(file):
            first, first_file = found.setdefault(value, (name, file))
            if matching_name(first) != matching_name(name):
                _logger.warning(
                    "%s: index %d is %s, but %s in %s; no name of these tables is used. Make them agree, or give"
                    " the classes by value: data.classes='{%s: %d}'.",
                    *(file, value, name, first, first_file, class_name(name), value),
                )
                return {}
            spelling.setdefault(matching_name(name), name)
    values_of_name: dict[str, list[int]] = {"background": [0]} if found else {}
    for value, (name, _) in sorted(found.items()):
        if value:
            values_of_name.setdefault(spelling[matching_name(name)], []).append(value)
    return values_of_name


def _index(cell: str) -> int:
    """Return a whole number, which programs may write as 1.0; raise ValueError for another."""
    number = float(cell)
    if not number.is_integer():
        raise ValueError(f"index {cell} is not whole")
    return int(number)


def _named_values(file: Path) -> list[tuple[int, str]]:
    """Return index and name of each line of a table; raise UserError if it is none."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            return [(_index(row["index"]), row["name"].strip()) for row in csv.DictReader(lines, delimiter="\t")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise UserError(
            f"{file}: not a table with the columns index and name, separated by tabs ({error}). Repair it."
        ) from None
