"""Hydra's overrides: parsed, checked against the options and keys, and split into the jobs of a sweep."""

import logging
import os
import re
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches

from antlr4 import CommonTokenStream, InputStream, ParseTreeWalker
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.grammar.gen.OverrideLexer import OverrideLexer
from hydra.grammar.gen.OverrideParser import OverrideParser
from hydra.grammar.gen.OverrideParserListener import OverrideParserListener

from aunet.config.words import check_paths, for_hydra, key_of, parse_word, path_of
from aunet.errors import UserError
from aunet.messages import did_you_mean

_log = logging.getLogger(__name__)

# Keys that are filled in once the data are read.
_FACTS = "dataset."
# Groups of which a run needs no option.
_GROUPS_TO_LEAVE_OUT = ("experiment", "hydra/launcher")
# Former name of an option -> its present name, and why it changed.
_RENAMED_OPTIONS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "model": {"attention_gate_per_class": ("attention_multidimensional", "as it ties no gate to a class")},
}


def parse_overrides(overrides: Sequence[str], loader: ConfigLoader) -> list[Override]:
    """Parse each of ``overrides``; raise UserError naming the first that Hydra's grammar refuses.

    Former names of options are replaced by the present ones.
    """
    parser = OverridesParser.create(config_loader=loader)
    return [_parse(_with_present_names(for_hydra(text)), parser) for text in overrides]


def parse_values(words: Sequence[str]) -> dict[str, object]:
    """Return the values of plain overrides by their keys, for a configuration that exists already.

    Raises:
        UserError: for a word that deletes its key or lists several values, and one that Hydra's grammar refuses.
    """
    check_paths(words)
    parser, values = OverridesParser.create(), dict[str, object]()
    for word in words:
        override = _parse(for_hydra(word), parser)
        if override.is_delete() or override.is_sweep_override():
            raise UserError(f"{word}: one run takes one value here. Write {key_of(word)}=VALUE; null for none.")
        values[override.key_or_group] = override.value()
    return values


def check_options(overrides: Sequence[Override], loader: ConfigLoader) -> None:
    """Raise UserError for a sweep outside ``-m`` and for an option that its group lacks (``model=atention``)."""
    for override in overrides:
        if override.is_sweep_override():
            raise UserError(
                f"{override.input_line}: several values make a sweep. Add -m to run one job for each, "
                f"or write key=[first,second] where the key holds a list."
            )
        options, value = options_of(override, loader), override.value()
        if options and (override.is_delete() or value == []) and override.key_or_group not in _GROUPS_TO_LEAVE_OUT:
            raise UserError(
                f"{override.input_line}: a run needs an option of {override.key_or_group}. Choose one:"
                f" {override.key_or_group}={' or '.join(options)}."
            )
        if not options or override.is_delete() or isinstance(value, dict):
            continue
        chosen: list[object] = value if isinstance(value, list) else [value]
        for name in chosen:
            if name not in options:
                shown = "null" if name is None else name
                raise UserError(
                    f"{override.input_line}: {override.key_or_group} has no option {shown}."
                    f"{did_you_mean(str(name), options)} Its options are {', '.join(options)}."
                )


def options_of(override: Override, loader: ConfigLoader) -> list[str]:
    """Return the YAML files that ``override`` can choose from; empty if its key is not a group's but a value's."""
    return loader.get_group_options(override.key_or_group, ObjectType.CONFIG)


def check_keys(overrides: Sequence[Override], known: Collection[str], loader: ConfigLoader) -> None:
    """Raise UserError for an override of a key that is not ``known``, with the key it may have meant.

    Keys written with ``+`` are new on purpose; the schema checks them.
    """
    for override in overrides:
        key = override.key_or_group
        is_new = override.is_add() or override.is_force_add()
        if not (is_new or key in known or options_of(override, loader)):
            settable = [other for other in known if not other.startswith(_FACTS)]
            remedy = _remedy_of_argument(key, known) or did_you_mean(key, settable) or " See docs/settings.md."
            raise UserError(f"{override.input_line}: there is no key or group {key!r}.{remedy}")


def _remedy_of_argument(key: str, known: Collection[str]) -> str:
    """Return the remedy for an argument that no YAML file lists; empty unless ``key`` lies in a class's arguments."""
    parents = [key[: match.start()] for match in re.finditer(r"\.", key)]
    parent = next((parent for parent in reversed(parents) if f"{parent}._target_" in known), None)
    if parent is None:
        return ""
    names = {other.rpartition(".")[2]: other for other in known if other.startswith(f"{parent}.")}
    # Whole keys would all resemble each other by their beginnings.
    nearest = get_close_matches(key.rpartition(".")[2], names, n=1)
    return (
        f" Did you mean {names[nearest[0]]}?"
        if nearest
        else f" To add an argument that no YAML file lists, write +{key}=…"
    )


