"""Scores of whole folders: label maps are matched by file name, and a few cases are scored at a time."""

import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from aunet.classes import IGNORED
from aunet.data.cohort.listed_labels import is_ignore
from aunet.data.io.dicom_files import holds_dicom
from aunet.data.io.formats import READABLE
from aunet.data.io.grid import cover_both
from aunet.data.io.volume import Volume, align, check_same_grid, is_image, read_label, stem
from aunet.data.sources.listed_paths import plain_name, without_slicer_ending
from aunet.errors import UserError
from aunet.evaluation.probability_files import measure_calibrations
from aunet.messages import shortened
from aunet.metrics.bounding_boxes import class_boxes
from aunet.metrics.case_scores import join_scores
from aunet.metrics.label_map_scores import (
    NOT_MEASURED,
    USUAL_SCORING,
    ClassValues,
    Scoring,
    scan_diagonal,
    score_values,
)
from aunet.terminal import shown

_logger = logging.getLogger(__name__)

# Limits memory: a case with a CT of the whole abdomen has two label maps of 80 MB each.
_MOST_THREADS = 4
_LARGEST_VALUE = 2**16 - 1
_FIRST_CHANNEL = "_0000"
_NO_PREDICTIONS = "a CSV file with the columns prediction and reference"
_NO_REFERENCES = "name a dataset: data=NAME data.root=FOLDER"
# So many values in only one of predictions and references number objects rather than classes.
_MANY_VALUES = 10


def match_files(predictions: Path, references: Path) -> dict[str, tuple[Path, Path]]:
    """Return case_id -> (prediction, reference); raise UserError that lists the files without a counterpart."""
    predicted, expected = label_maps(predictions), label_maps(references, _NO_REFERENCES)
    predicted = _without_channel_ending(predicted, expected)
    for folder, names, other in (
        (predictions, sorted(expected.keys() - predicted.keys()), references),
        (references, sorted(predicted.keys() - expected.keys()), predictions),
    ):
        if names:
            raise UserError(
                f"{folder}: no label map for {len(names)} of {other}: {shortened(names)}. Files are matched by name;"
                " rename them, or take out those that are not to be scored. With a dataset as the reference (data=NAME"
                " data.root=FOLDER), only the predicted cases are scored."
            )
    return {case_id: (predicted[case_id], expected[case_id]) for case_id in sorted(expected)}


def _without_channel_ending(predicted: Mapping[str, Path], expected: Mapping[str, Path]) -> dict[str, Path]:
    """Return ``predicted`` by the names in ``expected``: nnU-Net calls the label map of ``case_0000`` ``case``."""
    plain = {name: name.removesuffix(_FIRST_CHANNEL) for name in predicted}
    is_case = {name: name not in expected and short in expected.keys() - predicted for name, short in plain.items()}
    return {plain[name] if is_case[name] else name: path for name, path in predicted.items()}


