"""`aunet evaluate`: scores of predicted label maps against a folder of references, or a dataset by class name."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aunet.errors import UserError
from aunet.pipeline.dataset_words import cohort_of_words, names_dataset

if TYPE_CHECKING:
    import pandas as pd

# The scores, and a note on each class or group of cases left out.
Scored = tuple["pd.DataFrame", list[str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``aunet evaluate``."""
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="folder of predicted label maps (NIfTI)")
    parser.add_argument(
        "references",
        nargs="+",
        metavar="REFERENCES",
        help="folder of reference label maps (NIfTI), or a dataset: data=amos22 data.root=FOLDER",
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder for the scores")
    parser.add_argument(
        "--classes",
        nargs="+",
        metavar="NAME=VALUE",
        help="the classes and their values in the label maps; without it every value found is a class, or against a "
        "dataset those that the class_names.json beside the predictions names",
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
    from aunet.reporting.tables import score_table
    from aunet.runs.run_folder import ScoreFolder
    from aunet.terminal import table_console

    value_of_class = parse_classes(arguments.classes) if arguments.classes else None
    score = _against_dataset if names_dataset(arguments.references) else _against_folder
    scores, left_out = score(arguments, value_of_class)
    summary, output = summarise(scores), ScoreFolder(arguments.output)

    write_case_scores(output.case_scores, scores)
    content = {
        "cases": scores["case_id"].nunique(),
        "patients": patients(scores).nunique() if has_patients(scores) else None,
        "scores": summary_as_mapping(summary),
        "convention": CONVENTION,
        "penalty": PENALTY,
        "left_out": left_out,
    }
    write_json(output.summary, content)
    console, references = table_console(), " ".join(map(str, arguments.references))
    console.print(score_table(summary, f"{arguments.predictions} against {references}: {count_cases(scores)}"))
    for note in left_out:
        console.print(f"Left out: {note}", soft_wrap=True, markup=False)
    console.print(f"Scores written to {arguments.output}", soft_wrap=True, markup=False)


def _against_folder(arguments: argparse.Namespace, value_of_class: dict[str, int] | None) -> Scored:
    """Score the label maps of the same name in both folders."""
    from aunet.evaluation.folder_scores import match_files, score_pairs

    if len(arguments.references) > 1:
        raise UserError(
            f"{arguments.references[1]}: give one folder of references, or a dataset: data=NAME data.root=…"
        )
    pairs = match_files(arguments.predictions, Path(arguments.references[0]))
    scores = score_pairs(pairs, value_of_class, is_other_background=arguments.others_are_background)
    return scores.assign(patient=""), []  # a folder does not name the patients


def _against_dataset(arguments: argparse.Namespace, value_of_class: dict[str, int] | None) -> Scored:
    """Score the classes that the predictions and the dataset have in common by name."""
    from aunet.evaluation.cohort_scores import match_cases, match_classes, score_cohort
    from aunet.inference.class_names import read_class_names

    labels = None if value_of_class else read_class_names(arguments.predictions)
    if labels is not None:
        value_of_class = {name: value for value, name in labels.foreground}
    if value_of_class is None:
        raise UserError(
            f"{arguments.predictions}: no class_names.json says what the values mean. Name them: --classes spleen=1 …"
        )
    cohort = cohort_of_words(arguments.references)
    classes = match_classes(value_of_class, cohort)
    pairs, without_prediction = match_cases(arguments.predictions, cohort)
    scores = score_cohort(pairs, classes, cohort, is_other_background=arguments.others_are_background)
    return scores, [*classes.left_out, *([without_prediction] if without_prediction else [])]


def parse_classes(words: Sequence[str]) -> dict[str, int]:
    """Parse ``["spleen=1", "pancreas=2"]`` to ``{"spleen": 1, "pancreas": 2}``; raise UserError for anything else."""
    classes: dict[str, int] = {}
    for word in words:
        name, _, value = word.partition("=")
        if not name or not value.isdecimal() or int(value) == 0:
            raise UserError(f"--classes {word}: write NAME=VALUE with a whole number from 1, as in spleen=1.")
        if name in classes or int(value) in classes.values():
            raise UserError(f"--classes {word}: the name or the value appears twice; give each class its own.")
        classes[name] = int(value)
    return classes
