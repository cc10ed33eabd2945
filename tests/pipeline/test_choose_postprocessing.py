"""The choice of post-processing among several ranks."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress

import aunet.pipeline.choose_postprocessing as choosing
from aunet.classes import Labels
from aunet.data.cohort.case import Case, Cohort
from aunet.data.io.volume import Volume
from aunet.data.preprocessing.steps import Preprocessing
from aunet.inference.chosen_postprocessing import ChosenStep, read_choice, write_choice
from aunet.inference.predictor import Predictor
from aunet.inference.window_layout import Window
from aunet.runs.run_folder import RunFolder
from tests.inference.tiny_networks import Threshold

LABELS = Labels(("background", "bright"))


def test_a_rank_returns_after_the_first_one_wrote_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RunFolder(tmp_path).postprocessing
    chosen = [ChosenStep("largest_component", "bright")]

    @contextmanager
    def first_rank_first() -> Generator[None]:
        write_choice(file, chosen, {})  # as the other rank does
        yield

    def read(case: Case, cohort: Cohort) -> tuple[Sequence[Volume], Volume]:
        image, reference = np.zeros((8, 8, 8), np.float32), np.zeros((8, 8, 8), np.uint8)
        image[2:4] = image[7, 7, 7] = reference[2:4] = 1
        return [Volume(image, np.eye(4))], Volume(reference, np.eye(4))

    monkeypatch.setattr(choosing, "rank", lambda: 1)
    monkeypatch.setattr(choosing, "first_rank_first", first_rank_first)
    monkeypatch.setattr(choosing, "read_scan_and_reference", read)
    predictor = Predictor(Threshold(), Preprocessing(None, "mr", None), LABELS, Window((8, 8, 8)))
    case = Case("one", (Path("one.nii.gz"),), Path("label.nii.gz"))
    cohort = Cohort("some", (case,), LABELS, {1: 1}, "mr", "")
    with Progress(disable=True) as progress:
        choosing.choose_postprocessing(predictor, [case], cohort, tmp_path, progress)
    assert read_choice(file) == chosen