def score_pairs(
    pairs: Mapping[str, tuple[Path, Path]],
    values_of_class: ClassValues | None = None,
    *,
    is_other_background: bool = False,
    scoring: Scoring = USUAL_SCORING,
) -> pd.DataFrame:
    """Score (prediction, reference) of each case_id: a row per case and class, as ``label_map_scores.score_values``.

    ``values_of_class`` names the classes and their integers; other values raise UserError, or are background if
    ``is_other_background``. An entry ``ignore`` names the values of the reference that are not scored. Without
    ``values_of_class``, every value in any of the files is a class, named by its number. Files do not
    name their patients, so each case counts as its own patient.
    """

    def score(case_id: str) -> tuple[pd.DataFrame, float]:
        return _score_files(case_id, *pairs[case_id], values_of_class, is_other_background, scoring)

    # Decompressing, searching boxes and neighbours and counting release the GIL: threads are enough.
    with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS)) as pool:
        try:
            scored = list(shown(pool.map(score, pairs), "Scoring cases", len(pairs)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    tables = [table for table, _ in scored]
    if values_of_class:
        return join_scores(tables)
    diagonals = dict(zip(pairs, (diagonal for _, diagonal in scored), strict=True))
    return _with_every_class(tables, diagonals, scoring)


def label_maps(folder: Path, instead: str = _NO_PREDICTIONS) -> dict[str, Path]:
    """Return case_id -> label map for the files of every readable format and the folders of DICOM in ``folder``.

    Accents of the ids are composed (NFC), and the ending .seg of 3D Slicer is left out if that makes no two ids equal.
    The message about a missing folder ends with ``instead``, which may be given in its place.
    """
    if not folder.is_dir():
        what = "a file, not a folder" if folder.is_file() else "no such folder"
        raise UserError(f"{folder}: {what}; give the folder that holds the label maps, or {instead}.")
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    files = [entry for entry in entries if is_image(entry) or (entry.is_dir() and holds_dicom(entry))]
    if not files:
        raise UserError(
            f"{folder}: holds no file of a known format ({READABLE}); give the folder that holds the label maps."
        )
    found: dict[str, Path] = {}
    for file in files:
        case_id = plain_name(file.name if file.is_dir() else stem(file))
        if case_id in found:
            raise UserError(f"{folder}: {found[case_id].name} and {file.name} name one case; keep one of them.")
        found[case_id] = file
    return without_slicer_ending(found)


def read_scored(file: Path, scoring: Scoring) -> Volume:
    """Read a label map; numbered objects of one class become 1."""
    volume = read_label(file)
    return replace(volume, array=(volume.array > 0).astype(np.uint8)) if scoring.has_objects else volume


def _score_files(
    case_id: str,
    prediction: Path,
    reference: Path,
    values_of_class: ClassValues | None,
    is_other_background: bool,
    scoring: Scoring,
) -> tuple[pd.DataFrame, float]:
    """Return the scores of one case and the diagonal of its scan (mm), which a case without any class has too."""
    # Neither of two segmentations in DICOM has the size of the scan.
    expected, predicted = cover_both(*(read_scored(file, scoring) for file in (reference, prediction)))
    predicted = align(predicted, expected)
    expected = align(expected, predicted)
    check_same_grid(expected, predicted, case_id)
    found = _values_in(expected) | _values_in(predicted)
    if values_of_class is None:
        values_of_class = {str(value): (value,) for value in sorted(found)}
    elif not is_other_background and (unknown := found.difference(*values_of_class.values())):
        known = " ".join(f"{name}={'+'.join(map(str, values))}" for name, values in values_of_class.items())
        raise UserError(
            f"case {case_id}: {prediction} or {reference} holds the values [{shortened(sorted(unknown))}], and"
            f" --classes names only {known}. Name them too, or take them as background with --others-are-background."
        )
    classes, ignored = without_ignored(values_of_class)
    is_ignored = np.isin(expected.array, ignored) if ignored else None
    found, true = (
        volume.array if is_ignored is None else np.where(is_ignored, 0, volume.array)
        for volume in (predicted, expected)
    )
    calibrations = NOT_MEASURED
    if scoring.probabilities is not None:
        told = (
            expected if is_ignored is None else replace(expected, array=np.where(is_ignored, IGNORED, expected.array))
        )
        numbers = None if is_ignored is None else classes
        calibrations = measure_calibrations(scoring.probabilities, prediction, classes, told, numbers)
    scores = score_values(case_id, found, true, expected.spacing, classes, scoring=scoring, calibrations=calibrations)
    return scores, scan_diagonal(expected.shape, expected.spacing)


def without_ignored(values_of_class: ClassValues) -> tuple[ClassValues, tuple[int, ...]]:
    """Return the classes without the entry ``ignore``, and its values; raise UserError if a class has one of them."""
    classes = {name: values for name, values in values_of_class.items() if not is_ignore(name)}
    ignored = tuple(value for name, values in values_of_class.items() if name not in classes for value in values)
    named = {value for values in classes.values() for value in values}
    if ignored and (not classes or named & {*ignored, IGNORED}):
        raise UserError(
            f"--classes: ignore={'+'.join(map(str, ignored))} needs classes beside it, none of which has one of its"
            f" values or {IGNORED}. Correct the values."
        )
    return classes, ignored


def _values_in(volume: Volume) -> set[int]:
    lowest, highest = volume.array.min(), volume.array.max()
    if lowest < 0 or highest > _LARGEST_VALUE:
        raise UserError(
            f"{volume.name}: holds values from {lowest} to {highest}; classes are whole numbers from 0 (background) "
            f"to {_LARGEST_VALUE}. Is it a label map?"
        )
    return set(class_boxes(volume.array))


def _warn_of_unlike_values(scores: pd.DataFrame) -> None:
    """Warn of values that no reference holds, and of so many that one side lacks that they may number objects."""
    names = [str(name) for name in dict.fromkeys(scores["class"])]
    true, found = (set(scores.loc[scores[column] > 0, "class"]) for column in ("reference_ml", "predicted_ml"))
    invented = [name for name in names if name not in true]
    missed = [name for name in names if name not in found]
    if invented:
        are = f"value {invented[0]} is" if len(invented) == 1 else f"values {shortened(invented)} are"
        _logger.warning("%s in predictions only, in no reference; do both number classes alike?", are)
    if max(len(invented), len(missed)) >= _MANY_VALUES:
        _logger.warning(
            "each of %d values counts as a class. If they number objects of one class, add --classes NAME=any",
            len(names),
        )


def _with_every_class(
    tables: Sequence[pd.DataFrame], diagonal_of_case: Mapping[str, float], scoring: Scoring
) -> pd.DataFrame:
    """Return a row for every case and every class of any case; a class absent from a case is undefined there."""
    filled = [table for table in tables if len(table)]
    case_ids = list(diagonal_of_case)
    if not filled:
        raise UserError(f"{shortened(case_ids)}: all voxels of all label maps are 0; there is no class to score.")
    scores = join_scores(filled)
    classes = sorted(scores["class"].unique(), key=int)
    rows = pd.MultiIndex.from_product([case_ids, classes], names=["case_id", "class"])
    full = scores.set_index(["case_id", "class"]).reindex(rows).reset_index()
    _warn_of_unlike_values(full)
    full = full.fillna({"reference_ml": 0.0, "predicted_ml": 0.0})
    diagonals = [diagonal_of_case[str(case_id)] for case_id in full["case_id"]]
    tolerances = [scoring.tolerance_of(str(name)) for name in full["class"]]
    filled_in = full.assign(patient=full["case_id"], diagonal_mm=diagonals, tolerance_mm=tolerances)
    return filled_in.reindex(columns=list(scores.columns))
