"""Weights & Biases beside the run folder: online where the user is logged in, else offline; it never stops a run."""

import logging
import netrc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

from pytorch_lightning.loggers import Logger, WandbLogger

_log = logging.getLogger(__name__)
Mode = Literal["online", "offline", "disabled"]
_HOST = "https://api.wandb.ai"


def wandb_logger(folder: Path, project: str, group: str, settings: dict[str, Any]) -> Logger | None:
    """A started W&B run that writes below ``folder``; None, and one line, where it cannot start."""
    mode = _mode()
    try:
        import wandb

        run = wandb.init(
            project=project,
            group=group,
            name="/".join(folder.parts[-2:]),
            dir=folder,
            mode=mode,
            config=settings,
            settings=wandb.Settings(silent=True, init_timeout=60),
        )
        logger = WandbLogger(experiment=run)
    except Exception as error:  # noqa: BLE001 -- whatever a tracker throws, the run goes on without it
        _log.warning("W&B could not start (%s); the run goes on with the tables of its folder alone.", error)
        return None
    _log.info("W&B: %s%s", mode, "; send it later with 'wandb sync'" if mode == "offline" else "")
    return logger


def log_picture(logger: Logger | None) -> Callable[[str, Path, int], None] | None:
    """A function (key, file, epoch) that shows a picture in W&B; None without W&B."""
    if not isinstance(logger, WandbLogger):
        return None

    def log(key: str, path: Path, epoch: int) -> None:
        try:
            logger.log_image(key, [str(path)], caption=[f"epoch {epoch}"])
        except Exception as error:  # noqa: BLE001 -- whatever a tracker throws, the run goes on without it
            _log.warning("W&B did not take the picture %s (%s); it is in the run's folder.", path.name, error)

    return log


def finish_wandb(logger: Logger | None) -> None:
    """End the W&B run of ``logger``, so that the next run of this process starts its own."""
    if isinstance(logger, WandbLogger):
        try:
            logger.experiment.finish()
        except Exception as error:  # noqa: BLE001 -- whatever a tracker throws, the run goes on without it
            _log.warning("W&B could not end its run (%s); its files may lack the last values.", error)


def _mode() -> Mode:
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
