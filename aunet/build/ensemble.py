"""Construction of an ensemble from the folders of several runs."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from aunet.build.model import load_run
from aunet.errors import UserError
from aunet.inference.ensemble import Ensemble
from aunet.inference.prediction import Postprocessing
from aunet.inference.predictor import Predictor

_log = logging.getLogger(__name__)
_STEPS = ("postprocessing", "chosen_postprocessing")


def load_ensemble(
    folders: str | Path | Sequence[str | Path],
    device: str | None = None,
    trusted_modules: Sequence[str] = (),
    inference: Mapping[str, object] | None = None,
) -> Ensemble:
    """Load several runs, or one, that predict as one: the mean of their probabilities; arguments as ``load_run``.

    Steps of post-processing that all runs have are applied to the mean. If they differ in those of
    ``inference.postprocessing``, or in those chosen on validation cases, none of that kind is, with a warning.

    Raises:
        UserError: as ``load_run``, if no folder is given, and if the runs differ in their classes or channels.
    """
    if isinstance(folders, (str, Path)):
        folders = [folders]
    if not folders:
        raise UserError("load_ensemble: folders is empty; an ensemble needs a run. Give the folders of one or more.")
    if len({Path(folder).resolve() for folder in folders}) < len(folders):
        _log.warning("An ensemble in which a run is given twice: its probabilities count twice.")
    members = [load_run(folder, device, trusted_modules, inference) for folder in folders]
    return Ensemble(members, [str(folder) for folder in folders], _shared_steps(members))


def _shared_steps(members: Sequence[Predictor]) -> Sequence[Postprocessing]:
    """Return the steps to apply to the mean, and warn of those that are left out."""
    settings = [member.origin.settings for member in members if member.origin is not None]
    set_steps, chosen_steps = ([of_run[key] for of_run in settings] for key in _STEPS)
    number = len(cast(list[object], set_steps[0]))
    steps = members[0].postprocessing
    shared: list[Postprocessing] = []
    if _is_equal(set_steps):
        shared += steps[:number]
    else:
        _log.warning(
            "The runs differ in inference.postprocessing, so none of its steps is applied to their mean. Set"
            " inference.postprocessing to apply some."
        )
    if _is_equal(chosen_steps):
        shared += steps[number:]
    else:
        _log.warning(
            "The runs chose different steps of post-processing (aunet postprocess), so none of those is applied to"
            " their mean. Set inference.postprocessing to apply some."
        )
    return shared


def _is_equal(values: Sequence[object]) -> bool:
    return all(value == values[0] for value in values[1:])
