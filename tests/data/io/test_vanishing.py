"""Files that vanish between the look at their first bytes and their reading, as on a network share, are one message."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from dicom_scans import write_series
from pictures import save_picture
from scans import write_nifti

from aunet.data.io import volume
from aunet.data.io.format import Format
from aunet.data.io.formats import files_of, format_of
from aunet.errors import UserError
from tests.data.geometries import GEOMETRIES

VOXELS = np.zeros((6, 5, 4), np.int16)
SCANS: dict[str, Callable[[Path], object]] = {
    "scan.nii.gz": lambda path: write_nifti(path, VOXELS),
    "scan.nrrd": lambda path: SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VOXELS), str(path)),
    "scan.mha": lambda path: SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VOXELS), str(path)),
    "cell.png": lambda path: save_picture(path, VOXELS[:, :, 0].astype(np.uint8)),
    "series": lambda path: write_series(path, VOXELS, GEOMETRIES["rows from posterior to anterior"]),
}


@pytest.mark.parametrize("read", [volume.read_grid, volume.read_channels, volume.read_label])
@pytest.mark.parametrize("name", SCANS)
def test_a_file_that_vanishes_while_it_is_read_is_one_message(
    name: str, read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    SCANS[name](path)

    def look_and_remove(scan: Path) -> Format:
        found = format_of(scan)
        for file in files_of(scan):
            file.unlink()
        return found

    monkeypatch.setattr(volume, "format_of", look_and_remove)
    with pytest.raises(UserError, match=name):
        read(path)
