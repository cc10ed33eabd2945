"""The command line, `aunet COMMAND`, and its exit statuses.

0: done; 1: a bug, with its traceback; 2: a user error, reported in one message; 130: stopped by Ctrl-C,
SIGTERM or a closed terminal.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from aunet import __version__
from aunet.commands import (
    compare,
    doctor,
    evaluate,
    export,
    info,
    postprocess,
    predict,
    prepare,
    probe,
    runs,
    search,
    train,
)
from aunet.errors import UserError, describe_surroundings
from aunet.machine import ended_like_ctrl_c, ignore_stops
from aunet.process_settings import prepare_process
from aunet.terminal import LogHandler, check_output_complete, patient_stream


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command with the words ``argv`` (the process's own by default) and return its exit status."""
    prepare_process()  # before a command loads torch
    sys.stdout, sys.stderr = patient_stream(sys.stdout), patient_stream(sys.stderr)
    _install_log_handler()
    try:
        with ended_like_ctrl_c():
            _run(sys.argv[1:] if argv is None else list(argv))
        check_output_complete()
    except (UserError, OSError, MemoryError, RuntimeError) as error:
        message = str(error) if isinstance(error, UserError) else describe_surroundings(error)
        if message is None:
            raise
        sys.stderr.write(f"aunet: {message}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("aunet: stopped\n")
        return 130
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        if argv is None:  # the process ends: a signal would print tracebacks of the libraries' last work
            ignore_stops()
    return 0


def _run(words: list[str]) -> None:
    """Run the command in ``words``; words in Hydra's language, not argparse's, are passed on unparsed."""
    if words[:1] == ["train"]:
        train.train(words[1:])
    elif words[:1] == ["info"]:
        info.info(words[1:])
    elif words[:1] == ["doctor"]:
        doctor.doctor(words[1:])
    elif words[:1] == ["prepare"]:
        prepare.prepare(words[1:])
    elif words[:1] == ["search"]:
        search.search(words[1:])
    else:
        arguments = _parse(words)
        arguments.command(arguments)


def _parse(words: list[str]) -> argparse.Namespace:
    """Parse ``words``; inputs of ``predict`` may also follow its options, where argparse itself takes no more."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(words)
    if rest and ("inputs" not in arguments or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.inputs += rest
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aunet",
        allow_abbrev=False,  # of which a later option would change the meaning
        description="Attention-gated segmentation of 3D and 2D medical images.",
        epilog="'aunet COMMAND --help' explains a command; docs/README.md lists the guides.",
    )
    parser.add_argument("--version", action="version", version=f"aunet {__version__}")
    parser.add_argument("--versions", action=_Versions, help="print the versions of Python, packages and system")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    commands.add_parser("train", help="train a network: one run, a sweep with -m, or a study", add_help=False)
    commands.add_parser("search", help="search for the settings with the best validation Dice", add_help=False)
    commands.add_parser(
        "info", help="show the cost, field of view and speed of a network before it is trained", add_help=False
    )
    commands.add_parser(
        "doctor", help="check every case of a dataset, and propose settings that fit it", add_help=False
    )
    commands.add_parser("prepare", help="preprocess the cases of a dataset ahead of training", add_help=False)
    for name, module, help_text in (
        ("runs", runs, "list runs with their status and scores"),
        ("predict", predict, "label scans with a trained run, or with an ensemble of several"),
        ("export", export, "write a trained run as MONAI bundle, ONNX and safetensors"),
        ("evaluate", evaluate, "score label maps against references, whoever made them"),
        ("postprocess", postprocess, "choose the post-processing of a run on its validation cases"),
        ("compare", compare, "compare runs in one table, with paired statistics of their differences"),
        ("probe", probe, "replace the coefficients of a run's gates, to see whether they matter"),
    ):
        command = commands.add_parser(
            name, allow_abbrev=False, help=help_text, description=_sentence_of(module.__doc__ or "")
        )
        module.add_arguments(command)
        command.set_defaults(command=getattr(module, name))
    return parser


def _sentence_of(docstring: str) -> str:
    """Return the docstring of a command's module without the command's name, as a sentence."""
    text = docstring.partition(": ")[2]
    return text[:1].upper() + text[1:]


class _Versions(argparse.Action):
    """The option ``--versions``, for reports of faults: it prints what a run records and ends."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *arguments: object) -> None:
        """Print the versions, a line each."""
        import platform

        from aunet.runs.run_record import list_versions

        found = {"aunet": __version__, **list_versions(), "system": platform.platform()}
        parser.exit(message="".join(f"{name} {value}\n" for name, value in found.items()))


def _install_log_handler() -> None:
    """Show the messages of ``aunet`` in the terminal, on stderr; a second call changes nothing."""
    logger = logging.getLogger("aunet")
    logger.setLevel(logging.INFO)
    if not logger.handlers:
        logger.addHandler(LogHandler())


if __name__ == "__main__":
    sys.exit(main())
