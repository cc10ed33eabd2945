"""A trained run is loaded with its own settings of the prediction, or with others."""

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

import aunet
from aunet.build.inferer import build_inferer
from aunet.build.model import build_region
from aunet.build.network import build_network, load_checkpoint_weights
from aunet.build.store import keep_region
from aunet.commands.main import main
from aunet.config.composition import compose_config, resolve_config
from aunet.config.draft import load_run_config, write_run_config
from aunet.config.schema import RunConfig
from aunet.data.io.volume import Volume
from aunet.errors import UserError
from aunet.inference.mirror_images import Mirror
from aunet.inference.prediction import Outputs
from aunet.inference.window_layout import Window
from aunet.networks import UNet
from aunet.runs.run_folder import RunFolder
from tests.config.test_every_option import FACTS


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run with a tiny network."""
    folder = tmp_path_factory.mktemp("run")
    words = ["model=unet", "model.network.channels=[2,4,4]", "trainer.precision=float32"]
    config = resolve_config(compose_config(words), FACTS | {"patch_size": [16, 16, 16]})
    write_run_config(config, folder)
    weights = {f"network.{name}": value for name, value in build_network(config).state_dict().items()}
    (folder / "checkpoints").mkdir()
    torch.save({"state_dict": weights}, folder / "checkpoints" / "best.ckpt")
    return folder


def test_a_run_predicts_with_its_own_window_unless_told_otherwise(run: Path) -> None:
    own = aunet.load_run(run, "cpu").inferer
    assert own == Window((16, 16, 16), 0.5, (4, 4, 4), 1, 500_000)
    other = aunet.load_run(run, "cpu", inference={"overlap": 0.25, "window_batch": 4, "one_pass_voxels": 0}).inferer
    assert other == Window((16, 16, 16), 0.25, (4, 4, 4), 4, 0)


def test_another_overlap_changes_what_is_predicted_and_another_batch_does_not(run: Path) -> None:
    image = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 40, 24, 24), np.float32))

    def logits(**inference: object) -> torch.Tensor:
        predictor = aunet.load_run(run, "cpu", inference={"one_pass_voxels": 0, **inference})
        return predictor.predict_preprocessed(image).logits

    usual = logits()
    assert torch.allclose(logits(window_batch=3), usual, atol=1e-5)
    assert not torch.allclose(logits(overlap=0), usual, atol=1e-5)


@pytest.mark.parametrize(
    ("inference", "message"),
    [
        ({"overlp": 0.25}, r"inference\.overlp: there is no such key\. Did you mean inference\.overlap\?"),
        ({"overlap": 1.0}, r"inference\.overlap=1\.0: it must be at least 0 and below 1"),
        ({"window_batch": 2.5}, r"inference\.window_batch=2\.5: inference\.window_batch must be a whole number"),
        ({"window_batch": 0}, "at least 1"),
        ({"overlap": "half"}, "must be a number"),
        ({"inferer": "tile"}, "sliding_window, whole_volume, tiled, auto"),
        ({"engine": "tensorrt"}, "torch, openvino, onnxruntime, auto"),
        ({"tile_size": [32, 32]}, r"inference\.tile_size=\[32, 32\]: it must hold 3 numbers"),
    ],
)
def test_a_setting_of_the_prediction_obeys_the_schema(run: Path, inference: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        aunet.load_run(run, "cpu", inference=inference)


@pytest.mark.parametrize("inferer", ["whole_volume", "tiled", "auto"])
def test_other_inferers_predict_almost_the_same_of_a_local_network(run: Path, inferer: str) -> None:
    image = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 61, 20, 24), np.float32))
    settings = {"inferer": inferer, "tile_size": [56, 24, 24], "halo": 100}
    logits = aunet.load_run(run, "cpu", inference=settings).predict_preprocessed(image).logits
    one_pass = aunet.load_run(run, "cpu").predict_preprocessed(image).logits  # small enough for a single window
    assert torch.allclose(logits, one_pass, atol=1e-4)


def test_tiles_of_a_network_that_averages_over_its_input_are_refused_and_auto_takes_windows(run: Path) -> None:
    config = resolve_config(compose_config(["inference.inferer=tiled"]), FACTS | {"patch_size": [16, 16, 16]})
    network = UNet(channels=(2, 4, 4), norm="instance")
    with pytest.raises(UserError, match=r"inference\.inferer=tiled: .* may average over all of its input"):
        build_inferer(config, network)
    config = resolve_config(compose_config(["inference.inferer=auto"]), FACTS | {"patch_size": [16, 16, 16]})
    assert build_inferer(config, network) == Window((16, 16, 16), 0.5, (4, 4, 4))


def test_a_run_is_predicted_by_the_engine_asked_for(run: Path) -> None:
    volume = Volume(np.random.default_rng(0).normal(50, 10, (21, 34, 17)).astype(np.float32), np.diag([2.0, 2, 2, 1]))
    plain, folded = (aunet.load_run(run, "cpu", inference={"engine": engine}) for engine in (None, "torch"))
    assert (plain.predict_volume([volume]).label == folded.predict_volume([volume]).label).mean() > 0.999


def test_air_is_skipped_in_ct_alone(run: Path, tmp_path: Path) -> None:
    aunet.load_run(run, "cpu", inference={"skip_air": True})
    of_mr = shutil.copytree(run, tmp_path / "mr")
    text = (of_mr / "config.yaml").read_text()
    (of_mr / "config.yaml").write_text(re.sub(r"modality: ct\b", "modality: mr", text))
    with pytest.raises(UserError, match=r"inference\.skip_air=true: only CT shows air in HU, .* is mr\."):
        aunet.load_run(of_mr, "cpu", inference={"skip_air": True})


@pytest.mark.parametrize("content", [b"", b"text " * 99, None], ids=["empty", "text", "foreign objects"])
def test_a_checkpoint_that_cannot_be_read_is_one_message(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "best.ckpt"
    if content is None:
        torch.save({"state_dict": {}, "mine": np.float64(1)}, file)
    else:
        file.write_bytes(content)
    with pytest.raises(UserError, match="does not hold the weights of this run's network"):
        load_checkpoint_weights(torch.nn.Conv3d(1, 1, 1), file)


def write_run_of(folder: Path, *words: str) -> Path:
    """Write the folder of a run with a tiny network and classes on both sides."""
    facts = FACTS | {"patch_size": [16, 16, 16], "class_names": ["background", "left_kidney", "right_kidney", "liver"]}
    words = ("model=unet", "model.network.channels=[2,4,4]", "trainer.precision=float32", *words)
    config = resolve_config(compose_config(list(words)), facts | {"num_classes": 4})
    write_run_config(config, folder)
    weights = {f"network.{name}": value for name, value in build_network(config).state_dict().items()}
    (folder / "checkpoints").mkdir()
    torch.save({"state_dict": weights}, folder / "checkpoints" / "best.ckpt")
    return folder


def test_flips_exchange_left_and_right_classes_and_warn_of_axes_that_were_not_trained(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = write_run_of(tmp_path)
    assert not aunet.load_run(run, "cpu").mirrors
    assert aunet.load_run(run, "cpu", inference={"flips": "auto"}).mirrors == (Mirror(0, ((1, 2),)),)
    assert "did not mirror" not in caplog.text
    assert aunet.load_run(run, "cpu", inference={"flips": [0, 1]}).mirrors == (Mirror(0, ((1, 2),)), Mirror(1))
    assert "the training of this run did not mirror back-front" in caplog.text


def test_a_further_run_before_the_scans_makes_an_ensemble(tmp_path: Path) -> None:
    first, second = (write_run_of(tmp_path / str(seed), f"seed={seed}") for seed in (1, 2))
    scan = np.random.default_rng(0).normal(0, 200, (20, 18, 16)).astype(np.float32)
    nibabel.Nifti1Image(scan, np.eye(4)).to_filename(tmp_path / "scan.nii.gz")
    words = [first, second, tmp_path / "scan.nii.gz", "--output", tmp_path / "out", "--device", "cpu", "--uncertainty"]
    assert main(["predict", *map(str, words), "--probabilities"]) == 0
    liver = nibabel.load(tmp_path / "out/probabilities/scan/03_liver.nii.gz").get_fdata()
    outputs = Outputs(probabilities=True)
    single = [aunet.load_run(run, "cpu").predict(tmp_path / "scan.nii.gz", outputs) for run in (first, second)]
    assert np.allclose(liver, np.mean([one.probabilities[3] for one in single], axis=0), atol=1e-5)  # type: ignore[index]
    manifest = json.loads((tmp_path / "out/predictions.json").read_text())
    assert [run["folder"] for run in manifest["runs"]] == [str(first), str(second)]
    assert manifest["runs"][0]["sha256"] == hashlib.sha256((first / "checkpoints/best.ckpt").read_bytes()).hexdigest()


def test_runs_without_a_scan_are_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(run), str(run), "--output", str(tmp_path)]) == 2
    assert f"{run}: a run, and no scan is given" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "stated", "patch_size", "said"),
    [
        (
            "unet",
            2,
            [80, 64, 64],
            r"spatial_dims=2: data\.patch_size=\[80, 64, 64\] makes 3D.*=\[80, 64, 1\]",
        ),
        ("monai_unet", 2, [80, 64, 64], r"spatial_dims=2: data\.patch_size=\[80, 64, 64\] makes 3D patches"),
        ("attention", 3, [64, 64, 1], r"spatial_dims=3: data\.patch_size=\[64, 64, 1\] makes 2D.*more than one voxel"),
    ],
)
def test_a_network_of_other_axes_than_the_patches_is_refused(
    model: str, stated: int, patch_size: list[int], said: str
) -> None:
    facts = FACTS | {"patch_size": patch_size, "spatial_dims": 2 if patch_size[-1] == 1 else 3}
    config = resolve_config(compose_config([f"model={model}", f"model.network.spatial_dims={stated}"]), facts)
    with pytest.raises(UserError, match=said):
        build_network(config)


def with_choice(run: Path, folder: Path, kind: str) -> Path:
    """Return a copy of ``run`` that chose a step of post-processing."""
    shutil.copytree(run, folder)
    step = {"step": kind, "class": aunet.load_run(run, "cpu").labels.names[1]}
    (folder / "postprocessing.json").write_text(json.dumps({"steps": [step]}))
    return folder


def test_an_ensemble_applies_the_steps_that_are_set_if_its_runs_chose_others(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs = [with_choice(run, tmp_path / kind, kind) for kind in ("largest_component", "hole_filling")]
    steps = [{"_target_": "aunet.inference.postprocessing.MinimumVolume", "least_ml": 0.05}]
    applied = aunet.load_ensemble(runs, "cpu", inference={"postprocessing": steps}).postprocessing
    assert [type(step).__name__ for step in applied] == ["MinimumVolume"]
    assert "chose different steps" in caplog.text
    same = aunet.load_ensemble([runs[0], runs[0]], "cpu", inference={"postprocessing": steps}).postprocessing
    assert [type(step).__name__ for step in same] == ["MinimumVolume", "LargestComponent"]
    assert "a run is given twice" in caplog.text


def test_an_ensemble_of_no_run_is_refused_and_one_folder_is_an_ensemble_of_one(run: Path) -> None:
    with pytest.raises(UserError, match=r"load_ensemble: folders is empty.* Give the folders"):
        aunet.load_ensemble([])
    assert len(aunet.load_ensemble(run, "cpu").members) == len(aunet.load_ensemble(str(run), "cpu").members) == 1


def test_a_coarse_run_crops_with_the_steps_that_it_chose_and_its_copy_does_too(run: Path, tmp_path: Path) -> None:
    chosen = with_choice(run, tmp_path / "coarse", "largest_component")
    plain, with_steps = (region_config(run, folder) for folder in (run, chosen))
    identities = [build_region(config).settings()["run"] for config in (plain, with_steps)]  # type: ignore[union-attr]
    assert identities[0] != identities[1]
    keep_region(with_steps, tmp_path / "fine")
    copy = RunFolder(tmp_path / "fine").region
    assert [type(step).__name__ for step in aunet.load_run(copy, "cpu").postprocessing] == ["LargestComponent"]
    assert build_region(with_steps, copy).settings()["run"] == identities[1]  # type: ignore[union-attr]


def region_config(run: Path, coarse: Path) -> RunConfig:
    config = load_run_config(run)
    return replace(config, data=replace(config.data, region=str(coarse)))
