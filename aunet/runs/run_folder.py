"""The names of all files and folders of a run, and their readers, which accept the folders of older versions.

Only ``inner_folders`` and this module know these names. A file, column or key that an older version did not write is
"not recorded": None or empty, never an error. A damaged file is a UserError that names it.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import yaml

from aunet.classes import Labels
from aunet.errors import UserError
from aunet.files import JsonObject, read_json_object
from aunet.runs.epoch_rows import read_table
from aunet.runs.inner_folders import AttentionFolder, CheckpointFolder, ScoreFolder

if TYPE_CHECKING:
    import pandas as pd

CONFIG, RECORD, SPLITS = "config.yaml", "run.json", "splits.json"
METRICS, TIMING, REPORT = "metrics.csv", "timing.csv", "report.html"
CHECKPOINTS = "checkpoints"
CLASS_NAMES = "class_names.json"
_RESTORE = "Restore the run's own file."


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run; its files are read on demand."""

    path: Path

    @property
    def config(self) -> Path:
        """Return the path of the resolved configuration."""
        return self.path / CONFIG

    @property
    def record(self) -> Path:
        """Return the path of the run's record."""
        return self.path / RECORD

    @property
    def splits(self) -> Path:
        """Return the path of the parts of the cases."""
        return self.path / SPLITS

    @property
    def metrics(self) -> Path:
        """Return the path of the table of losses and scores, a row per epoch."""
        return self.path / METRICS

    @property
    def timing(self) -> Path:
        """Return the path of the table of speeds, a row per epoch."""
        return self.path / TIMING

    @property
    def lock(self) -> Path:
        """Return the path of the lock that the process of the run holds."""
        return self.path / "run.lock"

    @property
    def first_end(self) -> Path:
        """Return the path of the note on the first of several processes to end; removed when the run starts again."""
        return self.path / "first_end.json"

    @property
    def report(self) -> Path:
        """Return the path of the report."""
        return self.path / REPORT

    @property
    def failed_batch(self) -> Path:
        """Return the path of the batch whose loss was not finite."""
        return self.path / "failed_batch.pt"

    @property
    def checkpoints(self) -> CheckpointFolder:
        """Return the folder of the checkpoints."""
        return CheckpointFolder(self.path / CHECKPOINTS)

    @property
    def attention(self) -> AttentionFolder:
        """Return the folder of the recorded attention."""
        return AttentionFolder(self.path / "attention")

    @property
    def test(self) -> ScoreFolder:
        """Return the folder of the test cases' scores."""
        return ScoreFolder(self.path / "test")

    @property
    def region(self) -> Path:
        """Return the folder with configuration and weights of the coarse run that crops the scans."""
        return self.path / "region"

    @property
    def tracked_media(self) -> Path:
        """Return the path of the bytes of pictures that each tracker has received."""
        return self.path / "tracked_media.json"

    @property
    def postprocessing(self) -> Path:
        """Return the path of the steps of post-processing that were chosen on the validation cases."""
        return self.path / "postprocessing.json"

    @property
    def wandb(self) -> Path:
        """Return the folder that Weights & Biases writes."""
        return self.path / "wandb"

    @cached_property
    def facts(self) -> JsonObject:
        """Return the content of the record; raise UserError if it is missing or damaged."""
        if not self.record.is_file():
            raise UserError(f"{self.record}: no such file. Give the folder of a run, which holds {RECORD}.")
        return self.read_record()

    def read_record(self) -> JsonObject:
        """Return the content of the record; empty before the run has started."""
        return read_json_object(self.record, f"{_RESTORE} or train again.") if self.record.is_file() else {}

    def read_splits(self) -> JsonObject:
        """Return the parts of the cases by name, with what identifies the cases; empty if they are not recorded."""
        return read_json_object(self.splits, _RESTORE) if self.splits.is_file() else {}

    def read_config(self) -> JsonObject:
        """Return the configuration as written, unchecked (``config.draft.load_run_config`` is not); empty if none."""
        if not self.config.is_file():
            return {}
        try:
            content = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{self.config}: not readable as YAML ({reason}). {_RESTORE}") from None
        if not isinstance(content, dict):
            raise UserError(f"{self.config}: not a mapping of settings. {_RESTORE}")
        return cast(JsonObject, content)

    def read_epochs(self) -> list[dict[str, str]]:
        """Return the cells of the table of metrics by column, a row per epoch; empty if it is not recorded."""
        return read_table(self.metrics)

    @cached_property
    def case_scores(self) -> "pd.DataFrame | None":
        """Return the scores of the test cases, a row per case and class, read once; None before the test."""
        # pandas takes half a second to import, which listing many runs does without.
        from aunet.metrics.case_scores import read_case_scores

        return read_case_scores(self.test.case_scores) if self.test.case_scores.is_file() else None

    @property
    def caveats(self) -> list[str]:
        """Return the sentences that qualify every score of the run."""
        return self._texts("caveats")

    @property
    def labels(self) -> Labels:
        """Return the classes of the run; raise UserError if the record lacks them."""
        names = self._texts("class_names")
        if not names:
            raise UserError(f"{self.record}: lacks 'class_names'; a run writes them when it starts. {_RESTORE}")
        return Labels(tuple(names), self._regions())

    def _regions(self) -> tuple[tuple[int, ...], ...]:
        """Return the label values of each region; empty if the classes exclude each other."""
        found: object = self.facts.get("regions") or []
        try:
            return tuple(tuple(int(value) for value in values) for values in cast(list[list[int]], found))
        except (TypeError, ValueError):
            raise UserError(f"{self.record}: 'regions' is {found!r}; it must be lists of numbers. {_RESTORE}") from None

    def _texts(self, key: str) -> list[str]:
        """Return a list in the record; empty if it is missing or null."""
        found: object = self.facts.get(key)
        if found is not None and not isinstance(found, list):
            raise UserError(f"{self.record}: {key!r} is {found!r}; it must be a list. {_RESTORE}")
        return [] if found is None else [str(entry) for entry in cast(list[object], found)]


def is_run_folder(folder: Path) -> bool:
    """Return whether ``folder`` holds the record or the configuration of a run."""
    return any((folder / name).is_file() for name in (RECORD, CONFIG))


def runs_inside(folder: Path) -> list[Path]:
    """Return the folders directly in ``folder`` that hold the record of a run."""
    return sorted(found.parent for found in folder.glob(f"*/{RECORD}"))


def checkpoint_of_run(folder: Path) -> Path:
    """Return the best checkpoint of a run, else the last, else the previous one; raise UserError without any."""
    checkpoints = RunFolder(folder).checkpoints
    paths = (checkpoints.best, checkpoints.last, checkpoints.previous)
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise UserError(f"{folder}: no checkpoint in {CHECKPOINTS}/. Give the folder of a run that has trained.")
    return found


def run_of_checkpoint(checkpoint: Path) -> RunFolder | None:
    """Return the run whose checkpoint this is; None for a file outside ``checkpoints/`` of a run."""
    run = RunFolder(checkpoint.parent.parent)
    return run if checkpoint.parent.name == CHECKPOINTS and run.config.is_file() else None
