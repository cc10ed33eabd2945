"""`aunet postprocess`: choose the post-processing of a finished run on its validation cases, for later predictions."""

import argparse
import logging
from pathlib import Path

from aunet.commands.predict import check_device
from aunet.commands.shared_options import add_trust, path_argument
from aunet.errors import UserError
from aunet.messages import counted

_logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``aunet postprocess``."""
    parser.add_argument(
        "run", type=path_argument, metavar="RUN", help="folder of a finished run, with its data at hand"
    )
    add_trust(parser)
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda or cuda:N; without it a GPU if there is one")


def postprocess(arguments: argparse.Namespace) -> None:
    """Write ``postprocessing.json`` of the run; its test scores stay those of before."""
    from aunet.build.model import load_run
    from aunet.pipeline.choose_postprocessing import choose_postprocessing
    from aunet.pipeline.probed_run import read_probed_run
    from aunet.runs.run_folder import RunFolder
    from aunet.terminal import run_progress

    folder, device = arguments.run, check_device(arguments.device)
    _check_is_finished(folder)
    run = read_probed_run(folder, "validation", None, device, arguments.trust)
    predictor = load_run(folder, device, arguments.trust, {"choose_postprocessing": False})
    with run_progress() as progress:
        steps = choose_postprocessing(predictor, run.cases, run.cohort, folder, progress, run.config.data.on_error)
    file = RunFolder(folder).postprocessing
    if steps:
        text = "%s in %s. Every later prediction of the run applies them; its test scores stay as they are."
        _logger.info(text, counted(len(steps), "step"), file)
    else:
        _logger.info("No step raises the Dice, so predictions stay as they are. All that was tried: %s", file)


def _check_is_finished(folder: Path) -> None:
    """Raise UserError for a run that may still train. One without a record passes."""
    from aunet.runs.run_state import read_run_state

    status = read_run_state(folder).status
    if status not in ("finished", "waiting"):
        raise UserError(
            f"{folder}: this run is {status}; the post-processing is chosen once its training has finished. Continue it"
            f" with aunet train resume={folder}."
        )
