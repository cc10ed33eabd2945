"""From a scan file to a label map in its own grid."""

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from torch import nn

from aunet.classes import Labels
from aunet.data.io.volume import Volume, read_label
from aunet.data.preprocessing.steps import Preprocessing
from aunet.errors import UserError
from aunet.inference import label_volume as label_volumes
from aunet.inference.engines import Engine, TorchEngine
from aunet.inference.ensemble import Ensemble
from aunet.inference.prediction import Outputs, count_values
from aunet.inference.predictor import Predictor
from aunet.inference.training_range import TrainingRange
from aunet.inference.window_layout import Window
from tests.data.geometries import GEOMETRIES
from tests.inference.tiny_networks import Neighbourhood, Threshold

LABELS = Labels(("background", "bright"))
MR = Preprocessing(None, "mr", (0.0, 1.0))
SHAPE = (21, 34, 17)
PARALLEL = pytest.mark.parametrize("affine", GEOMETRIES.values(), ids=GEOMETRIES)


def random_image() -> np.ndarray:
    return np.random.default_rng(0).normal(50, 10, SHAPE).astype(np.float32)


def save(path: Path, array: np.ndarray, affine: np.ndarray) -> Path:
    nibabel.Nifti1Image(array, affine).to_filename(path)
    return path


@PARALLEL
def test_the_label_map_of_a_file_lies_in_the_files_own_grid(tmp_path: Path, affine: np.ndarray) -> None:
    image = random_image()
    scan = save(tmp_path / "scan.nii.gz", image, affine)
    prediction = Predictor(Threshold(), MR, LABELS, Window((16, 16, 16))).predict(scan)
    prediction.write(tmp_path / "label.nii.gz")
    written = read_label(tmp_path / "label.nii.gz")
    assert np.array_equal(written.array, (image > image.mean()).astype(np.uint8))
    assert np.array_equal(written.affine, nibabel.load(scan).affine)
    assert prediction.spacing == pytest.approx(tuple(np.linalg.norm(affine[:3, :3], axis=0)), rel=1e-5)


def test_the_voxels_of_a_file_are_released_before_the_network_runs(tmp_path: Path) -> None:
    arrays: list[weakref.ref[np.ndarray]] = []

    class Watching(Predictor):
        def read(self, scan: str | Path | Sequence[str | Path]) -> list[Volume]:
            channels = super().read(scan)
            arrays.extend(weakref.ref(channel.array) for channel in channels)
            return channels

    class Network(Threshold):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            assert arrays
            assert all(array() is None for array in arrays)
            return super().forward(image)

    flipped = np.diag([-1.0, 1.0, 1.0, 1.0])
    for name, affine in (("flipped", flipped), ("ras", np.eye(4))):
        scan = save(tmp_path / f"{name}.nii", random_image(), affine)
        Watching(Network(), MR, LABELS, Window((16, 16, 16))).predict(scan)


def test_values_are_counted_as_numpy_counts_them() -> None:
    values = np.random.default_rng(0).integers(0, 5, (110, 100, 100), np.uint8)  # more than are counted at once
    assert count_values(values, 7).tolist() == [*np.unique(values, return_counts=True)[1].tolist(), 0, 0]


