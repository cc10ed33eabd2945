"""The folders inside the folder of a run: checkpoints, recorded attention, scores of the test cases.

With ``run_folder``, the only modules that know the names of a run's files.
"""

from dataclasses import dataclass
from pathlib import Path

_LAST, _PREVIOUS, _BEST = "last.ckpt", "previous.ckpt", "best.ckpt"


@dataclass(frozen=True)
class CheckpointFolder:
    """The folder ``checkpoints/`` of a run."""

    path: Path

    @property
    def last(self) -> Path:
        """Return the path of the newest checkpoint."""
        return self.path / _LAST

    @property
    def previous(self) -> Path:
        """Return the path of the checkpoint before the last, for a last one that is damaged."""
        return self.path / _PREVIOUS

    @property
    def best(self) -> Path:
        """Return the path of the checkpoint of the best epoch."""
        return self.path / _BEST


@dataclass(frozen=True)
class AttentionFolder:
    """The folder ``attention/`` of a run: statistics of all epochs, volumes and pictures of some, films."""

    path: Path

    @property
    def statistics(self) -> Path:
        """Return the path of the table with a row per epoch, case, level and map."""
        return self.path / "statistics.csv"

    @property
    def films(self) -> list[Path]:
        """Return the contact sheets of the recorded cases."""
        return sorted(self.path.glob("film_*.png"))

    def film(self, case_id: str) -> Path:
        """Return the path of the contact sheet of a case."""
        return self.path / f"film_{case_id}.png"

    @staticmethod
    def case_of_film(film: Path) -> str:
        """Return the case whose contact sheet this is."""
        return film.stem.removeprefix("film_")

    @staticmethod
    def epoch_of(file: Path) -> int:
        """Return the epoch of a volume or picture."""
        return int(file.stem.removeprefix("epoch_"))

    def volume(self, case_id: str, epoch: int) -> Path:
        """Return the path of the coefficients of a case and epoch."""
        return self.path / "volumes" / case_id / f"epoch_{epoch:04d}.npz"

    def scan(self, case_id: str) -> Path:
        """Return the path of the image and label below the coefficients of a case."""
        return self.path / "scans" / f"{case_id}.npz"

    def picture(self, case_id: str, epoch: int) -> Path:
        """Return the path of the picture of a case and epoch."""
        return self.path / "pictures" / case_id / f"epoch_{epoch:04d}.png"

    @property
    def volumes(self) -> list[Path]:
        """Return the volumes of all cases and kept epochs."""
        return sorted(self.path.glob("volumes/*/epoch_*.npz"))

    @property
    def pictures(self) -> list[Path]:
        """Return the pictures of all cases and kept epochs."""
        return sorted(self.path.glob("pictures/*/epoch_*.png"))


@dataclass(frozen=True)
class ScoreFolder:
    """The folder ``test/`` of a run, or the output of ``aunet evaluate``: scores, predictions and their pictures."""

    path: Path

    @property
    def case_scores(self) -> Path:
        """Return the path of the table with a row per case and class."""
        return self.path / "case_scores.csv"

    @property
    def summary(self) -> Path:
        """Return the path of the mean scores."""
        return self.path / "summary.json"

    def scan(self, case_id: str) -> Path:
        """Return the path of the image, reference and prediction of a case for the viewer."""
        return self.path / "scans" / f"{case_id}.npz"

    def coefficients(self, case_id: str) -> Path:
        """Return the path of the best checkpoint's coefficients over the scan of a case."""
        return self.path / "coefficients" / f"{case_id}.npz"

    @property
    def predictions(self) -> Path:
        """Return the folder of the predicted label maps."""
        return self.path / "predictions"

    def picture(self, case_id: str) -> Path:
        """Return the path of the picture of a case."""
        return self.path / "pictures" / f"{case_id}.png"
