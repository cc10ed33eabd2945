"""Construction of the trackers that show a run."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import cast

from aunet.build.objects import build_object
from aunet.config.schema import RunConfig, TargetNode, as_plain
from aunet.errors import UserError
from aunet.runs.run_folder import RunFolder
from aunet.tracking.guarded_tracker import GuardedTracker
from aunet.tracking.media_budget import MediaBudget
from aunet.tracking.tracker import TrackedRun, Tracker
from aunet.tracking.tracker_group import TrackerGroup

# Runs of earlier versions hold the option of logger= as the run's name.
_FORMER_OPTIONS = ("wandb", "tensorboard", "csv")
_TITLES = {"wandb": "W&B", "tensorboard": "TensorBoard"}


def build_tracker(config: RunConfig, folder: Path) -> TrackerGroup | None:
    """Return the trackers of the run in ``folder``, not yet started; None for a run recorded in its folder only.

    Raises:
        UserError: an entry of ``logger.trackers`` is not a class with its arguments.
    """
    logger = config.logger
    given = logger.name or ""
    run = TrackedRun(
        folder=folder,
        name="/".join(folder.parts[-2:]) if given in ("", *_FORMER_OPTIONS) else given,
        project=logger.project,
        entity=logger.entity,
        group=logger.group or config.data.name,
        tags=tuple(logger.tags),
        settings=as_plain(config),
    )
    trackers = [
        GuardedTracker(
            _TITLES.get(key, key),
            _prepare(key, node, run),
            MediaBudget(_TITLES.get(key, key), logger.media_mib * 2**20, RunFolder(folder).tracked_media),
        )
        for key, node in logger.trackers.items()
        if node is not None
    ]
    return TrackerGroup(trackers) if trackers else None


def _prepare(name: str, node: object, run: TrackedRun) -> Callable[[], Tracker]:
    """Return the function that starts a tracker, which can be sent to another process."""
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise UserError(
            f"logger.trackers.{name}={node}: a tracker is a class with its arguments. Write"
            f" logger.trackers.{name}._target_=my_package.MyTracker, or null for none."
        )
    made: Callable[..., Tracker] = build_object(cast(TargetNode, node), _partial_=True)
    return partial(made, run)
