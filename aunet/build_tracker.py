"""From a configuration to the tracker that shows the run; ``TRACKERS`` lists them by the name of their option."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import uuid4

from aunet.build import Settings
from aunet.tracking.guarded_tracker import GuardedTracker
from aunet.tracking.tensorboard_tracker import TensorBoardTracker
from aunet.tracking.tracker import Tracker
from aunet.tracking.wandb_tracker import WandbTracker, wandb_media_bytes, wandb_run_id


def build_tracker(settings: Settings, folder: Path) -> GuardedTracker | None:
    """The tracker of the run in ``folder``, to be started; None for a run that its folder alone tells."""
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
    """All parts of an interrupted run are one run in W&B."""
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
