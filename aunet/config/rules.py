"""Rules for the values of a run's configuration, in words for messages and as tests."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True)
class Rule:
    """A rule for a value, in words and as a test. Null always passes; every entry of a list must obey it.

    With ``is_of_list``, the list as a whole must obey it.
    """

    words: str
    holds: Callable[[Any], bool]
    is_of_list: bool = False


def one_of(*choices: object) -> Rule:
    """Return the rule of a value that is one of a few words or numbers."""
    return Rule("one of " + ", ".join(str(choice).lower() for choice in choices), lambda value: value in choices)


AT_LEAST_ONE = Rule("at least 1", lambda value: value >= 1)
NOT_NEGATIVE = Rule("not negative", lambda value: value >= 0)
POSITIVE = Rule("above 0", lambda value: value > 0)
SHARE = Rule("at least 0 and below 1", lambda value: 0 <= value < 1)
SEED = Rule("from 0 to 4294967295", lambda value: 0 <= value < 2**32)  # the bound of numpy and Optuna
DEVICES = Rule("auto, or a number from 1 on", lambda value: value == "auto" or (isinstance(value, int) and value >= 1))
PART = Rule(
    "a share above 0 and below 1, or a whole number of patients",
    lambda value: 0 < value < 1 or (value >= 1 and value == int(value)),
)
DURATION = Rule(
    "days:hours:minutes:seconds such as 00:00:10:00, and above 0",
    lambda value: re.fullmatch(r"\d+:\d\d:\d\d:\d\d", value) is not None and re.search("[1-9]", value) is not None,
)

# Bytes. File systems take 255 in a name; a sweep puts names of several groups into one.
_LONGEST_NAME = 100

MODALITIES = ("ct", "mr", "pet", "picture")
MODALITY = Rule(
    f"one of {', '.join(MODALITIES)}, or a list of one for each channel",
    lambda value: set([value] if isinstance(value, str) else value) <= set(MODALITIES),
    is_of_list=True,
)


def _is_folder_name(value: str) -> bool:
    is_safe = value.strip() == value and value not in ("", ".", "..") and not re.search(r"[/\\\x00-\x1f]", value)
    return is_safe and len(value.encode(errors="replace")) <= _LONGEST_NAME


# The name is a part of the path of the run's folder.
NAME = Rule(
    f"the name of a folder: 1 to {_LONGEST_NAME} bytes, without /, \\ and blanks at its ends, and not . or ..",
    _is_folder_name,
)


def _is_window(value: object) -> bool:
    return value == "auto" or (isinstance(value, list) and all(map(_is_number, cast(list[object], value))))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_scale(value: object) -> bool:
    """Return whether ``value`` has the form of ``aunet.data.preprocessing.intensity_scale.IntensityScale.as_facts``."""
    if not isinstance(value, dict) or set(scale := cast(dict[str, Any], value)) != {"window", "mean", "sd"}:
        return False
    is_pair = isinstance(scale["window"], list) and len(cast(list[object], scale["window"])) == 2
    return is_pair and all(map(_is_number, [*scale["window"], scale["mean"], scale["sd"]])) and scale["sd"] > 0


def _are_weights(value: object) -> bool:
    weights = list(cast(dict[str, Any], value).values()) if isinstance(value, dict) else value
    return isinstance(weights, list) and all(_is_number(weight) and weight >= 0 for weight in cast(list[Any], weights))


WEIGHTS = Rule("null, [a weight of each class], or {class: weight}, none negative", _are_weights, is_of_list=True)
WINDOW = Rule("auto, null, or [lowest, highest] in HU", _is_window, is_of_list=True)
REGION = Rule(
    "a list of numbers", lambda value: isinstance(value, list) and all(map(_is_count, cast(dict[str, Any], value)))
)
SCALE = Rule("null, or window: [lowest, highest], mean and sd in HU", _is_scale)


def _are_axes(value: object) -> bool:
    axes = cast(list[object], value) if isinstance(value, list) else []
    return value == "auto" or (isinstance(value, list) and all(type(axis) is int and 0 <= axis <= 2 for axis in axes))


FLIPS = Rule("auto, or a list of axes: 0 right-left, 1 back-front, 2 feet-head", _are_axes, is_of_list=True)
NUM_WORKERS = Rule("auto or not negative", lambda value: value == "auto" or _is_count(value))
