"""Construction of the tracker that shows a run; ``TRACKERS`` lists trackers by the name of their option."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import uuid4

from aunet.build.data import Settings
from aunet.tracking.guarded_tracker import GuardedTracker
from aunet.tracking.tensorboard_tracker import TensorBoardTracker
from aunet.tracking.tracker import Tracker
from aunet.tracking.wandb_tracker import WandbTracker, wandb_media_bytes, wandb_run_id


def build_tracker(settings: Settings, folder: Path) -> GuardedTracker | None:
    """Return the tracker of the run in ``folder``, not yet started; None for a run recorded in its folder only."""
    logger = settings["logger"]
    if logger["name"] not in TRACKERS:
        return None
    title, recipe = TRACKERS[logger["name"]]
    return GuardedTracker(
        title,
        recipe(settings, folder),
        media_bytes=logger["media_mib"] * 2**20,
        media_bytes_before=wandb_media_bytes(folder),
    )


def _wandb(settings: Settings, folder: Path) -> Callable[[], Tracker]:
    """Return a function that starts the tracker; all parts of an interrupted run are one run in W&B."""
    run_id = wandb_run_id(folder) or uuid4().hex[:8]
    logger = settings["logger"]
    group = logger["group"] or settings["data"]["name"]
    return partial(WandbTracker, folder, run_id, logger["project"], group, settings)


def _tensorboard(settings: Settings, folder: Path) -> Callable[[], Tracker]:
    return partial(TensorBoardTracker, folder / "tensorboard", settings)


TRACKERS: dict[str, tuple[str, Callable[[Settings, Path], Callable[[], Tracker]]]] = {
    "wandb": ("W&B", _wandb),
    "tensorboard": ("TensorBoard", _tensorboard),
}
