"""`aunet evaluate`: score predicted label maps against a folder of references, or a dataset by class name."""

import argparse
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from aunet.classes import describe_classes
from aunet.commands.score_options import numbers_objects, parse_classes, parse_scoring
from aunet.commands.shared_options import add_output, add_own_parts, check_config_dir_used, check_output, path_argument
from aunet.config.words import names_dataset, path_of
from aunet.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from aunet.metrics.label_map_scores import ClassValues, Scoring


@dataclass(frozen=True)
class Scored:
    """The scores, a note on each class or group of cases left out, and whether the scans are of a phantom, if known."""

    scores: "pd.DataFrame"
    left_out: list[str] = field(default_factory=list[str])
    is_phantom: bool | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``aunet evaluate``."""
    parser.add_argument(
        "predictions",
        type=path_argument,
        metavar="PREDICTIONS",
        help="folder of predicted label maps, or a CSV file of pairs: columns prediction, reference and,"
        " if known, case_id and patient",
    )
    parser.add_argument(
        "references",
        nargs="*",
        metavar="REFERENCES",
        help="folder of reference label maps, or a dataset: data=amos22 data.root=FOLDER",
    )
    add_output(parser, "folder for the scores")
    add_own_parts(parser)
    parser.add_argument(
        "--classes",
        nargs="+",
        metavar="NAME=VALUE",
        help="the classes and their values in the label maps, several as in whole=1+2 core=2, and ignore=255 for voxels"
        " without reference; nucleus=any if the label maps number objects; without it every value found is a class, or"
        " against a dataset those that the class_names.json beside the predictions names",
    )
    parser.add_argument(
        "--tolerance",
        nargs="+",
        default=[],
        metavar="MM",
        help="distance in mm up to which surfaces agree (NSD), of all classes or NAME=MM of one; 2 mm without it",
    )
    parser.add_argument(
        "--lesions",
        action="store_true",
        help="also score the detection of separate parts (connected components) of each class",
    )
    parser.add_argument(
        "--mesh",
        action="store_true",
        help="also measure the distance of triangle meshes, as the paper does; needs pip install 'aunet[mesh]'",
    )
    parser.add_argument(
        "--probabilities",
        type=path_argument,
        metavar="DIR",
        help="also score the calibration (Brier, ECE) of the probabilities in DIR, as aunet predict --probabilities"
        " writes them",
    )
    parser.add_argument(
        "--others-are-background",
        action="store_true",
        help="take values that --classes does not name as background",
    )


def evaluate(arguments: argparse.Namespace) -> None:
    """Score every case, write case_scores.csv and summary.json, and print the table."""
    from aunet.files import write_json
    from aunet.metrics.case_scores import (
        CONVENTION,
        PENALTY,
        count_cases,
        has_patients,
        patients,
        summarise,
        summary_as_mapping,
        write_case_scores,
    )
    from aunet.metrics.mesh_distance import check_meshes
    from aunet.reporting.tables import score_table
    from aunet.runs.inner_folders import ScoreFolder
    from aunet.runs.run_folder import RunFolder, is_run_folder
    from aunet.terminal import table_console

    check_output(arguments.output)
    if is_run_folder(arguments.predictions):
        own = RunFolder(arguments.predictions).test.predictions
        raise UserError(f"{arguments.predictions}: a run. Give the folder of its label maps, {own}.")
    values_of_class = parse_classes(arguments.classes) if arguments.classes else None
    scoring = replace(
        parse_scoring(arguments.tolerance),
        has_lesions=arguments.lesions,
        has_meshes=arguments.mesh,
        has_objects=numbers_objects(arguments.classes or []),
        probabilities=arguments.probabilities,
    )
    if arguments.mesh:
        check_meshes()
    scored = _choose(arguments)(arguments, values_of_class, scoring)
    scores = scored.scores
    summary, output = summarise(scores), ScoreFolder(arguments.output)

    write_case_scores(output.case_scores, scores)
    content = {
        "cases": scores["case_id"].nunique(),
        "patients": patients(scores).nunique() if has_patients(scores) else None,
        "is_phantom": scored.is_phantom,
        "scores": summary_as_mapping(summary),
        "convention": CONVENTION,
        "penalty": PENALTY,
        "left_out": scored.left_out,
    }
    write_json(output.summary, content)
    console = table_console()
    references = f" against {' '.join(arguments.references)}" if arguments.references else ""
    title = f"{arguments.predictions}{references}: {count_cases(scores)}"
    console.print(score_table(summary, title, is_phantom=bool(scored.is_phantom)))
    for note in scored.left_out:
        console.print(f"Left out: {note}", soft_wrap=True, markup=False)
    console.print(f"Scores written to {arguments.output}", soft_wrap=True, markup=False)


def _choose(
    arguments: argparse.Namespace,
) -> "Callable[[argparse.Namespace, ClassValues | None, Scoring], Scored]":
    """Return the way to score: a table of pairs, a dataset or a folder of references."""
    is_table = arguments.predictions.suffix.lower() == ".csv"
    if names_dataset(arguments.references) and not is_table:
        return _against_dataset
    check_config_dir_used(arguments.config_dir)
    return _of_pairs if is_table else _against_folder


def _of_pairs(arguments: argparse.Namespace, values_of_class: "ClassValues | None", scoring: "Scoring") -> Scored:
    """Score the label maps that a CSV file pairs."""
    from aunet.evaluation.pair_table import read_pairs

    if arguments.references:
        raise UserError(
            f"{arguments.references[0]}: {arguments.predictions} names the references already; leave it out."
        )
    table = read_pairs(arguments.predictions)
    scores = _score_pairs(table.pairs, arguments, values_of_class, scoring)
    return Scored(scores.assign(patient=[table.patients.get(str(case_id), "") for case_id in scores["case_id"]]))


def _against_folder(arguments: argparse.Namespace, values_of_class: "ClassValues | None", scoring: "Scoring") -> Scored:
    """Score the label maps of the same name in both folders."""
    from aunet.evaluation.folder_scores import match_files

    if not arguments.references:
        raise UserError(
            f"{arguments.predictions}: no references. Give their folder, a dataset (data=NAME data.root=…), or a CSV"
            " file of pairs in place of both."
        )
    if len(arguments.references) > 1:
        raise UserError(
            f"{arguments.references[1]}: give one folder of references, or a dataset: data=NAME data.root=…"
        )
    if not values_of_class:
        _refuse_regions(arguments.predictions)
    pairs = match_files(arguments.predictions, path_of(arguments.references[0]))
    scores = _score_pairs(pairs, arguments, values_of_class, scoring)
    return Scored(scores.assign(patient=""))  # a folder does not name the patients


def _refuse_regions(predictions: Path) -> None:
    """Raise UserError if ``predictions`` are of regions, of which a single value says too little."""
    from aunet.inference.class_names import read_class_names

    labels = read_class_names(predictions)
    if labels is not None and labels.regions:
        words = [f"{name}={'+'.join(map(str, labels.values_of(index)))}" for index, name in labels.foreground]
        raise UserError(
            f"{predictions}: holds regions that overlap, whose values --classes must name. If the references number"
            f" them alike, add --classes {' '.join(words)}; else name a dataset: data=NAME data.root=…"
            " data.target_regions=…"
        )


def _score_pairs(
    pairs: Mapping[str, tuple[Path, Path]],
    arguments: argparse.Namespace,
    values_of_class: "ClassValues | None",
    scoring: "Scoring",
) -> "pd.DataFrame":
    from aunet.evaluation.folder_scores import score_pairs

    if values_of_class:  # else the classes are the values found in the files
        _check_tolerances(scoring, values_of_class)
    others = arguments.others_are_background
    scores = score_pairs(pairs, values_of_class, is_other_background=others, scoring=scoring)
    _check_tolerances(scoring, scores["class"].unique().tolist())
    return scores


def _against_dataset(
    arguments: argparse.Namespace, values_of_class: "ClassValues | None", scoring: "Scoring"
) -> Scored:
    """Score the classes that the predictions and the dataset have in common by name."""
    from aunet.evaluation.cohort_scores import ignore_values, match_cases, match_classes, score_cohort
    from aunet.inference.class_names import read_class_names
    from aunet.pipeline.configuration import build_cohort_of_words

    labels = None if values_of_class else read_class_names(arguments.predictions)
    if labels is not None:
        values_of_class = {name: labels.values_of(index) for index, name in labels.foreground}
    if values_of_class is None:
        raise UserError(
            f"{arguments.predictions}: no class_names.json says what the values mean. Name them: --classes spleen=1 …"
        )
    cohort = build_cohort_of_words(arguments.references, arguments.trust, arguments.config_dir)
    if labels is not None and bool(labels.regions) != bool(cohort.labels.regions):
        both = f"{describe_classes(labels)}, and {cohort.name} {describe_classes(cohort.labels)}"
        raise UserError(
            f"{arguments.predictions}: holds {both}. Give the dataset the same data.target_regions, or name the values"
            " of the predictions: --classes whole=1+2 core=2."
        )
    cohort = ignore_values(values_of_class, cohort)
    classes = match_classes(values_of_class, cohort)
    _check_tolerances(scoring, list(classes.values))
    pairs, without_prediction = match_cases(arguments.predictions, cohort)
    scores = score_cohort(pairs, classes, cohort, is_other_background=arguments.others_are_background, scoring=scoring)
    left_out = [*classes.left_out, *([without_prediction] if without_prediction else [])]
    return Scored(scores, left_out, cohort.is_phantom)


def _check_tolerances(scoring: "Scoring", classes: Collection[str]) -> None:
    """Raise UserError for a tolerance of a class that is not scored."""
    for name, tolerance in scoring.tolerances.items():
        if name not in classes:
            raise UserError(
                f"--tolerance {name}={tolerance:g}: no such class is scored. Name one of {', '.join(classes)}."
            )
