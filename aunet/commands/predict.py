"""`aunet predict`: a label map for each scan, in the scan's own geometry."""

import argparse
import io
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aunet.commands.shared_options import add_output, add_trust, check_output
from aunet.config.words import is_setting, key_of, names_dataset, path_of
from aunet.errors import UserError
from aunet.messages import clock_words, duration_words, shortened

if TYPE_CHECKING:
    from aunet.inference.ensemble import ScanPredictor
    from aunet.inference.output_format import OutputFormat
    from aunet.inference.prediction_files import ScanFile
    from aunet.pipeline.prediction_delivery import Delivery
    from aunet.pipeline.prediction_manifest import PredictionManifest

_logger = logging.getLogger(__name__)
_STANDARD_INPUT = "-"
# Seconds left: for shorter ones a log needs no estimate.
_WORTH_A_LINE = 60
_INPUT_HELP = (
    "scans (NIfTI or folders of DICOM), folders of scans, - for a list on standard input, one a line, or the cases of a"
    " dataset: data=amos22 data.root=FOLDER; then settings of the prediction that replace the run's:"
    " inference.overlap=0.25 inference.window_batch=4. Folders of further runs before them make an ensemble"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``aunet predict``."""
    parser.add_argument("run", type=path_of, metavar="RUN", help="folder of a trained run")
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=_INPUT_HELP)
    add_output(parser, "folder for the label maps")
    add_trust(parser)
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace label maps that are there already")
    existing.add_argument(
        "--skip-existing", action="store_true", help="keep label maps that are there and whole, and predict the rest"
    )
    parser.add_argument(
        "--format", metavar="NAME", help="of the label maps: nii.gz, nii, nrrd, mha, dicom-seg; else the scan's"
    )
    parser.add_argument(
        "--segment-codes", type=path_of, metavar="FILE", help="JSON with coded names of classes for dicom-seg"
    )
    parser.add_argument("--probabilities", action="store_true", help="also write a volume for each class")
    parser.add_argument("--uncertainty", action="store_true", help="also write entropy and mutual information (nats)")
    parser.add_argument("--attention", action="store_true", help="also write the coefficients of each gate")
    parser.add_argument("--overlay", action="store_true", help="also draw a picture of each scan and its label map")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda or cuda:N; without it a GPU if there is one")


def predict(arguments: argparse.Namespace) -> None:
    """Write one label map per scan, named after the scan; a scan that fails does not stop the others."""
    from aunet.inference.prediction import Outputs
    from aunet.pipeline.prediction_delivery import Delivery
    from aunet.pipeline.prediction_manifest import PredictionManifest, describe_predictor

    output: Path = arguments.output
    check_output(output)
    inputs, words = split_inference(arguments.inputs)
    runs, inputs = split_runs(arguments.run, inputs)
    label_format = _find_format(arguments)
    is_replacing = arguments.overwrite or arguments.skip_existing
    files = _find_files(inputs, output, arguments.trust, is_overwriting=is_replacing, label_format=label_format)
    device = check_device(arguments.device)
    predictor = _load(runs, device, arguments.trust, _read_inference(words))
    outputs = Outputs(arguments.probabilities, arguments.uncertainty, arguments.attention)
    predictor.check_outputs(outputs)
    delivery = Delivery(output, outputs, arguments.overlay, label_format)
    manifest = PredictionManifest(output, describe_predictor(predictor), is_continued=arguments.skip_existing)
    delivery.check_places(files)
    if arguments.skip_existing:
        files = [file for file in files if not (delivery.is_complete(file, predictor.labels) and manifest.keeps(file))]
    classes = ", ".join(f"{index} {name}" for index, name in predictor.labels.foreground)
    _logger.info("%d scans on %s; values in the label maps: %s", len(files), predictor.device, classes)
    failed = _predict(predictor, files, delivery, manifest)
    _report_regions(predictor, len(files))
    if failed:
        raise UserError(
            f"{len(failed)} of {len(files)} scans could not be predicted, for the reasons above; "
            f"the label maps of the other {len(files) - len(failed)} are in {output}."
        )
    _logger.info("%d label maps written to %s", len(files), output)


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


def _load(
    runs: Sequence[Path], device: str | None, trusted_modules: Sequence[str], inference: dict[str, object]
) -> "ScanPredictor":
    from aunet.build import model

    if len(runs) > 1:
        from aunet.build.ensemble import load_ensemble

        return load_ensemble(runs, device, trusted_modules, inference)
    return model.load_run(runs[0], device=device, trusted_modules=trusted_modules, inference=inference)


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
    *,
    is_overwriting: bool,
    label_format: "OutputFormat | None",
) -> "Sequence[ScanFile]":
    from aunet.inference.prediction_files import scan_files, scan_files_of_cases

    if not names_dataset(inputs):
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="surrogateescape")  # as Python reads file names of any encoding
        listed = [read_list(list(sys.stdin)) if word == _STANDARD_INPUT else [word] for word in inputs]
        paths = [path_of(word) for words in listed for word in words]
        return scan_files(paths, output, is_overwriting=is_overwriting, label_format=label_format)
    from aunet.pipeline.configuration import build_cohort_of_words

    cohort = build_cohort_of_words(inputs, trusted_modules)
    return scan_files_of_cases(cohort.cases, output, is_overwriting=is_overwriting, label_format=label_format)


def _predict(
    predictor: "ScanPredictor", files: "Sequence[ScanFile]", delivery: "Delivery", manifest: "PredictionManifest"
) -> list[str]:
    """Predict and write each file, showing progress; return the names of the failed scans."""
    from aunet.inference.class_names import write_class_names
    from aunet.pipeline.prediction_leftovers import cleared_of_leftovers
    from aunet.pipeline.scan_predictions import predict_scans
    from aunet.terminal import run_progress

    start, step = time.monotonic(), max(1, len(files) // 10)
    logged = 0
    with cleared_of_leftovers(delivery.folder, files), run_progress() as progress:
        write_class_names(delivery.folder, predictor.labels)
        manifest.begin()
        bar = progress.add_task("Predicting", total=len(files))

        def show(number: int, share: float, name: str) -> None:
            nonlocal logged
            progress.update(bar, completed=number + share, description=f"Predicting {name}")
            if number == logged or (logged and number % step) or progress.console.is_terminal:
                return
            logged = number  # a file or pipe shows no bar
            left = (time.monotonic() - start) / (number + share) * (len(files) - number - share)
            if left >= _WORTH_A_LINE:
                words = number, len(files), duration_words(left), clock_words(left)
                _logger.info("%d of %d scans are predicted; about %s left, until %s", *words)

        return predict_scans(predictor, files, delivery, manifest, show)


def _report_regions(predictor: "ScanPredictor", number: int) -> None:
    for member in predictor.members:
        if member.region and (missed := member.region.missed):
            text = "Region: %d of %d scans were labelled whole, as the run's coarse network misses an organ in them: %s"
            _logger.warning(text, len(missed), number, shortened(missed))


def check_device(name: str | None) -> str | None:
    """Return ``name`` if torch can use this device here; raise UserError otherwise."""
    import torch

    try:
        device = torch.device(name or "cpu")
    except RuntimeError as error:
        raise UserError(f"--device {name}: no such device; use cpu, cuda or cuda:N.") from error
    available = torch.cuda.device_count()
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and (device.index or 0) >= available):
        raise UserError(f"--device {name}: this machine has the CPU and {available} CUDA devices; name one of them.")
    return name
