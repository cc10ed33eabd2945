"""`aunet evaluate`: scores of two folders of label maps, whoever made them."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from aunet.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``aunet evaluate``."""
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="folder of predicted label maps (NIfTI)")
    parser.add_argument("references", type=Path, metavar="REFERENCES", help="folder of reference label maps (NIfTI)")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder for the scores")
    parser.add_argument(
        "--classes",
        nargs="+",
        metavar="NAME=VALUE",
        help="the classes and their values in the label maps; without it every value found is a class",
    )
    parser.add_argument(
        "--others-are-background",
        action="store_true",
        help="take values that --classes does not name as background",
    )


def evaluate(arguments: argparse.Namespace) -> None:
    """Score the files of one name in both folders; write case_scores.csv and summary.json, print the table."""
    from aunet.atomic_files import write_json
    from aunet.metrics.case_scores import CONVENTION, summarise, summary_as_mapping, write_case_scores
    from aunet.reporting.folder_scores import match_files, score_pairs
    from aunet.reporting.tables import score_table, table_console

    value_of_class = parse_classes(arguments.classes) if arguments.classes else None
    pairs = match_files(arguments.predictions, arguments.references)
    scores = score_pairs(pairs, value_of_class, is_other_background=arguments.others_are_background)
    summary = summarise(scores)

    write_case_scores(arguments.output / "case_scores.csv", scores)
    content = {"cases": len(pairs), "scores": summary_as_mapping(summary), "convention": CONVENTION}
    write_json(arguments.output / "summary.json", content)
    console = table_console()
    console.print(score_table(summary, f"{arguments.predictions} against {arguments.references}: {len(pairs)} cases"))
    console.print(f"Scores written to {arguments.output}", soft_wrap=True, markup=False)


def parse_classes(words: Sequence[str]) -> dict[str, int]:
    """``["spleen=1", "pancreas=2"]`` -> ``{"spleen": 1, "pancreas": 2}``; UserError for anything else."""
    classes: dict[str, int] = {}
    for word in words:
        name, _, value = word.partition("=")
        if not name or not value.isdecimal() or int(value) == 0:
            raise UserError(f"--classes {word}: write NAME=VALUE with a whole number from 1, as in spleen=1.")
        if name in classes or int(value) in classes.values():
            raise UserError(f"--classes {word}: the name or the value stands twice; give each class its own.")
        classes[name] = int(value)
    return classes
