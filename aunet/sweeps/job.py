"""A job: one run of a sweep or of a search, in a folder that holds its configuration before it starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from aunet.atomic_files import write_text
from aunet.training.run_state import RunState, read_run_state


@dataclass(frozen=True)
class Job:
    """One run: the words that chose its settings, its folder, and its configuration as plain values."""

    words: tuple[str, ...]
    folder: Path
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What tells it from the other jobs."""
        return self.folder.name

    @property
    def state(self) -> RunState:
        """Where its run stands now."""
        return read_run_state(self.folder)

    @property
    def devices(self) -> int:
        """Processes in which it trains; 1 where that is left to the machine (``auto``)."""
        found = OmegaConf.create(dict(self.settings)).trainer.devices
        return found if isinstance(found, int) and found > 0 else 1

    def prepare(self) -> None:
        """Write the configuration that its process starts from; what a started run wrote there stays."""
        file = self.folder / "config.yaml"
        if not file.is_file():
            write_text(file, yaml.safe_dump(dict(self.settings), sort_keys=False))

    def arguments(self) -> list[str]:
        """What ``aunet train`` is given: the run starts, or goes on where it stood."""
        trusted: Sequence[str] = self.settings["trusted_modules"]
        return [f"resume={self.folder}", *([f"trusted_modules=[{','.join(trusted)}]"] if trusted else [])]


def job_settings(config: DictConfig, folder: Path) -> dict[str, Any]:
    """The configuration of a job of the sweep in ``folder``, whose name groups its runs where nothing else does."""
    settings = plain_settings(config)
    settings["logger"]["group"] = settings["logger"]["group"] or folder.name
    return settings


def plain_settings(config: DictConfig) -> dict[str, Any]:
    """A composed configuration without Hydra's keys, as plain values; interpolations stay as written."""
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    plain: Any = OmegaConf.to_container(own)
    return plain
