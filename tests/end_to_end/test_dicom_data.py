"""DICOM through the whole of it: NIH Pancreas-CT trained on, and a series predicted as its twin in NIfTI."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_scans import write_series
from pancreas_scans import write_pancreas_ct
from scans import ball_and_box, write_nifti

from aunet.commands.main import main
from tests.data.geometries import GEOMETRIES


@pytest.mark.usefixtures("without_pictures")
def test_pancreas_ct_trains_an_epoch_from_its_dicom(tmp_path: Path) -> None:
    root = write_pancreas_ct(tmp_path / "NIH Pancreas-CT", [1, 2, 24, 26], flips={2: (1,), 26: (1, 2)})
    run = tmp_path / "run"
    words = ["model=unet", "data=ct82", f"data.root={root}", f"data.cache={tmp_path / 'cache'}", "logger=csv"]
    small = ["data.patch_size=[16,16,16]", "model.network.channels=[4,8,8]", "trainer.precision=float32"]
    length = ["trainer=smoke", "trainer.max_epochs=1", "trainer.batches_per_epoch=2", "data.split.test=0.25"]
    assert main(["train", *words, *small, *length, f"hydra.run.dir={run}"]) == 0
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished"
    [prediction] = (run / "test" / "predictions").glob("*.nii.gz")
    assert prediction.name.startswith("PANCREAS_")


TILTED = ["oblique", "rows from posterior to anterior", "sheared"]


@pytest.fixture(scope="module")
def predictions(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Predictions of a series and its twin for each of ``TILTED``, by one command."""
    folder = tmp_path_factory.mktemp("tilted")
    image = ball_and_box((20, 18, 16), 3)[0].round().astype(np.int16)
    scans: list[Path] = []
    for number, geometry in enumerate(TILTED):
        scans.append(write_series(folder / f"series {number}.5", image, GEOMETRIES[geometry]))
        scans.append(write_nifti(folder / f"twin {number}.nii.gz", image, GEOMETRIES[geometry]))
    assert main(["predict", str(finished_run), *map(str, scans), "--output", str(folder / "out")]) == 0
    return folder / "out"


@pytest.mark.parametrize("geometry", TILTED)
def test_a_series_is_predicted_as_its_twin_in_nifti(predictions: Path, geometry: str) -> None:
    number = TILTED.index(geometry)
    of_series, of_twin = (
        nibabel.load(predictions / f"{name}.nii.gz") for name in (f"series {number}.5", f"twin {number}")
    )
    first, second = (nibabel.as_closest_canonical(label) for label in (of_series, of_twin))
    np.testing.assert_allclose(first.affine, second.affine, atol=1e-4)
    assert np.array_equal(np.asarray(first.dataobj), np.asarray(second.dataobj))
