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


@pytest.mark.parametrize("geometry", ["oblique", "rows from posterior to anterior", "sheared"])
def test_a_series_is_predicted_as_its_twin_in_nifti(finished_run: Path, tmp_path: Path, geometry: str) -> None:
    image = ball_and_box((20, 18, 16), 3)[0].round().astype(np.int16)
    series = write_series(tmp_path / "series 1.5", image, GEOMETRIES[geometry])
    twin = write_nifti(tmp_path / "twin.nii.gz", image, GEOMETRIES[geometry])
    out = tmp_path / "out"
    assert main(["predict", str(finished_run), str(series), str(twin), "--output", str(out)]) == 0
    of_series, of_twin = (nibabel.load(out / name) for name in ("series 1.5.nii.gz", "twin.nii.gz"))
    first, second = (nibabel.as_closest_canonical(label) for label in (of_series, of_twin))
    np.testing.assert_allclose(first.affine, second.affine, atol=1e-4)
    assert np.array_equal(np.asarray(first.dataobj), np.asarray(second.dataobj))
