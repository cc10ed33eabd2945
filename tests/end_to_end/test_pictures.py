"""Pictures train, are predicted into pictures of their size, and those are scored."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from blank_pictures import blank_pictures
from pictures import disc, save_picture
from PIL import Image

from aunet.commands.main import main

SHAPE = (28, 40)  # rows, columns
SMALL = [
    "model=attention",
    "model.network.channels=[4,8,8]",
    "model.network.gated_levels=[1,2]",
    "trainer.max_epochs=2",
    "trainer.batches_per_epoch=14",
    "trainer.precision=float32",
    "optimizer.factory.lr=0.02",
    "logger=csv",
    "data.batch_size=4",
    "data.num_workers=0",
]


@pytest.fixture(scope="module")
def picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    for number in range(8):
        image, mask = disc(SHAPE, number)
        save_picture(root / "images" / f"disc_{number}.png", np.repeat(image[..., None], 3, axis=2))
        save_picture(root / "labels" / f"disc_{number}.tif", mask * np.uint8(255))
    return root


@pytest.fixture(scope="module")
def picture_run(picture_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    words = ["data=images", f"data.root={picture_folder}", "data.classes={disc: 255}"]
    cache = tmp_path_factory.mktemp("cache")
    with blank_pictures():
        assert main(["train", *SMALL, *words, f"data.cache={cache}", f"hydra.run.dir={folder}"]) == 0
    return folder


@pytest.mark.slow
def test_the_pictures_of_such_a_run_are_drawn(picture_folder: Path, tmp_path: Path) -> None:
    words = [
        "data=images",
        f"data.root={picture_folder}",
        "data.classes={disc: 255}",
        f"data.cache={tmp_path / 'cache'}",
    ]
    assert main(["train", *SMALL, *words, "trainer.batches_per_epoch=2", f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    drawn = [*(tmp_path / "run" / "attention").glob("film_*.png"), *(tmp_path / "run" / "test" / "pictures").iterdir()]
    assert len(drawn) >= 2
    for path in drawn:
        with Image.open(path) as picture:
            assert len(picture.convert("L").getcolors() or range(256)) > 1


def test_a_run_on_pictures_is_two_dimensional_and_leaves_pictures(picture_run: Path) -> None:
    scores = pd.read_csv(picture_run / "test" / "case_scores.csv")
    assert scores["dice"].notna().any()
    assert {path.suffix for path in (picture_run / "test" / "predictions").glob("disc*")} == {".png"}
    (film,) = (picture_run / "attention").glob("film_*.png")
    assert f"Attention over the epochs: {film.stem.removeprefix('film_')}" in (picture_run / "report.html").read_text()


def test_a_picture_is_predicted_into_a_picture_of_its_size_that_lies_as_it_does(
    picture_run: Path, picture_folder: Path, tmp_path: Path
) -> None:
    predictions, references = tmp_path / "predictions", tmp_path / "references"
    mirrored: list[float] = []
    assert main(["predict", str(picture_run), str(picture_folder / "images"), "--output", str(predictions)]) == 0
    for number in range(8):
        mask = disc(SHAPE, number)[1]
        save_picture(references / f"disc_{number}.png", mask)
        with Image.open(predictions / f"disc_{number}.png") as picture:
            assert picture.size == (SHAPE[1], SHAPE[0])
            label_map = np.asarray(picture)
            assert set(np.unique(label_map).tolist()) <= {0, 1}
            mirrored.append(max(overlap(np.flip(label_map, axes), mask) for axes in (0, 1, (0, 1))))
    words = [str(predictions), str(references), "--output", str(tmp_path / "scores"), "--classes", "disc=1"]
    assert main(["evaluate", *words]) == 0
    scores = pd.read_csv(tmp_path / "scores" / "case_scores.csv")
    assert scores["dice"].mean() > np.mean(mirrored) + 0.2


def overlap(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Return the Dice of two masks."""
    return 2 * float((prediction & reference).sum() / (prediction.sum() + reference.sum()))
