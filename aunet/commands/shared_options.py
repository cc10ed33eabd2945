"""Options that several commands take, and the split of a command's words into options and Hydra's overrides."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path

from aunet.config.words import last_value, parse_word, path_of, quote
from aunet.errors import UserError


def path_argument(text: str) -> Path:
    """Return the path that an argument means, with the rule that a wrong one breaks as argparse's message."""
    try:
        return path_of(text)
    except UserError as error:
        raise ArgumentTypeError(str(error)) from None


def add_trust(parser: ArgumentParser) -> None:
    """Add ``--trust``, by which a command allows modules of the user's own."""
    parser.add_argument(
        "--trust",
        action="extend",
        default=[],
        type=_module_names,
        metavar="MODULE",
        help="a Python module of your own that the settings may name (_target_); repeat it, or separate with commas",
    )


def add_own_parts(parser: ArgumentParser) -> None:
    """Add ``--trust`` and ``--config-dir``, a folder of the user's own YAML files."""
    add_trust(parser)
    parser.add_argument(
        "--config-dir",
        action="append",
        default=[],
        type=path_argument,
        metavar="DIR",
        help="a folder of your own settings: data=mine is DIR/data/mine.yaml; its files precede those of aunet",
    )


def check_config_dir_used(folders: Sequence[Path]) -> None:
    """Raise UserError for ``--config-dir`` beside words that name no dataset, whose settings alone it can hold."""
    if folders:
        raise UserError(
            f"--config-dir {folders[0]}: has no effect without a dataset. Name one of it, data=NAME, or leave it out."
        )


def add_output(parser: ArgumentParser, help_text: str) -> None:
    """Add ``--output``, the folder that a command writes to."""
    parser.add_argument("--output", required=True, type=path_argument, metavar="DIR", help=help_text)


def parse_words(parser: ArgumentParser, words: Sequence[str]) -> tuple[Namespace, list[str]]:
    """Return the options among ``words``, and the overrides, with those that ``--trust`` and ``--config-dir`` mean.

    Raises:
        UserError: for an unknown option, and for one beside the override that means the same.
    """
    parser.usage = "%(prog)s [OPTION ...] [KEY=VALUE ...]"
    add_own_parts(parser)
    options, overrides = parser.parse_known_args(list(words))
    if unknown := [word for word in overrides if word.startswith("-")]:
        raise UserError(f"{unknown[0]}: no such option. Settings are written key=value; see '{parser.prog} --help'.")
    for option, key, values in (
        ("--trust", "trusted_modules", options.trust),
        ("--config-dir", "hydra.searchpath", [quote(str(folder.absolute())) for folder in options.config_dir]),
    ):
        if values and (given := last_value(overrides, key)) is not None:
            raise UserError(f"{option} beside {key}={given}: both set the same key. Give one of them.")
        overrides += [f"{key}=[{','.join(values)}]"] if values else []
    return options, overrides


def check_new_runs(words: Sequence[str], of: str) -> None:
    """Raise UserError for a word without effect on the runs ``of`` a sweep or search: their folders are its own."""
    for word in map(parse_word, words):
        if word.key == "hydra.run.dir":
            raise UserError(f"{word.text}: {of} has a folder for each run. Write hydra.sweep.dir=… for them all.")
        if word.key in ("resume", "extend") and word.value is not None:
            raise UserError(
                f"{word.text}: {of} makes new runs, on which {word.key}= has no effect; the same command continues"
                f" unfinished ones. Leave it out, or give it to aunet train, one run at a time."
            )


def check_output(folder: Path, option: str = "--output") -> None:
    """Raise UserError if ``folder`` cannot be one, before a command begins its work."""
    from aunet.files import check_writable

    check_writable(folder, f"{option} {folder}")


def _module_names(text: str) -> list[str]:
    names = text.split(",")
    if not all(part.isidentifier() for name in names for part in name.split(".")):
        raise ArgumentTypeError(f"{text}: not the name of a Python module, such as my_networks.")
    return names
