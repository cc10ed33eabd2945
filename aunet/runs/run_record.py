"""``run.json``: code, data, model, hardware, duration and scores of a run."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import torch

from aunet.files import JsonObject, write_json
from aunet.runs.code_state import keep_patch, read_code_state
from aunet.runs.ranks import rank
from aunet.runs.run_folder import RunFolder

Status = Literal["running", "finished", "interrupted", "failed", "pruned"]
_PACKAGES = ("torch", "monai", "pytorch-lightning", "hydra-core", "wandb", "numpy", "aunet")


class RunRecord:
    """The ``run.json`` of a run folder, kept up to date; a resumed run adds to it."""

    def __init__(self, folder: Path) -> None:
        run = RunFolder(folder)
        self._path = run.record
        self.facts: JsonObject = run.read_record()

    @property
    def is_started(self) -> bool:
        """Return whether the training has begun, so that it can be resumed."""
        return "status" in self.facts

    def start(self, **facts: object) -> None:
        """Write the facts that are known when the training starts."""
        code = read_code_state()
        kept = keep_patch(self._path.parent, code.patch) if rank() == 0 else None
        changes = {"commit": code.commit, "changes": kept}
        here = {"hardware": _hardware(), "versions": list_versions(), **changes, "started": _now()}
        self.facts.pop("error", None)  # of an earlier end
        self.update(status="running", **here, **facts)

    def update(self, **facts: object) -> None:
        """Add or replace facts, and write the file."""
        self.facts |= facts
        if rank() == 0:
            write_json(self._path, self.facts)

    def end(self, status: Status, error: str = "") -> None:
        """Write how the run ended, and the ``error`` that ended it, if any; a run that never started leaves no file."""
        self.facts.pop("error", None)
        if self.is_started:
            self.update(status=status, ended=_now(), **({"error": error} if error else {}))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _hardware() -> dict[str, object]:
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {"processor": _processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "gpus": gpus}


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.is_file() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def list_versions() -> dict[str, str]:
    """Return the version of Python and of each package that a run depends on."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


def _version(package: str) -> str:
    """Return the version of a package, "not installed" for a checkout on the path or an unused tracker."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
