"""The parts of a bundle that MONAI reads, without a network."""

import gzip
import re
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import Dataset, MetaTensor
from monai.transforms import Compose, LoadImaged, SaveImage
from nibabel.nifti1 import Nifti1Image

from aunet.build.model import load_run
from aunet.classes import Labels
from aunet.export.bundle import _metadata, _postprocessing
from aunet.export.exported_model import ExportedModel, describe_windows
from aunet.export.standalone.monai_parts import Evaluator, Painted, Respaced, VolumeWriter, WindowInferer, scans_in
from aunet.export.standalone.postprocessing import Step


def test_the_label_map_of_a_single_slice_keeps_its_third_axis(tmp_path: Path) -> None:
    label = np.arange(30, dtype=np.uint8).reshape(5, 6, 1)
    meta = {"filename_or_obj": "scan.nii.gz", "original_channel_dim": "no_channel"}
    save = SaveImage(tmp_path, "seg", ".nii.gz", np.uint8, resample=False, separate_folder=False, writer=VolumeWriter)
    save(MetaTensor(torch.from_numpy(label[None]), torch.eye(4), meta))
    written = nibabel.load(tmp_path / "scan_seg.nii.gz")
    assert isinstance(written, Nifti1Image)
    assert np.array_equal(np.asarray(written.dataobj), label)


@pytest.mark.parametrize("unit", [1, 3, 9])
def test_a_scan_whose_unit_differs_from_mm_is_refused(unit: int) -> None:
    image = MetaTensor(torch.ones(1, 4, 4, 4), torch.eye(4), {"xyzt_units": unit})
    with pytest.raises(ValueError, match="not mm"):
        Respaced("image", (1, 1, 1), "area")({"image": image})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_scan_with_nan_or_infinite_voxels_is_refused(value: float) -> None:
    image = MetaTensor(torch.full((1, 4, 4, 4), value), torch.eye(4), {"xyzt_units": 2})
    with pytest.raises(ValueError, match="NaN or infinite"):
        Respaced("image", (1, 1, 1), "area")({"image": image})


@pytest.mark.parametrize("name", ["$print(1)", "@evaluator", "%macro", "a@#b"])
def test_monais_parser_evaluates_no_class_name(name: str, repository: Path) -> None:
    predictor = load_run(repository / "tests" / "fixtures" / "old_run" / "unet", "cpu")
    predictor.labels = Labels(("background", "spleen", name, "kidney"))
    steps = tuple(Step(step="largest_component", class_name=one, least_ml=None) for one in (name, "spleen", None))
    windows = describe_windows(predictor.inferer, 0.5, 0)
    model = ExportedModel(predictor, "unet", {"_target_": "x"}, 3, 1, windows, steps)
    settings = _postprocessing(model)[2]
    config = {key: settings[key] for key in ("steps", "class_names")}
    parsed = ConfigParser({"post": config}).get_parsed_content("post")
    assert parsed["class_names"] == ["background", "spleen", "class 2", "kidney"]
    assert [step["class_name"] for step in parsed["steps"]] == ["class 2", "spleen", None]
    assert name not in str(_metadata(model)["network_data_format"])


def test_numbered_files_of_all_channels_are_scans_and_those_of_one_are_channels(tmp_path: Path) -> None:
    for number in range(3):
        nibabel.save(Nifti1Image(np.zeros((4, 4, 4, 2), np.float32), np.eye(4)), tmp_path / f"whole_{number:04d}.nii")
    for number in range(2):
        nibabel.save(
            Nifti1Image(np.zeros((4, 4, 4) + (1,) * number, np.float32), np.eye(4)),
            tmp_path / f"split_{number:04d}.nii",
        )
    found = [scan["image"] for scan in scans_in(str(tmp_path), 2)]
    split = [str(tmp_path / f"split_{number:04d}.nii") for number in range(2)]
    assert found == [split, *(str(tmp_path / f"whole_{number:04d}.nii") for number in range(3))]
    Path(split[1]).write_bytes(b"damaged")
    assert split in [scan["image"] for scan in scans_in(str(tmp_path), 2)]


def test_two_scans_that_would_share_a_label_map_are_refused(tmp_path: Path) -> None:
    for name in ("a.nii", "a.nii.gz", "b.nii"):
        nibabel.save(Nifti1Image(np.zeros((4, 4, 4), np.float32), np.eye(4)), tmp_path / name)
    with pytest.raises(ValueError, match=r"a\.nii\.gz: .* that of a\.nii\. Move"):
        scans_in(str(tmp_path), 1)


@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")  # MONAI registers readers of all formats
def test_a_scan_that_cannot_be_labelled_is_named_and_does_not_stop_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "damaged.nii.gz").write_bytes(gzip.compress(bytes(500))[:40])
    for name, value in (("nan", np.nan), ("sound", 1.0)):
        volume = np.full((8, 8, 8), value, np.float32)
        nibabel.save(Nifti1Image(volume, np.eye(4)), tmp_path / f"{name}.nii.gz")
    transforms = [LoadImaged("image", ensure_channel_first=True), Respaced("image", (1, 1, 1), "area")]
    saved: list[str] = []
    evaluator = Evaluator(
        Dataset(scans_in(str(tmp_path), 1), Compose(transforms)),
        torch.nn.Conv3d(1, 2, 1),
        WindowInferer([8, 8, 8], 0.5, [1, 1, 1], 0),
        lambda case: saved.append(Path(case["pred"].meta["filename_or_obj"]).name),
        torch.device("cpu"),
    )
    with pytest.raises(SystemExit, match="2 of 3 scans were not labelled"):
        evaluator.run()
    assert saved == ["sound.nii.gz"]
    damaged, nan = [message for message in caplog.messages if "not labelled" in message]
    assert re.fullmatch(r"damaged\.nii\.gz: not labelled: [^\n]*(Error|Exception): [^\n]+", damaged)
    assert re.fullmatch(r"nan\.nii\.gz: not labelled: ValueError: .*NaN or infinite.*", nan)


def test_a_bundle_of_regions_paints_their_logits(repository: Path) -> None:
    predictor = load_run(repository / "tests" / "fixtures" / "old_run" / "unet", "cpu")
    predictor.labels = Labels(("background", "whole", "core", "edge"), ((1, 2, 3), (2, 3), (3,)))
    steps = (Step(step="largest_component", class_name="whole", least_ml=None),)
    windows = describe_windows(predictor.inferer, 0.5, 0)
    model = ExportedModel(predictor, "unet", {"_target_": "x"}, 3, 1, windows, steps)
    painting, changing = _postprocessing(model)[1:3]
    assert painting == {"_target_": "scripts.monai_parts.Painted", "keys": "pred"}
    assert changing["regions"] == [[1, 2, 3], [2, 3], [3]]
    output = _metadata(model)["network_data_format"]["outputs"]["pred"]  # type: ignore[index]
    assert (output["num_channels"], output["channel_def"]) == (3, {"0": "whole", "1": "core", "2": "edge"})
    settings = model.settings()
    assert (settings["activation"], settings["regions"]) == ("sigmoid", changing["regions"])
    logits = torch.tensor([1.0, -1.0, 2.0]).reshape(3, 1, 1, 1).repeat(1, 2, 2, 2)
    logits[2, 0] = -1
    painted = Painted("pred")({"pred": MetaTensor(logits, torch.eye(4))})["pred"]
    assert painted[0, :, 0, 0].tolist() == [1, 3]
    assert tuple(painted.shape) == (1, 2, 2, 2)
