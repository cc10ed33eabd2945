"""The settings of a run that belong to the machine: a run that continues elsewhere may be given them anew.

None of them changes a score. The fingerprint of the data guards ``data.root``: other files are refused.
"""

from collections.abc import Mapping, Sequence

from aunet.config.draft import Draft, compose_draft
from aunet.config.hydra_keys import SEARCH_PATH
from aunet.config.interpolations import strings_in
from aunet.config.overrides import parse_values
from aunet.config.words import key_of
from aunet.errors import UserError

MACHINE_KEYS = (
    *("data.root", "data.cache", "data.fixes", "data.split.file", "data.test_on", "data.num_workers"),
    *("trainer.accelerator", "trainer.devices", "trainer.checkpoint_minutes"),
    *("inference.window_batch", "store_budget", "logger", "logger.*"),
)
# Folders, which arguments of the source repeat.
_REPEATED = ("data.root", "data.cache")


def is_machine_key(key: str) -> bool:
    """Return whether a run that continues takes the setting ``key`` anew."""
    return key in MACHINE_KEYS or key.startswith("logger.") or key == SEARCH_PATH


def move_run(draft: Draft, words: Sequence[str]) -> Draft:
    """Return ``draft``, of a begun run, with the settings of the machine in ``words``.

    Raises:
        UserError: a value breaks its rule, or the data would become a phantom, or scans.
    """
    of_logger = [text for text in words if key_of(text).partition(".")[0] in ("logger", "hydra")]
    values = parse_values([text for text in words if text not in of_logger])
    if any(key_of(text) == "logger" for text in of_logger):
        values = {**values, "logger": compose_draft(of_logger).logger_as_plain}
    else:
        values |= {key: value for key, value in parse_values(of_logger).items() if key != SEARCH_PATH}
    return draft.with_values({**_repeated(draft, values), **values}) if values else draft


def _repeated(draft: Draft, values: Mapping[str, object]) -> dict[str, object]:
    """Return the new values of the source's arguments that hold a folder of ``values``; raise UserError if none can."""
    data = draft.as_plain(is_resolved=True)["data"]
    found = dict[str, object]()
    for key in _REPEATED:
        if key not in values:
            continue
        before, now = data[key.removeprefix("data.")], values[key]
        if (before is None) != (now is None):
            shown = ("null" if value is None else value for value in (now, before))
            raise UserError("{}={}: this run began with {}, so its data are others.".format(key, *shown))
        found |= {place: now for place, text in strings_in(data["source"], "data.source") if text == before}
    return found
