"""A trained run is loaded with its own settings of the prediction, or with others."""

from pathlib import Path

import numpy as np
import pytest
import torch

import aunet
from aunet.build.model import build_network
from aunet.config.composition import compose_config, resolve_config
from aunet.config.draft import write_run_config
from aunet.errors import UserError
from aunet.inference.window_layout import Window
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
    own = aunet.load_run(run, "cpu").window
    assert own == Window((16, 16, 16), 0.5, (4, 4, 4), 1, 500_000)
    other = aunet.load_run(run, "cpu", inference={"overlap": 0.25, "window_batch": 4, "one_pass_voxels": 0}).window
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
    ],
)
def test_a_setting_of_the_prediction_obeys_the_schema(run: Path, inference: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        aunet.load_run(run, "cpu", inference=inference)
