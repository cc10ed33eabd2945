"""A dataset in BIDS: subjects, sessions, images by suffix, and label maps among the derivatives."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.class_mapping import Classes, label_map
from aunet.data.cohort.faulty_cases import usable_cases
from aunet.data.cohort.modality_names import modalities_of_names, shared_modality
from aunet.data.io.volume import is_image, stem
from aunet.data.sources.file_patterns import check_is_there, existing_folder, tell_unused
from aunet.data.sources.listed_paths import plain_name
from aunet.errors import UserError

_ENTITY = re.compile(r"([a-zA-Z0-9]+)-([^_]+)")
_SESSION_ENTITIES = ("sub", "ses")
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


def bids_cohort(
    root: str | None,
    images: str | Sequence[str] = "T1w",
    labels: str = "dseg",
    derivatives: str | None = None,
    classes: Classes | None = None,
    other_labels: str = "error",
    on_error: str = "stop",
    name: str = "bids",
) -> Cohort:
    """Find the images below ``root`` and the label map of each in ``derivatives``.

    A label map belongs to an image of the same subject and session if no entity of both differs; space, desc, label and
    others that say how it was made do not count. All sessions of a subject are one patient. A table ``*_dseg.tsv`` with
    the columns index and name names the values.

    Args:
        root: the folder that holds sub-01 and so on.
        images: suffix of the images, with entities if only some are meant: ``T1w``, ``acq-mprage_T1w``; a list, one
            each, for several channels.
        labels: suffix of the label maps, likewise: ``dseg``, ``desc-manual_dseg``, ``label-lesion_mask``.
        derivatives: the folder of the label maps below ``root/derivatives``; None for the only one that holds some.
        classes: class -> its value, values or names; see ``label_map``.
        other_labels: see ``label_map``.
        on_error: how to treat an unusable case: "stop", or "skip" with a warning.
        name: that of the dataset.
    """
    folder = existing_folder(root)
    kinds = [images] if isinstance(images, str) else list(images)
    channels = [_files(folder, kind) for kind in kinds]
    for kind, found in zip(kinds, channels, strict=True):
        if not found:
            raise UserError(
                f"data.source.images={kind}: no file sub-*_{kind} in {folder}/sub-*. Name the suffix of the images,"
                " such as T1w, FLAIR or ct, with data.root at the folder that holds sub-*."
            )
    place = _derivatives(folder, labels, derivatives)
    label_files = _files(place, labels)
    mapping = label_map(classes, _values_of_name(place), other_labels, str(place))
    used: set[Path] = set()

    def case(first: _File) -> Case:
        files = [
            first,
            *(_partner(first, channel, kind) for channel, kind in zip(channels[1:], kinds[1:], strict=True)),
        ]
        label = _partner(first, label_files, labels, ignoring=_OF_LABELS)
        used.add(label.path)
        for file in (*files, label):
            check_is_there(file.path, first.case_id)
        paths = tuple(file.path for file in files)
        return Case(first.case_id, paths, label.path, group=f"sub-{first.visit[0]}", annotated=mapping.annotated)

    cases = usable_cases(channels[0], case, on_error)
    tell_unused(file.path for file in label_files if file.path not in used and not _has_image(file, channels[0]))
    modalities = modalities_of_names(kind.rpartition("_")[2] for kind in kinds)
    return Cohort(
        name=name,
        cases=cases,
        labels=mapping.labels,
        class_of_value=mapping.class_of_value,
        modality=shared_modality(modalities),
        modalities=modalities,
        num_channels=len(kinds),
        description=f"{len(cases)} scans of {len({case.group for case in cases})} subjects from {root}",
        is_other_background=mapping.is_other_background,
        root=folder,
    )


def _files(folder: Path, kind: str) -> list[_File]:
    """Return the files of subjects in ``folder`` with the suffix and the entities of ``kind``, sorted by name."""
    wanted = _parsed(Path(kind))
    found = [_parsed(path) for path in sorted(folder.glob("sub-*/**/sub-*")) if path.is_file() and is_image(path)]
    return [file for file in found if file.suffix == wanted.suffix and wanted.entities.items() <= file.entities.items()]


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
    if len(candidates) != 1:
        found = f"{len(candidates)} folders with them" if candidates else "none with them"
        names = ", ".join(path.name for path in candidates or pipelines) or "nothing"
        raise UserError(
            f"{place}: label maps *_{labels} are looked for in one folder of it, and it holds {found} ({names}). Name"
            " it with data.source.derivatives=NAME, and their suffix with data.source.labels=dseg."
        )
    return candidates[0]


def _partner(image: _File, others: Sequence[_File], kind: str, ignoring: frozenset[str] = frozenset()) -> _File:
    """Return the file of ``others`` that belongs to ``image``: of those that fit, the one with most entities alike."""
    fitting = [other for other in others if other.visit == image.visit and _fits(image, other, ignoring)]
    most = max((_num_alike(image, other) for other in fitting), default=0)
    best = [other for other in fitting if _num_alike(image, other) == most]
    if not best:
        raise UserError(
            f"{image.path}: case {image.case_id} has no {kind} of the same subject and session. Add it, or take the"
            " case out with data.cases or data.on_error=skip."
        )
    if len(best) > 1:
        raise UserError(
            f"{image.path}: case {image.case_id} has {len(best)} files of {kind}, {best[0].path.name} and"
            f" {best[1].path.name} for two. Name an entity of the right one as well, such as"
            f" data.source.labels=desc-manual_{kind.rpartition('_')[2]}."
        )
    return best[0]


def _fits(image: _File, other: _File, ignoring: frozenset[str]) -> bool:
    shared = image.entities.keys() & other.entities.keys() - ignoring
    return all(image.entities[key] == other.entities[key] for key in shared)


def _num_alike(image: _File, other: _File) -> int:
    return sum(other.entities.get(key) == value for key, value in image.entities.items())


def _has_image(label: _File, images: Sequence[_File]) -> bool:
    return any(image.visit == label.visit for image in images)


def _values_of_name(place: Path) -> dict[str, list[int]]:
    """Return the values by name in the tables ``*_dseg.tsv``; none if there is no table, or if two disagree."""
    names: dict[int, set[str]] = {}
    for file in sorted(place.rglob("*dseg.tsv")):
        try:
            with file.open(newline="", encoding="utf-8-sig") as lines:
                for row in csv.DictReader(lines, delimiter="\t"):
                    names.setdefault(int(row["index"]), set()).add(row["name"].strip())
        except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
            raise UserError(f"{file}: not a table with the columns index and name ({error}). Repair it.") from None
    if any(len(told) > 1 for told in names.values()):
        return {}
    return {} if not names else {"background": [0]} | {told.pop(): [value] for value, told in names.items() if value}
