"""Construction of an ensemble from the folders of several runs."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from aunet.build.model import load_run
from aunet.inference.ensemble import Ensemble

_log = logging.getLogger(__name__)


def load_ensemble(
    folders: Sequence[str | Path],
    device: str | None = None,
    trusted_modules: Sequence[str] = (),
    inference: Mapping[str, object] | None = None,
) -> Ensemble:
    """Load several runs that predict as one: the mean of their probabilities; arguments as ``load_run``.

    Steps of post-processing are applied to the mean if all runs have the same, else none, with a warning.

    Raises:
        UserError: as ``load_run``, and if the runs differ in their classes or channels.
    """
    members = [load_run(folder, device, trusted_modules, inference) for folder in folders]
    keys = "postprocessing", "chosen_postprocessing"
    chosen = [[one.origin.settings[key] for key in keys] for one in members if one.origin is not None]
    is_same = all(steps == chosen[0] for steps in chosen[1:])
    if not is_same:
        _log.warning(
            "The runs have different steps of post-processing, so none is applied to their mean. Set"
            " inference.postprocessing to apply some."
        )
    return Ensemble(members, [str(folder) for folder in folders], members[0].postprocessing if is_same else ())
