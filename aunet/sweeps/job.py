"""A job: one run of a sweep or of a search, in a folder that holds its configuration before it starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from aunet.config.draft import Draft
from aunet.config.schema import Plain
from aunet.config.words import quote
from aunet.files import write_text
from aunet.runs.run_folder import RunFolder
from aunet.runs.run_state import RunState, read_run_state


@dataclass(frozen=True)
class Job:
    """One run of several.

    Attributes:
        words: the overrides that chose its settings.
        folder: of the run.
        plain: its configuration as plain values, interpolations as written: what its ``config.yaml`` holds at first.
        devices: training processes; 1 if that is left to the machine (``auto``).
        accelerator: as in ``trainer.accelerator``.
        trusted_modules: the user's own modules, which the command of its process names.
    """

    words: tuple[str, ...]
    folder: Path
    plain: Plain
    devices: int = 1
    accelerator: str = "auto"
    trusted_modules: tuple[str, ...] = ()

    @classmethod
    def of_sweep(cls, words: Sequence[str], folder: Path, draft: Draft) -> "Job":
        """Return the job in ``folder`` of the sweep in the folder above, whose name groups its runs by default."""
        if not draft.logger_group:
            draft = draft.with_values({"logger.group": folder.parent.name})
        devices = draft.trainer.devices
        return cls(
            tuple(words),
            folder,
            draft.as_plain(),
            devices if isinstance(devices, int) and devices > 0 else 1,
            draft.trainer.accelerator,
            tuple(draft.trusted_modules),
        )

    @property
    def name(self) -> str:
        """Return the name that distinguishes it from the other jobs."""
        return self.folder.name

    @property
    def arm(self) -> str:
        """Return the overrides without seed and fold: jobs that share them are trainings of one arm of a study."""
        return " ".join(word for word in self.words if not word.startswith(("seed=", "data.fold=")))

    @property
    def state(self) -> RunState:
        """Return the current state of its run."""
        return read_run_state(self.folder)

    def prepare(self) -> None:
        """Write the configuration from which its process starts, unless a started run has written its own."""
        file = RunFolder(self.folder).config
        if not file.is_file():
            write_text(file, yaml.safe_dump(dict(self.plain), sort_keys=False))

    def arguments(self) -> list[str]:
        """Return the arguments of ``aunet train`` with which the run starts, or continues from its checkpoint."""
        trusted = f"trusted_modules=[{','.join(self.trusted_modules)}]"
        return [resume_word(self.folder), *([trusted] if self.trusted_modules else [])]


def resume_word(folder: Path) -> str:
    """Return the word that continues the run in ``folder``."""
    return f"resume={quote(str(folder))}"
