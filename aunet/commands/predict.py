"""`aunet predict`: write a label map for each scan, in the scan's own geometry."""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aunet.commands.shared_options import add_output, add_own_parts, check_config_dir_used, check_output, path_argument
from aunet.config.words import is_setting, key_of, names_dataset, path_of
from aunet.errors import MissingPackageError, UserError
from aunet.messages import counted

if TYPE_CHECKING:
    from aunet.inference.output_format import OutputFormat
    from aunet.inference.prediction_files import ScanFile

_STANDARD_INPUT = "-"
_UNLABELLED = (
    "Words of a dataset name its labelled cases; scans without label maps are given by their folder: aunet predict RUN"
    " FOLDER --output DIR."
)
_INPUT_HELP = (
    "further runs, for an ensemble; then scans of any format, folders of them, folders with a DICOM series, - for a"
    " list on standard input, one a line, or the cases of a dataset: data=amos22 data.root=FOLDER; then settings of the"
    " prediction that replace the run's: inference.overlap=0.25 inference.window_batch=4"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``aunet predict``."""
    parser.add_argument("run", type=path_argument, metavar="RUN", help="folder of a trained run")
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=_INPUT_HELP)
    add_output(parser, "folder for the label maps")
    add_own_parts(parser)
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace label maps that are there already")
    existing.add_argument(
        "--skip-existing",
        action="store_true",
        help="keep label maps that are there already and whole, and predict the rest",
    )
    parser.add_argument(
        "--format", metavar="NAME", help="of the label maps: nii.gz, nii, nrrd, mha or dicom-seg; by default the scan's"
    )
    parser.add_argument(
        "--segment-codes", type=path_argument, metavar="FILE", help="JSON with coded names of classes for dicom-seg"
    )
    parser.add_argument("--probabilities", action="store_true", help="also write a volume for each class")
    parser.add_argument("--uncertainty", action="store_true", help="also write entropy and mutual information (nats)")
    parser.add_argument("--attention", action="store_true", help="also write the coefficients of each gate")
    parser.add_argument("--overlay", action="store_true", help="also draw a picture of each scan and its label map")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda or cuda:N; without it a GPU if there is one")


def predict(arguments: argparse.Namespace) -> None:
    """Write one label map per scan, named after the scan; a scan that fails does not stop the others."""
    from aunet.inference.prediction import Outputs
    from aunet.pipeline.prediction import load_predictor, predict_files
    from aunet.pipeline.prediction_delivery import Delivery

    output: Path = arguments.output
    check_output(output)
    inputs, words = split_inference(arguments.inputs)
    runs, inputs = split_runs(arguments.run, inputs)
    label_format = _find_format(arguments)
    is_replacing = arguments.overwrite or arguments.skip_existing
    trusted, own_folders = arguments.trust, arguments.config_dir
    files = _find_files(inputs, output, trusted, own_folders, is_overwriting=is_replacing, label_format=label_format)
    predictor = load_predictor(runs, check_device(arguments.device), trusted, _read_inference(words))
    outputs = Outputs(arguments.probabilities, arguments.uncertainty, arguments.attention)
    delivery = Delivery(output, outputs, arguments.overlay, label_format)
    predict_files(predictor, files, delivery, is_continued=arguments.skip_existing)


def split_inference(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the inputs, which may be a dataset's words, and the words that set ``inference.*``.

    Raises:
        UserError: for a setting of something else, or if there is no input.
    """
    settings = [word for word in words if is_setting(word)]
    inference = [word for word in settings if key_of(word).startswith("inference.")]
    for word in settings:
        if word not in inference and not names_dataset([word]):
            raise UserError(
                f"{word}: there is no such file, and aunet predict takes only settings of the prediction,"
                " inference.KEY=VALUE, and of a dataset, data=NAME data.KEY=VALUE. Leave it out: a run keeps its other"
                " settings."
            )
    inputs = [word for word in words if word not in inference]
    if not inputs:
        raise UserError(f"{inference[0]}: no scan is given. Name scans or folders after the run's folder.")
    return inputs, inference


def split_runs(first: Path, inputs: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the runs, ``first`` and those that follow it, and the inputs after them.

    Raises:
        UserError: if no input follows the runs.
    """
    from aunet.runs.run_folder import is_run_folder

    number = next((at for at, word in enumerate(inputs) if not is_run_folder(path_of(word))), len(inputs))
    runs = [first, *(path_of(word) for word in inputs[:number])]
    if number == len(inputs):
        raise UserError(f"{inputs[-1]}: a run, and no scan is given. Name scans or folders after the runs.")
    return runs, list(inputs[number:])


def read_list(lines: Sequence[str]) -> list[str]:
    """Return the scans of a list, one a line, perhaps behind a byte order mark; raise UserError if it is empty."""
    scans = [path for line in lines if (path := line.removeprefix("\ufeff").strip())]
    if not scans:
        raise UserError("-: standard input holds no path. Write one scan a line, such as: ls scans/*.nii.gz | aunet …")
    return scans


def _read_inference(words: Sequence[str]) -> dict[str, object]:
    """Return the values of ``inference.KEY=VALUE`` by KEY."""
    if not words:
        return {}
    from aunet.config.overrides import parse_values

    return {key.removeprefix("inference."): value for key, value in parse_values(words).items()}


def _find_format(arguments: argparse.Namespace) -> "OutputFormat | None":
    """Return the format that ``--format`` names; None without it."""
    if arguments.format is None and arguments.segment_codes is None:
        return None
    from aunet.export.label_formats import find_format

    return find_format(arguments.format or "nii.gz", arguments.segment_codes)


def _find_files(
    inputs: Sequence[str],
    output: Path,
    trusted_modules: Sequence[str],
    own_folders: Sequence[Path],
    *,
    is_overwriting: bool,
    label_format: "OutputFormat | None",
) -> "Sequence[ScanFile]":
    from aunet.inference.prediction_files import scan_files, scan_files_of_cases

    if not names_dataset(inputs):
        check_config_dir_used(own_folders)
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="surrogateescape")  # as Python reads file names of any encoding
        listed = [read_list(list(sys.stdin)) if word == _STANDARD_INPUT else [word] for word in inputs]
        paths = [path_of(word) for words in listed for word in words]
        return scan_files(paths, output, is_overwriting=is_overwriting, label_format=label_format)
    from aunet.build.data import build_cohort
    from aunet.pipeline.configuration import compose_dataset

    draft = compose_dataset(inputs, trusted_modules, own_folders)
    try:
        cohort = build_cohort(draft.data, trusted_modules)
    except MissingPackageError:
        raise
    except UserError as error:
        raise UserError(f"{error} {_UNLABELLED}") from None
    return scan_files_of_cases(cohort.cases, output, is_overwriting=is_overwriting, label_format=label_format)


def check_device(name: str | None) -> str | None:
    """Return ``name`` if torch can use this device here; raise UserError otherwise."""
    import torch

    try:
        device = torch.device(name or "cpu")
    except RuntimeError as error:
        raise UserError(f"--device {name}: no such device; use cpu, cuda or cuda:N.") from error
    available = torch.cuda.device_count()
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and (device.index or 0) >= available):
        devices = f"the CPU and {counted(available, 'CUDA device')} that torch can use"
        raise UserError(f"--device {name}: this machine has {devices}. Name one of them, or leave --device out.")
    return name