def with_mappings_replaced(overrides: Sequence[Override], loader: ConfigLoader) -> list[str]:
    """Return the overrides for Hydra, in which ``key={…}`` replaces a mapping instead of being merged into it.

    Merged, ``data.classes={liver: 1}`` would keep the classes of the YAML file, or be refused.
    """
    words: list[str] = []
    for override in overrides:
        text = str(override.input_line)
        is_plain = not (override.is_add() or override.is_force_add() or override.is_delete())
        if is_plain and isinstance(override.value(), dict) and not options_of(override, loader):
            words += [f"{override.key_or_group}=null", text]  # ~key would refuse a key that is null
        else:
            words.append(text)
    return words


def split_parsed_sweep(overrides: Sequence[Override]) -> list[list[str]]:
    """Return the overrides of each job of a sweep; the last key varies fastest, as in Hydra's own sweeps."""
    written = " ".join(str(override.input_line) for override in overrides)
    deletions = [str(override.input_line) for override in overrides if override.is_delete()]
    try:
        batches = BasicSweeper.split_arguments([override for override in overrides if not override.is_delete()], None)
    except HydraException:
        raise UserError(
            f"{written}: a sweep lists its values (first,second), counts them (range(0,3)) or takes a group's options "
            "(glob(*)); it does not draw them from an interval."
        ) from None
    if not batches[0]:
        raise UserError(
            f"{written}: this sweep has no job, because a pattern in glob() matches no option of its group. "
            "Write an option's name or a wider pattern."
        )
    return [[*job, *deletions] for job in batches[0]]


def _with_present_names(text: str) -> str:
    """Return an override with former names of options replaced by the present ones, and log each."""
    word = parse_word(text)
    options = word.written or ""
    for former, (present, reason) in _RENAMED_OPTIONS.get(word.key, {}).items():
        options, count = re.subn(rf"(?<!\w){former}(?!\w)", present, options)
        if count:
            _log.warning("%s=%s is now called %s, %s.", word.key, former, present, reason)
    return text if word.written in (None, options) else f"{word.sign}{word.key}={options}"


def _parse(text: str, parser: OverridesParser) -> Override:
    try:
        [override] = parser.parse_overrides([text])
    except (HydraException, ValueError) as error:
        if "=" not in text and os.path.exists(path_of(text)):  # noqa: PTH110 - False for a name that no file can have
            raise UserError(
                f"{text}: a path without the key that it is the value of. Write data.root={text} beside data=NAME, or"
                f" resume={text} for a run."
            ) from None
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{text!r} is not an override ({reason}). Write key=value, as in trainer.max_epochs=3; "
            "a value with blanks, commas, = or brackets needs quotes inside quotes: 'data.root=\"/my scans/a=b\"'."
        ) from None
    if not override.key_or_group:
        raise UserError(f"{text!r} is not an override: it names no key. Write key=value, as in trainer.max_epochs=3.")
    if repeated := _repeated_keys(text):
        raise UserError(f"{text}: repeats the key {repeated[0]}, whose last value alone would count. Name it once.")
    return override


class _KeysOfMappings(OverrideParserListener):
    """The keys of each mapping in a parse tree; the parser itself returns dictionaries, which hold no key twice."""

    def __init__(self) -> None:
        self.found: list[list[str]] = []

    def enterDictContainer(self, ctx: OverrideParser.DictContainerContext) -> None:  # noqa: N802 - name of antlr4
        """Take the keys of one mapping."""
        pairs = ctx.getTypedRuleContexts(OverrideParser.DictKeyValuePairContext)
        self.found.append([key.getText() for pair in pairs if (key := pair.dictKey()) is not None])


def _repeated_keys(text: str) -> list[str]:
    """Return the keys that any mapping ``{key: value}`` of an override names a second time."""
    if "{" not in text:
        return []
    listener = _KeysOfMappings()
    parser = OverrideParser(CommonTokenStream(OverrideLexer(InputStream(text))))
    ParseTreeWalker().walk(listener, parser.override())
    return [key for keys in listener.found for number, key in enumerate(keys) if key in keys[:number]]
