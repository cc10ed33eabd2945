"""The step that docs/extend_prediction.md adds changes the label maps of a predictor as the page says."""

import shutil
import sys
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aunet.build.model import build_postprocessing
from aunet.classes import Labels
from aunet.config.composition import compose_config, resolve_config
from aunet.config.schema import InferenceConfig
from aunet.data.io.volume import Volume
from aunet.data.preprocessing.steps import Preprocessing
from aunet.errors import UserError
from aunet.inference.predictor import Predictor
from aunet.inference.window_layout import Window
from tests.docs.pages import blocks_of, write_files

FACTS = {
    "in_channels": 1,
    "num_classes": 2,
    "class_names": ["background", "ball"],
    "modality": "mr",
    "spatial_dims": 3,
    "spacing": [1.0, 1.0, 1.0],
    "patch_size": [16, 16, 16],
    "batch_size": 1,
}
SPACING = (5.0, 5.0, 10.0)  # mm, so that a voxel has 0.25 ml


class Above(nn.Module):
    """A network that finds the bright parts of an image that is standardised to -1 and 0."""

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, 2, *spatial)."""
        return torch.cat([-image - 0.5, image + 0.5], dim=1)


@pytest.fixture
def inference(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[InferenceConfig]:
    """Return the settings of the page's command, with the page's files in a working folder."""
    shutil.copytree(repository / "conf", tmp_path / "conf")
    page = repository / "docs" / "extend_prediction.md"
    assert write_files(page, tmp_path) == ["my_steps.py", "conf/inference/without_small_parts.yaml"]
    monkeypatch.syspath_prepend(tmp_path)
    commands = [words for block in blocks_of(page) if block.language == "sh" for words in block.commands()]
    [command] = [words for words in commands if "inference=without_small_parts" in words]
    yield resolve_config(compose_config(command[2:], tmp_path / "conf"), FACTS).inference
    sys.modules.pop("my_steps", None)


def predict(array: np.ndarray, inference: InferenceConfig) -> np.ndarray:
    predictor = Predictor(
        Above(),
        Preprocessing(None, "mr", (0.0, 1.0)),
        Labels(("background", "ball")),
        Window((16, 16, 16), size_multiple=(1, 1, 1)),
        postprocessing=build_postprocessing(inference),
    )
    return predictor.predict_volume([Volume(array, np.diag([*SPACING, 1.0]))]).label


def two_balls() -> np.ndarray:
    """Return an image with a part of 64 voxels, 16 ml, and one of 3 voxels, 0.75 ml."""
    array = np.zeros((16, 16, 16), np.float32)
    array[2:6, 2:6, 2:6] = 1
    array[10:13, 10, 10] = 1
    return array


def test_a_step_of_ones_own_is_one_python_and_one_yaml_file(inference: InferenceConfig) -> None:
    expected = two_balls()
    expected[10:13, 10, 10] = 0
    assert np.array_equal(predict(two_balls(), inference), expected)


def test_a_key_of_the_constructor_is_a_key_of_the_settings(inference: InferenceConfig) -> None:
    inference.postprocessing[0]["least_ml"] = 0.75
    assert np.array_equal(predict(two_balls(), inference), two_balls())


def test_steps_are_applied_in_their_order(inference: InferenceConfig) -> None:
    [step] = inference.postprocessing
    inference.postprocessing = [{**step, "least_ml": 0.5}, {**step, "least_ml": 20.0}]
    assert not predict(two_balls(), inference).any()


@pytest.mark.parametrize(
    "entry",
    ["WithoutSmallParts", {"least_ml": 1.0}, {"_target_": "aunet.classes.Labels", "names": ["background", "a"]}],
)
def test_an_entry_that_is_not_a_step_is_refused(entry: object) -> None:
    settings = resolve_config(compose_config([]), FACTS)
    settings.inference.postprocessing = [entry]
    with pytest.raises(UserError, match=r"inference.postprocessing\[0\].*_target_"):
        build_postprocessing(settings.inference)


def test_a_step_of_a_module_that_is_not_trusted_is_refused_with_the_remedy() -> None:
    with pytest.raises(UserError, match=r"inference.postprocessing\[0\].*trusted_modules=\[its_name\]"):
        resolve_config(compose_config(["inference.postprocessing=[{_target_: my_steps.WithoutSmallParts}]"]), FACTS)


def test_a_label_map_of_another_shape_is_refused() -> None:
    predictor = Predictor(
        Above(),
        Preprocessing(None, "mr", (0.0, 1.0)),
        Labels(("background", "ball")),
        Window((16, 16, 16), size_multiple=(1, 1, 1)),
        postprocessing=[lambda prediction: prediction.label[1:]],
    )
    with pytest.raises(UserError, match=r"inference.postprocessing\[0\].*\(15, 16, 16\).*\(16, 16, 16\)"):
        predictor.predict_volume([Volume(two_balls(), np.diag([*SPACING, 1.0]))])
