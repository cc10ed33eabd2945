"""A job: one run of a sweep or of a search, in a folder that holds its configuration before it starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from aunet.files import write_text
from aunet.runs.run_folder import RunFolder
from aunet.runs.run_state import RunState, read_run_state


@dataclass(frozen=True)
class Job:
    """One run: the overrides that chose its settings, its folder, and its configuration as plain values."""

    words: tuple[str, ...]
    folder: Path
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Return the name that distinguishes it from the other jobs."""
        return self.folder.name

    @property
    def state(self) -> RunState:
        """Return the current state of its run."""
        return read_run_state(self.folder)

    @property
    def devices(self) -> int:
        """Return the number of training processes; 1 if that is left to the machine (``auto``)."""
        found = OmegaConf.create(dict(self.settings)).trainer.devices
        return found if isinstance(found, int) and found > 0 else 1

    def prepare(self) -> None:
        """Write the configuration from which its process starts, unless a started run has written its own."""
        file = RunFolder(self.folder).config
        if not file.is_file():
            write_text(file, yaml.safe_dump(dict(self.settings), sort_keys=False))

    def arguments(self) -> list[str]:
        """Return the arguments of ``aunet train`` with which the run starts, or continues from its checkpoint."""
        trusted: Sequence[str] = self.settings["trusted_modules"]
        return [f"resume={self.folder}", *([f"trusted_modules=[{','.join(trusted)}]"] if trusted else [])]


def job_settings(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Return the configuration of a job of the sweep in ``folder``, whose name groups its runs if nothing else does."""
    settings = plain_settings(config)
    settings["logger"]["group"] = settings["logger"]["group"] or folder.name
    return settings


def plain_settings(config: DictConfig) -> dict[str, Any]:
    """Return a composed configuration without Hydra's keys, as plain values; interpolations stay as written."""
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    plain: Any = OmegaConf.to_container(own)
    return plain
