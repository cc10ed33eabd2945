"""The cases that a report's viewer shows, read from the run's folder."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from aunet.inference.coefficient_files import read_coefficients
from aunet.inference.coefficients import LevelCoefficients
from aunet.reporting.score_section import case_means, notable_cases
from aunet.reporting.viewer.stored_scan import StoredScan, read_scan
from aunet.runs.inner_folders import AttentionFolder, ScoreFolder
from aunet.runs.run_folder import RunFolder


@dataclass(frozen=True)
class Frame:
    """The coefficients of a case by level, finest first, and when they were recorded ("epoch 3")."""

    name: str
    levels: Sequence[LevelCoefficients]


@dataclass(frozen=True)
class ShownCase:
    """A case with its title in the viewer's list; ``frames`` are in the order of the epochs, empty without gates.

    Along each axis, the cells of ``frames`` count voxels of the whole scan. Softmax coefficients ``are_relative``: they
    are shares of a whole, of which only multiples of the mean have a meaning.
    """

    title: str
    scan: StoredScan
    frames: Sequence[Frame]
    are_relative: bool = False


def read_shown_cases(run: RunFolder) -> list[ShownCase]:
    """Return the worst, median and best test case, then the validation cases whose attention was recorded.

    Cases whose scan was not stored, as in older runs, are left out.
    """
    scores = run.case_scores
    tested = [] if scores is None else list(_test_cases(run.test, scores))
    cases = [*tested, *_validation_cases(run.attention)]
    are_relative = any(case.frames for case in cases) and _is_softmax(run)
    return [replace(case, are_relative=are_relative) for case in cases]


def _test_cases(folder: ScoreFolder, scores: pd.DataFrame) -> list[ShownCase]:
    means = case_means(scores)
    shown = list[ShownCase]()
    for rank, case_id in notable_cases(scores).items():
        if folder.scan(case_id).is_file():
            path = folder.coefficients(case_id)
            frames = [Frame("best checkpoint", read_coefficients(path))] if path.is_file() else []
            title = f"{rank.capitalize()} test case: {case_id} (mean Dice {means[case_id]:.3f})"
            shown.append(ShownCase(title, read_scan(folder.scan(case_id)), frames))
    return shown


def _validation_cases(folder: AttentionFolder) -> list[ShownCase]:
    """Return the recorded cases; all epochs on disk are their frames."""
    epochs: dict[str, list[int]] = {}
    for path in folder.volumes:
        epochs.setdefault(path.parent.name, []).append(AttentionFolder.epoch_of(path))
    return [
        ShownCase(f"Validation case, every epoch: {case_id}", read_scan(folder.scan(case_id)), frames)
        for case_id, numbers in epochs.items()
        if folder.scan(case_id).is_file() and (frames := _frames(folder, case_id, numbers))
    ]


def _frames(folder: AttentionFolder, case_id: str, epochs: Sequence[int]) -> list[Frame]:
    return [Frame(f"epoch {epoch}", read_coefficients(folder.volume(case_id, epoch))) for epoch in epochs]


def _is_softmax(run: RunFolder) -> bool:
    settings: Any = run.read_config()
    for key in ("model", "network", "gate", "normalization"):
        settings = settings.get(key) if isinstance(settings, dict) else None
    return isinstance(settings, str) and "softmax" in settings
