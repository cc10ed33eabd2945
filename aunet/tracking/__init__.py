"""Where else is a run shown? Trackers: each needs one class, as docs/extend_logging.md describes."""

from aunet.tracking.tensorboard_tracker import TensorBoardTracker
from aunet.tracking.tracker import TrackedRun, Tracker
from aunet.tracking.wandb_tracker import WandbTracker

__all__ = ["TensorBoardTracker", "TrackedRun", "Tracker", "WandbTracker"]
