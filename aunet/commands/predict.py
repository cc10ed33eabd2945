"""`aunet predict`: a label map for each scan, in the scan's own geometry."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aunet.commands.shared_options import add_output, add_trust, check_output
from aunet.config.words import is_setting, key_of, names_dataset, path_of
from aunet.errors import UserError
from aunet.messages import shortened

if TYPE_CHECKING:
    from aunet.inference.prediction_files import ScanFile
    from aunet.inference.predictor import Predictor

_logger = logging.getLogger(__name__)
_INPUT_HELP = (
    "scans (NIfTI or folders of DICOM), folders of scans, or the cases of a dataset: data=amos22 data.root=FOLDER;"
    " then settings of the prediction that replace the run's: inference.overlap=0.25 inference.window_batch=4"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``aunet predict``."""
    parser.add_argument("run", type=path_of, metavar="RUN", help="folder of a trained run")
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=_INPUT_HELP)
    add_output(parser, "folder for the label maps")
    add_trust(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace label maps that are there already")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda or cuda:N; without it a GPU if there is one")


def predict(arguments: argparse.Namespace) -> None:
    """Write one label map per scan, named after the scan; a scan that fails does not stop the others."""
    from aunet.build.model import load_run
    from aunet.inference.class_names import write_class_names

    check_output(arguments.output)
    inputs, words = split_inference(arguments.inputs)
    files = _find_files(inputs, arguments.output, arguments.trust, is_overwriting=arguments.overwrite)
    predictor = load_run(
        arguments.run,
        device=check_device(arguments.device),
        trusted_modules=arguments.trust,
        inference=_read_inference(words),
    )
    classes = ", ".join(f"{index} {name}" for index, name in predictor.labels.foreground)
    _logger.info("%d scans on %s; values in the label maps: %s", len(files), predictor.device, classes)

    write_class_names(arguments.output, predictor.labels)
    failed = predict_files(predictor, files)
    if predictor.region and (missed := predictor.region.missed):
        text = "Region: %d of %d scans were labelled whole, as the run's coarse network misses an organ in them: %s"
        _logger.warning(text, len(missed), len(files), shortened(missed))
    if failed:
        raise UserError(
            f"{failed} of {len(files)} scans could not be predicted, for the reasons above; "
            f"the label maps of the other {len(files) - failed} are in {arguments.output}."
        )
    _logger.info("%d label maps written to %s", len(files), arguments.output)


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


def _read_inference(words: Sequence[str]) -> dict[str, object]:
    """Return the values of ``inference.KEY=VALUE`` by KEY."""
    if not words:
        return {}
    from aunet.config.overrides import parse_values

    return {key.removeprefix("inference."): value for key, value in parse_values(words).items()}


def _find_files(
    inputs: Sequence[str], output: Path, trusted_modules: Sequence[str], *, is_overwriting: bool
) -> "Sequence[ScanFile]":
    from aunet.inference.prediction_files import scan_files, scan_files_of_cases

    if not names_dataset(inputs):
        return scan_files([path_of(text) for text in inputs], output, is_overwriting=is_overwriting)
    from aunet.pipeline.configuration import build_cohort_of_words

    cohort = build_cohort_of_words(inputs, trusted_modules)
    return scan_files_of_cases(cohort.cases, output, is_overwriting=is_overwriting)


def predict_files(predictor: "Predictor", files: "Sequence[ScanFile]") -> int:
    """Predict and write each file, showing progress; return the number of failed scans, each logged in one line."""
    from aunet.inference.prediction_files import read_ahead
    from aunet.terminal import run_progress

    failed = 0
    with run_progress() as progress:
        bar = progress.add_task("Predicting", total=len(files))
        for file, channels in read_ahead(predictor.read, files):
            try:
                predictor.predict_volume(channels.result()).write(file.label_map)
            except UserError as error:
                failed += 1
                _logger.error("%s", error)
            progress.update(bar, advance=1, description=f"Predicting {file.scan.name}")
    return failed


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
