"""Splits in a file: the ``splits.json`` that a run writes, or the ``splits_final.json`` of nnU-Net."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast
from unicodedata import normalize

from aunet.data.cohort.case import Case
from aunet.data.cohort.content_digest import ContentDigests
from aunet.data.cohort.faulty_cases import tell_skipped
from aunet.data.cohort.splits import Splits, carve_validation, check_patients
from aunet.errors import UserError
from aunet.files import read_json, write_json
from aunet.messages import nearest, shortened

_MOST_NAMED = 3
_DIGEST_DIGITS = 16  # 64 bits: two of a million scans agree by chance with a probability of 3e-8


def write_splits(file: Path, splits: Splits, cases: Sequence[Case], digests: ContentDigests) -> None:
    """Write ``splits.json``: the case ids of each part, and facts that identify these cases.

    ``patients`` maps a case id to its patient if that is not the case itself; ``digests`` maps every case id to the
    first digits of the SHA-256 of its images, by which a scan is recognised under another name.
    """
    used = {*splits.train, *splits.val, *splits.test}
    chosen = [case for case in cases if case.case_id in used]
    patients = {case.case_id: case.patient for case in chosen if case.patient != case.case_id}
    write_json(file, {**splits.as_dict(), "patients": patients, "digests": image_digests(chosen, digests)})


def image_digests(cases: Sequence[Case], digests: ContentDigests) -> dict[str, str]:
    """Return case id -> digest of its images, as ``splits.json`` holds it."""
    found = digests.of_images(cases)
    return {case.case_id: digest[:_DIGEST_DIGITS] for case, digest in zip(cases, found, strict=True)}


def read_splits(
    file: Path, cases: Sequence[Case], fold: int | None, val: float, seed: int, on_error: str = "stop"
) -> Splits:
    """Read which part each of ``cases`` belongs to.

    nnU-Net lists folds of two parts, train and val. Its val, which it scores at the end, becomes our test part, as a
    case that chose the best checkpoint must not test it. Our val is carved out of its train.

    Args:
        file: JSON, either ``{"train": […], "val": […], "test": […]}`` or a list of folds without test.
        cases: the labelled cases of the dataset; those the file does not name are left out.
        fold: which of the file's folds; None if it holds none.
        val: share, or number, of the training patients that validate, if the file has no such part.
        seed: that of their draw.
        on_error: how to treat a case that the dataset lacks, as it was skipped itself: "stop", or "skip" with a
            warning.

    Raises:
        UserError: if the file is none of these, the dataset lacks a case, or a patient is in two parts.
    """
    content = read_json(file, "data.split.file is the splits.json of a run or nnU-Net's splits_final.json.")
    parts = _fold_of(content, fold, file) if isinstance(content, list) else _whole(content, fold, file)
    known = {case.case_id: case for case in cases}
    # Runs of earlier versions kept names as the file system stored them, with composed or decomposed accents.
    parts = {part: [normalize("NFC", name) for name in case_ids] for part, case_ids in parts.items()}
    parts = {part: _present(case_ids, part, known, file, on_error) for part, case_ids in parts.items()}
    if "test" not in parts:
        training = [known[case_id] for case_id in parts["train"]]
        trained, validated = carve_validation(training, val, seed)
        parts = {"train": trained, "val": validated, "test": parts["val"]}
    splits = Splits(**parts)
    _check_once(splits, file)
    check_patients(splits, cases, str(file))
    return splits


def _whole(content: object, fold: int | None, file: Path) -> dict[str, tuple[str, ...]]:
    if fold is not None:
        raise UserError(f"{file}: holds one split, so there is no data.fold={fold} to choose. Leave data.fold out.")
    return _parts(content, ("train", "val", "test"), file)


def _fold_of(content: list[object], fold: int | None, file: Path) -> dict[str, tuple[str, ...]]:
    if fold is None or not 0 <= fold < len(content):
        raise UserError(
            f"{file}: holds {len(content)} folds, and data.fold={'null' if fold is None else fold} is none of them."
            f" Choose one of 0..{len(content) - 1}, or all of them with -m data.fold="
            f"{','.join(map(str, range(len(content))))}."
        )
    return _parts(content[fold], ("train", "val"), file)


def _parts(content: object, names: Sequence[str], file: Path) -> dict[str, tuple[str, ...]]:
    """Return the named lists of case ids."""
    parts = cast(Mapping[str, object], content) if isinstance(content, dict) else {}
    found = {name: names_in for name in names if (names_in := _names_in(parts.get(name)))}
    if len(found) < len(names):
        raise UserError(
            f"{file}: {' and '.join(map(repr, names))} must each list at least one case id. It is not the splits.json"
            " of a run, nor nnU-Net's splits_final.json."
        )
    return found


def _names_in(value: object) -> tuple[str, ...]:
    """Return the names in a list; none if it holds anything else or is not a list."""
    entries = cast(list[object], value) if isinstance(value, list) else []
    names = tuple(entry for entry in entries if isinstance(entry, str))
    return names if len(names) == len(entries) else ()


def _present(case_ids: Sequence[str], part: str, known: dict[str, Case], file: Path, on_error: str) -> tuple[str, ...]:
    """Return the cases that the data have; raise UserError for others, or with "skip" only if none is left."""
    missing = [case_id for case_id in case_ids if case_id not in known]
    present = tuple(case_id for case_id in case_ids if case_id in known)
    if missing:
        near = [nearest(case_id, known) for case_id in missing[:_MOST_NAMED]]
        error = UserError(
            f"{file}: {part} names {len(missing)} cases that are not in the data: {shortened(missing, _MOST_NAMED)}."
            f" The nearest of its {len(known)} cases: {', '.join(dict.fromkeys(near))}. Restore them, or use the file"
            " with the data it was made for."
        )
        if on_error != "skip" or not present:
            raise error
        tell_skipped(error)
    return present


def _check_once(splits: Splits, file: Path) -> None:
    counts = Counter((*splits.train, *splits.val, *splits.test))
    for case_id, count in counts.items():
        if count > 1:
            parts = [part for part, case_ids in splits.as_dict().items() if case_id in case_ids]
            raise UserError(
                f"{file}: case {case_id} appears {count} times, in {' and '.join(parts)}. Keep one of them."
            )