@PARALLEL
def test_a_scan_respaced_for_the_network_returns_in_its_own_grid(affine: np.ndarray) -> None:
    is_high = [np.arange(size) >= size // 2 for size in (20, 34, 16)]
    is_bright = is_high[0][:, None, None] ^ is_high[1][:, None] ^ is_high[2]
    volume = Volume(np.where(is_bright, 3, 1).astype(np.float32), affine)
    preprocessing = Preprocessing((0.6, 0.6, 0.6), "mr", (0.0, 1.0))
    label = Predictor(Threshold(), preprocessing, LABELS, Window((64, 64, 64))).predict_volume([volume]).label
    assert label.shape == is_bright.shape
    assert (label == is_bright).mean() > 0.98


def test_bf16_and_channels_last_agree_with_float32() -> None:
    volume = Volume(random_image(), np.eye(4))
    labels = Labels(("background", "one", "two"))
    image = torch.from_numpy(MR.image([volume]).array)
    exact = Predictor(Neighbourhood(), MR, labels, Window((16, 16, 16))).predict_preprocessed(image).logits
    fast = Predictor(Neighbourhood(), MR, labels, Window((16, 16, 16)), precision="bf16", channels_last=True)
    rough = fast.predict_preprocessed(image).logits
    assert fast.network.coarse.weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert 0 < (rough - exact).abs().max() < 0.05


def test_the_precision_asked_for_is_the_one_the_network_runs_in() -> None:
    seen: list[torch.dtype] = []

    class Listener(nn.Conv3d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            logits = super().forward(input)
            seen.append(logits.dtype)
            assert torch.is_inference_mode_enabled()
            return logits

    for precision in ("float32", "bf16"):
        Predictor(Listener(1, 2, 1), MR, LABELS, Window((16, 16, 16)), precision=precision).predict_volume(
            [Volume(random_image(), np.eye(4))]
        )
    assert set(seen) == {torch.float32, torch.bfloat16}


def test_several_channels_come_from_several_files_or_one_4d_file(tmp_path: Path) -> None:
    array = np.stack([random_image(), 2 * random_image()[::-1]], axis=-1)
    files = [save(tmp_path / f"{index}.nii.gz", array[..., index], np.eye(4)) for index in range(2)]
    together = save(tmp_path / "together.nii.gz", array, np.eye(4))
    predictor = Predictor(Neighbourhood(in_channels=2, num_classes=2), MR, LABELS, Window((32, 48, 32)), in_channels=2)
    assert np.array_equal(predictor.predict(files).label, predictor.predict(str(together)).label)


def test_a_scan_with_other_channels_than_the_network_takes_is_refused(tmp_path: Path) -> None:
    scan = save(tmp_path / "scan.nii.gz", random_image(), np.eye(4))
    predictor = Predictor(Neighbourhood(in_channels=2), MR, LABELS, Window((16, 16, 16)), in_channels=2)
    with pytest.raises(UserError, match=r"scan\.nii\.gz: 1 channels; the network was trained on 2"):
        predictor.predict(scan)
    with pytest.raises(UserError, match="no file: 0 channels"):
        predictor.predict([])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_array_with_voxels_that_are_not_finite_is_refused(value: float) -> None:
    array = random_image()
    array[3, 3, 3] = value
    predictor = Predictor(Neighbourhood(), MR, Labels(("background", "a", "b")), Window((16, 16, 16)), in_channels=1)
    for outputs in (Outputs(), Outputs(probabilities=True)):
        with pytest.raises(UserError, match="volume in memory: holds NaN or infinite"):
            predictor.predict_volume([Volume(array, np.eye(4))], outputs)
        with pytest.raises(UserError, match="volume in memory: 2 channels; the network was trained on 1"):
            predictor.predict_volume([Volume(random_image(), np.eye(4))] * 2, outputs)


def test_a_flipped_view_of_an_array_is_labelled_as_its_copy() -> None:
    predictor = Predictor(Neighbourhood(), MR, Labels(("background", "a", "b")), Window((16, 16, 16)))
    view = random_image()[::-1, :, ::-1]
    labels = [predictor.predict_volume([Volume(array, np.eye(4))]).label for array in (view, view.copy())]
    assert np.array_equal(*labels)


def test_predicting_twice_gives_the_same() -> None:
    predictor = Predictor(Neighbourhood(), MR, Labels(("background", "a", "b")), Window((16, 16, 16)))
    volume = Volume(random_image(), GEOMETRIES["oblique"])
    assert np.array_equal(predictor.predict_volume([volume]).label, predictor.predict_volume([volume]).label)


class Resolving:
    """A choice of an engine that takes the network itself, and notes the patches on which it was asked."""

    def __init__(self) -> None:
        self.patches: list[torch.Tensor] = []

    def resolve(self, network: nn.Module, patch: torch.Tensor) -> Engine:
        self.patches.append(patch)
        return TorchEngine(network, "float32")


def test_an_engine_is_chosen_once_on_a_patch_from_the_middle_of_the_first_scan() -> None:
    choice: Any = Resolving()
    predictor = Predictor(Threshold(), MR, LABELS, Window((16, 16, 16)), precision="bf16", engine=choice)
    assert predictor.engine_name == "network as in validation, bf16"
    scans = [Volume(np.random.default_rng(seed).normal(size=(48, 16, 16)), np.eye(4)) for seed in range(2)]
    for scan in scans:
        predictor.predict_volume([scan])

    [patch] = choice.patches
    assert torch.equal(patch, torch.from_numpy(MR.image([scans[0]]).array)[None, :, 16:32])
    assert predictor.engine_name == "torch, float32"


def test_progress_goes_from_window_to_window_up_to_all_of_them() -> None:
    shares: list[float] = []
    scan = Volume(np.random.default_rng(0).normal(size=(64, 16, 16)), np.eye(4))
    Predictor(Threshold(), MR, LABELS, Window((16, 16, 16), 0.0)).predict_volume([scan], on_progress=shares.append)
    assert shares == [0.25, 0.5, 0.75, 1.0]


def test_a_scan_beyond_the_range_of_the_training_is_reported_once_for_all_runs_of_that_range(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ranges = [None, TrainingRange(("mr",), ((2.0, 2.0),)), TrainingRange(("mr",), ((2.0, 2.0),))]
    runs = [Predictor(Threshold(), MR, LABELS, Window((16, 16, 16)), training_range=of) for of in ranges]
    scan = Volume(random_image(), np.eye(4))
    for predictor, warnings in ((runs[0], 0), (runs[1], 1), (Ensemble(runs, "abc"), 1)):
        caplog.clear()
        predictor.warn_if_unusual([scan])
        assert len(caplog.messages) == warnings


def test_sums_of_windows_are_of_the_type_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.dtype] = []
    real = label_volumes.finish_slabs

    def finish_slabs(windows: Any, layout: Any, sums: torch.dtype = torch.float32) -> Any:
        asked.append(sums)
        return real(windows, layout, sums)

    monkeypatch.setattr(label_volumes, "finish_slabs", finish_slabs)
    scan = Volume(random_image(), np.eye(4))
    predictor = Predictor(Threshold(), MR, LABELS, Window((16, 16, 16)), sums=torch.float16)
    for outputs in (Outputs(), Outputs(probabilities=True)):
        predictor.predict_volume([scan], outputs)
    assert asked == [torch.float16] * 2


def test_a_step_that_returns_another_shape_is_refused_by_its_number() -> None:
    steps = [lambda prediction: prediction.label.astype(np.int64), lambda prediction: prediction.label[1:]]
    predictor = Predictor(Threshold(), MR, LABELS, Window((16, 16, 16)), postprocessing=steps[:1])
    scan = Volume(random_image(), np.eye(4))
    assert predictor.predict_volume([scan]).label.dtype == np.uint8
    rule = r"postprocessing\[1\]: returned a label map of shape \(20, 34, 17\) for a scan of shape \(21, 34, 17\)"
    with pytest.raises(UserError, match=rule):
        Predictor(Threshold(), MR, LABELS, Window((16, 16, 16)), postprocessing=steps).predict_volume([scan])


def test_volumes_that_were_not_asked_for_are_not_made() -> None:
    predictor, scan = Predictor(Threshold(), MR, LABELS, Window((16, 16, 16))), Volume(random_image(), np.eye(4))
    uncertain, likely = (
        predictor.predict_volume([scan], Outputs(**{key: True})) for key in ("uncertainty", "probabilities")
    )
    assert uncertain.probabilities is None
    assert uncertain.entropy is not None
    assert likely.entropy is None
    assert likely.mutual_information is None
