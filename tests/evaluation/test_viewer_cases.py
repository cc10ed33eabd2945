"""Coefficients over a scan: each cell's centre has the same place in the patient as before."""

from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from torch import nn

from aunet.classes import Labels
from aunet.data.cohort.case import Case, Cohort
from aunet.data.io.volume import Volume, read_channels, write_label
from aunet.data.preprocessing.region import Box
from aunet.data.preprocessing.steps import Preprocessing
from aunet.evaluation import viewer_cases
from aunet.evaluation.viewer_cases import over_scan, store_viewer_cases
from aunet.inference.coefficient_files import read_coefficients
from aunet.inference.coefficients import LevelCoefficients
from aunet.inference.predictor import Predictor
from aunet.inference.window_layout import Window
from aunet.metrics.case_scores import write_case_scores
from aunet.metrics.label_map_scores import score_case
from aunet.reporting.pictures.planes import LabelledScan
from aunet.runs.inner_folders import ScoreFolder
from tests.inference.tiny_networks import Pointwise, Threshold


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SAL"])
def test_cells_keep_their_place_in_the_patient(axes: str) -> None:
    shape, spacing = (20, 30, 12), (0.8, 1.5, 3.0)
    stored = nibabel.orientations.axcodes2ornt(tuple(axes))
    image = nibabel.Nifti1Image(np.zeros(shape), np.diag([*spacing, 1.0]) + np.eye(4, k=3) * -40.0)
    turned = image.as_reoriented(
        nibabel.orientations.ornt_transform(nibabel.orientations.axcodes2ornt(("R", "A", "S")), stored)
    )
    prepared = np.diag([2.0, 2.0, 2.0, 1.0])
    prepared[:3, 3] = image.affine[:3, 3] + 5.0
    level = LevelCoefficients(2, np.zeros((1, 3, 3, 3)), (4.0, 4.0, 2.0), (-1.0, 0.0, 2.0))
    moved = over_scan(level, prepared, turned.affine, turned.shape)
    for cell in ((0, 0, 0), (2, 1, 0), (0, 2, 2)):
        before = prepared @ [*_middle(level, cell), 1.0]
        after = image.affine @ [*_middle(moved, cell), 1.0]
        assert after == pytest.approx(before)


class _Box:
    """A finder of one box."""

    missed: list[str]

    def __init__(self, box: Box) -> None:
        self._box, self.missed = box, []

    def find(self, channels: Sequence[Volume]) -> Box:
        return self._box

    def settings(self) -> dict[str, object]:
        return {}


def _predictor(network: nn.Module, region: _Box | None = None) -> Predictor:
    mr = Preprocessing(None, "mr", None)
    return Predictor(network, mr, Labels(("background", "bright")), Window((16, 16, 16)), region=region)


def _scored_case(folder: Path) -> tuple[dict[str, Case], Cohort, ScoreFolder]:
    """Write a scan, its reference and prediction, and their scores."""
    scan = np.random.default_rng(0).normal(50, 10, (32, 32, 16)).astype(np.float32)
    label = (scan > 50).astype(np.uint8)
    nibabel.Nifti1Image(scan, np.eye(4)).to_filename(folder / "a.nii.gz")
    scores = ScoreFolder(folder / "test")
    for path in (folder / "label.nii.gz", scores.predictions / "a.nii.gz"):
        write_label(path, label, np.eye(4))
    labels = Labels(("background", "bright"))
    write_case_scores(scores.case_scores, score_case("a", label, label, (1, 1, 1), labels))
    case = Case("a", (folder / "a.nii.gz",), folder / "label.nii.gz")
    cohort = Cohort("made", (case,), labels, {0: 0, 1: 1}, "mr", "")
    return {"a": case}, cohort, scores


def test_coefficients_of_a_run_on_a_region_are_those_of_the_crop(tmp_path: Path) -> None:
    class Sigmoids(Pointwise):
        def forward_with_attention(self, image: torch.Tensor) -> tuple[torch.Tensor, dict[int, torch.Tensor]]:
            return self(image), {2: torch.nn.functional.avg_pool3d(image.sigmoid(), 2)}

    cases, cohort, scores = _scored_case(tmp_path)
    box = Box((8, 4, 0), (24, 20, 16))
    store_viewer_cases(_predictor(Sigmoids(), _Box(box)), cases, cohort, scores)
    (level,) = read_coefficients(scores.coefficients("a"))
    scan = read_channels(tmp_path / "a.nii.gz")[0]
    image = torch.from_numpy(Preprocessing(None, "mr", None).image([box.cut(scan)]).array)
    expected = torch.nn.functional.avg_pool3d(image.sigmoid(), 2).numpy()
    assert level.offset == (8, 4, 0)
    assert level.values == pytest.approx(expected, abs=0.5 / 255)


def test_scans_are_stored_without_coefficients_if_there_are_none_or_memory_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Greedy(Pointwise):
        def forward_with_attention(self, image: torch.Tensor) -> tuple[torch.Tensor, dict[int, torch.Tensor]]:
            raise torch.OutOfMemoryError

    cases, cohort, scores = _scored_case(tmp_path)
    for network in (Threshold(), Greedy()):
        store_viewer_cases(_predictor(network), cases, cohort, scores)
        assert scores.scan("a").is_file()
        assert not scores.coefficients("a").exists()
    assert "case a: the viewer shows no coefficients" in caplog.text


def test_the_scan_its_reference_and_its_prediction_are_stored_in_ras_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[tuple[object, ...]] = []
    monkeypatch.setattr(viewer_cases, "store_scan", lambda *parts: stored.append(parts))
    monkeypatch.setattr(viewer_cases, "write_scan", lambda path, _: stored.append((path,)))
    affine = np.diag([-1.0, 2.0, 3.0, 1.0])
    scan, label, found = np.random.default_rng(0).random((3, 6, 5, 4)) > 0.5
    cases, cohort, scores = _scored_case(tmp_path)
    nibabel.Nifti1Image(scan.astype(np.float32), affine).to_filename(tmp_path / "a.nii.gz")
    write_label(tmp_path / "label.nii.gz", label.astype(np.uint8), affine)
    write_label(scores.predictions / "a.nii.gz", found.astype(np.uint8), affine)

    predictor = _predictor(Threshold())
    store_viewer_cases(predictor, cases, cohort, scores)

    (shown, prediction, window), (path,) = stored
    assert isinstance(shown, LabelledScan)
    for array, expected in ((shown.image, scan), (shown.label, label), (np.asarray(prediction), found)):
        assert np.array_equal(array, expected[::-1])  # the first axis runs to the left in the file
    assert (shown.spacing, window, path) == ((1, 2, 3), predictor.preprocessing.shown_window(), scores.scan("a"))


def _middle(level: LevelCoefficients, cell: tuple[int, int, int]) -> np.ndarray:
    """Return the index of a cell's centre, in voxels whose own centres have whole indices."""
    return np.array(level.offset) + (np.array(cell) + 0.5) * np.array(level.cell_size) - 0.5
