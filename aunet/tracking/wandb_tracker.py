"""Weights & Biases: online if the user is logged in, else offline; it never prompts.

The user's own settings of W&B, in its environment variables or settings files, replace those of the run.
"""

import netrc
import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlparse
from uuid import uuid4

from aunet.runs.run_folder import RunFolder
from aunet.tracking.tracker import TrackedRun

if TYPE_CHECKING:
    import pandas as pd
    from pydantic import ValidationError
    from wandb import Settings

Mode = Literal["online", "offline", "disabled"]
# An unreachable service costs the run nothing before its first epoch: by then it has been given up.
_ANSWER_SECONDS = 20
_ID_FILE = "run_id"
# Arguments of wandb.init -> the fields of wandb.Settings that hold what the user has set.
_FIELDS = {
    "project": "project",
    "entity": "entity",
    "group": "run_group",
    "name": "run_name",
    "tags": "run_tags",
    "id": "run_id",
    "resume": "resume",
    "dir": "root_dir",
}


class WandbTracker:
    """A started W&B run that writes below the run's folder; it is created in a child of the run's process.

    All parts of an interrupted run are one run in W&B. If the service does not answer, it writes offline.

    Args:
        run: the run to show.
    """

    def __init__(self, run: TrackedRun) -> None:
        from pydantic import ValidationError

        tidy_environment(os.environ)
        try:
            self._start(run)
        except ValidationError as error:
            raise ValueError(_describe(error)) from None

    def _start(self, run: TrackedRun) -> None:
        import wandb

        RunFolder(run.folder).wandb.mkdir(parents=True, exist_ok=True)  # else W&B would silently write elsewhere
        chosen = wandb.setup().settings
        mode, reason = choose_mode(chosen, os.environ), ""
        run_id = wandb_run_id(run.folder) or uuid4().hex[:8]
        try:
            self._run = wandb.init(**choose_arguments(run, run_id, mode, chosen))
        except wandb.Error as error:
            if mode != "online":
                raise
            wandb.teardown()  # its service would refuse the id of the run that it has failed to start
            mode, reason = "offline", f", as the service cannot be used ({str(error).splitlines()[0]})"
            self._run = wandb.init(**choose_arguments(run, run_id, mode, chosen))
        if "root_dir" in chosen.model_fields_set:
            (RunFolder(run.folder).wandb / _ID_FILE).write_text(self._run.id, encoding="utf-8")
        self._is_offline = mode == "offline"
        self._run.define_metric("*", step_metric="epoch")  # else an epoch repeated after a resume is a step back
        sending = (
            f"; send it later: wandb sync --append {quote(str(Path(self._run.dir).parent))}" if self._is_offline else ""
        )
        self.description = mode + reason + sending

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


def wandb_run_id(folder: Path) -> str | None:
    """Return the id of the run in ``folder``; None in a new run.

    It is in the names (offline-)run-TIME-ID of the parts, or in a file if ``WANDB_DIR`` puts the parts elsewhere. The
    first part counts: one that began in the same second is named (offline-)run-TIME-ID-NUMBER.
    """
    file = RunFolder(folder).wandb / _ID_FILE
    if file.is_file():
        return file.read_text(encoding="utf-8").strip()
    parts = sorted(part.name for part in folder.glob("wandb/*run-*-*"))
    return parts[0].partition("run-")[2].partition("-")[2] if parts else None


def tidy_environment(environment: MutableMapping[str, str]) -> None:
    """Drop empty variables of W&B, blanks around values, and the address of another process's service.

    W&B refuses the first two, or writes to a temporary folder; a file of another system or a container's template
    leaves them. The service may have ended with the notebook or program that set its address.
    """
    for name, value in [*environment.items()]:
        if name.startswith("WANDB_"):
            environment[name] = value.strip()
            if not environment[name] or name == "WANDB_SERVICE":
                del environment[name]


def choose_mode(chosen: "Settings", environment: Mapping[str, str]) -> Mode:
    """Return the mode that the user has set, else online if the user is logged in, else offline.

    ``WANDB_DISABLED`` is a variable of earlier releases of W&B, which other tools still set and read.
    """
    if environment.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes", "on"):
        return "disabled"
    if "mode" in chosen.model_fields_set:
        return _MODES[chosen.mode]
    return "online" if _is_logged_in(chosen) else "offline"


# "shared" is a way to be online, "dryrun" a former name.
_MODES: dict[str, Mode] = {
    "disabled": "disabled",
    "offline": "offline",
    "dryrun": "offline",
    "online": "online",
    "shared": "online",
}


def choose_arguments(run: TrackedRun, run_id: str, mode: Mode, chosen: "Settings") -> dict[str, Any]:
    """Return the arguments of ``wandb.init``: the run's own values, except where the user has ``chosen`` others."""
    import wandb

    arguments: dict[str, Any] = {
        "project": run.project,
        "entity": run.entity,
        "group": run.group,
        "name": run.name,
        "tags": list(run.tags) or None,
        "id": run_id,
        "resume": "allow" if mode == "online" else None,  # offline parts are joined when they are sent
        "dir": run.folder,
    }
    settings: dict[str, Any] = {"silent": True, "init_timeout": _ANSWER_SECONDS, "console": "off"}
    is_set = chosen.model_fields_set
    own = {name: value for name, value in settings.items() if name not in is_set}
    return {name: value for name, value in arguments.items() if _FIELDS[name] not in is_set} | {
        "mode": mode,
        "config": dict(run.settings),
        "settings": wandb.Settings(**own, x_stats_pid=os.getppid()),
    }


def _describe(error: "ValidationError") -> str:
    """Return the refused settings, whose names in the environment begin with WANDB, in one sentence."""
    found = error.errors(include_url=False)
    return "; ".join(f"W&B's setting {'.'.join(map(str, of['loc']))}={of['input']!r}: {of['msg']}" for of in found)


def _is_logged_in(chosen: "Settings") -> bool:
    if chosen.api_key or chosen.identity_token_file:
        return True
    # W&B's own service, whose host has changed, also accepts the login for its former host.
    hosts = [urlparse(chosen.base_url).netloc, *(["api.wandb.ai"] if "base_url" not in chosen.model_fields_set else [])]
    try:
        logins = netrc.netrc(os.environ.get("NETRC"))
        return any(logins.authenticators(host) is not None for host in hosts)
    except (OSError, netrc.NetrcParseError):
        return False
