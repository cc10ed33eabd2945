"""Weights & Biases: online if the user is logged in, else offline; it never prompts."""

import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlparse

from aunet.runs.run_folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd

Mode = Literal["online", "offline", "disabled"]
_HOST = "https://api.wandb.ai"


class WandbTracker:
    """A started W&B run that writes below ``folder``; it is created in a child of the run's process.

    Args:
        folder: of the run; its last two names are the name in W&B.
        run_id: the same for all parts of an interrupted run.
        project: in W&B.
        group: of runs that belong together.
        settings: the run's configuration.
    """

    def __init__(self, folder: Path, run_id: str, project: str, group: str, settings: Mapping[str, Any]) -> None:
        import wandb

        RunFolder(folder).wandb.mkdir(parents=True, exist_ok=True)  # else W&B would silently write elsewhere
        mode = wandb_mode()
        self._is_offline = mode == "offline"
        self._run = wandb.init(
            project=project,
            group=group,
            name="/".join(folder.parts[-2:]),
            id=run_id,
            resume="allow" if mode == "online" else None,  # offline parts are joined when they are sent
            dir=folder,
            mode=mode,
            config=dict(settings),
            settings=wandb.Settings(silent=True, init_timeout=60, console="off", x_stats_pid=os.getppid()),
        )
        self._run.define_metric("*", step_metric="epoch")  # else an epoch repeated after a resume is a step back
        self.description = mode + ("; send it later with 'wandb sync --append'" if mode == "offline" else "")

    def metrics(self, values: Mapping[str, float], epoch: int) -> None:
        """Log a row of the history, with the epoch's pictures."""
        self._go_to(epoch)
        self._run.log({"epoch": epoch, **values})

    def picture(self, key: str, path: Path, epoch: int | None = None) -> None:
        """Log an image, copied into the run's media."""
        import wandb

        if epoch is None:
            self._run.log({key: wandb.Image(str(path))})
        else:
            image = wandb.Image(str(path), caption=f"epoch {epoch}")
            self._go_to(epoch)
            self._run.log({key: image}, commit=False)

    def table(self, key: str, table: "pd.DataFrame") -> None:
        """Log a table."""
        import wandb

        self._run.log({key: wandb.Table(dataframe=table)})

    def keep_file(self, name: str, path: Path) -> None:
        """Log an artifact of the type "model"."""
        import wandb

        artifact = wandb.Artifact(f"{name}-{self._run.id}", type="model")
        artifact.add_file(str(path))
        self._run.log_artifact(artifact)

    def finish(self) -> None:
        """End the run, so that the next one of this process starts its own."""
        self._run.finish()

    def _go_to(self, epoch: int) -> None:
        """Make the epoch the step, which names media files, if offline; online, W&B continues the earlier count."""
        if self._is_offline and self._run.step < epoch:
            self._run.log({}, step=epoch)


def wandb_media_bytes(folder: Path) -> int:
    """Return the size of the media of all parts of the run in ``folder`` on disk."""
    return sum(
        path.stat().st_size for path in RunFolder(folder).wandb.glob("*run-*/files/media/**/*") if path.is_file()
    )


def wandb_run_id(folder: Path) -> str | None:
    """Return the id of the run in ``folder``, from the names (offline-)run-TIME-ID of its parts; None in a new run."""
    parts = sorted(RunFolder(folder).wandb.glob("*run-*-*"))
    return parts[0].name.rpartition("-")[2] if parts else None


def wandb_mode() -> Mode:
    """Return the mode set in the environment, else online if the user is logged in, else offline."""
    chosen = os.environ.get("WANDB_MODE")
    if chosen in ("online", "offline", "disabled"):
        return chosen
    return "online" if _is_logged_in() else "offline"


def _is_logged_in() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", _HOST)).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
