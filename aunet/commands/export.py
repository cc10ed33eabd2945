"""`aunet export`: write a trained run for other programs, and check each format against aunet's prediction."""

import argparse
import logging

from aunet.commands.shared_options import add_output, add_trust, check_output, path_argument

_logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``aunet export``."""
    parser.add_argument("run", type=path_argument, metavar="RUN", help="folder of a trained run")
    add_output(parser, "folder of the exported files; each format gets a folder in it")
    add_trust(parser)
    parser.add_argument(
        "--formats",
        type=lambda text: text.split(","),
        metavar="NAMES",
        help="bundle (MONAI), onnx, safetensors, separated by commas; by default all that are installed",
    )
    parser.add_argument(
        "--scan",
        nargs="+",
        default=(),
        type=path_argument,
        metavar="FILE",
        help="scan to check the files on, or a file per channel; by default a validation case, else a generated volume",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace formats that are there already")


def export(arguments: argparse.Namespace) -> None:
    """Write each format and log the share of voxels on which it agrees with aunet."""
    check_output(arguments.output)
    from aunet.pipeline.export import export_run

    exported = export_run(
        arguments.run,
        arguments.output,
        arguments.formats,
        arguments.scan,
        arguments.trust,
        is_overwriting=arguments.overwrite,
    )
    _logger.info("%s written to %s", ", ".join(one.format for one in exported), arguments.output)
