"""TensorBoard reads back what it was sent."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from aunet.tracking import TensorBoardTracker, TrackedRun


def test_scalars_pictures_and_tables_are_read_back(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    picture = tmp_path / "picture.png"
    Image.new("RGB", (9, 7), (255, 0, 0)).save(picture)
    tracker = TensorBoardTracker(TrackedRun(tmp_path, "run", settings={"seed": 0}))
    for epoch in range(3):
        tracker.picture("attention/level_1/a", picture, epoch)
        tracker.metrics({"val/dice": 0.25 * epoch}, epoch)
    tracker.table("test/scores", pd.DataFrame({"class": ["pancreas"], "dice": [0.5]}))
    tracker.finish()

    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert [(event.step, event.value) for event in read.Scalars("val/dice")] == [(0, 0.0), (1, 0.25), (2, 0.5)]
    images = read.Images("attention/level_1/a")
    assert [(image.step, image.width, image.height) for image in images] == [(0, 9, 7), (1, 9, 7), (2, 9, 7)]
    [text] = read.Tensors("test/scores/text_summary")
    assert "| pancreas | 0.5 |" in text.tensor_proto.string_val[0].decode()


def test_without_the_package_the_message_holds_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard.writer", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'aunet\[tensorboard\]'"):
        TensorBoardTracker(TrackedRun(tmp_path, "run"))
