"""Names and identifiers in DICOM headers reach no file that a command writes and no line that it prints."""

import gzip
import io
import logging
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dicom_scans import write_series
from PIL import Image
from pydicom import Dataset
from scans import ball_and_box, write_nifti

from aunet.commands.main import main
from tests.data.geometries import GEOMETRIES

AXIAL = GEOMETRIES["rows from posterior to anterior"]
# Keyword of DICOM -> a text that is found nowhere else.
PLANTED = {
    "PatientName": "PLANTEDNAME^Jane",
    "PatientID": "PLANTEDID77",
    "OtherPatientIDs": "PLANTEDOTHER",
    "PatientBirthDate": "19021231",
    "PatientAddress": "PLANTEDSTREET 4",
    "InstitutionName": "PLANTEDHOSPITAL",
    "InstitutionalDepartmentName": "PLANTEDWARD",
    "ReferringPhysicianName": "PLANTEDDOCTOR",
    "OperatorsName": "PLANTEDOPERATOR",
    "AccessionNumber": "PLANTEDACC9",
    "StudyID": "PLANTEDSTUDY",
    "StudyDescription": "PLANTEDREASON",
    "SeriesDescription": "PLANTEDSERIES",
    "PatientComments": "PLANTEDCOMMENT",
    "DeviceSerialNumber": "PLANTEDDEVICE",
    "StudyDate": "19990704",
}
PRIVATE = "PLANTEDPRIVATE"
MARKS = [*(text.split("^")[0].encode() for text in PLANTED.values()), PRIVATE.encode()]


def plant(header: Dataset, index: int) -> None:
    for keyword, text in PLANTED.items():
        setattr(header, keyword, text)
    block = header.private_block(0x0011, "PLANTEDVENDOR", create=True)
    block.add_new(0x01, "LO", PRIVATE)


def write_scans(root: Path, num_cases: int = 4) -> Path:
    """Write a table of DICOM series with label maps, and return it."""
    lines = ["case_id,image,label"]
    for number in range(num_cases):
        image, label = ball_and_box((20, 18, 16), number)
        write_series(root / f"scan_{number}", (image - 100).astype(np.int16), AXIAL, edit=plant)
        write_nifti(root / "labels" / f"scan_{number}.nii.gz", label, AXIAL)
        lines.append(f"case_{number},scan_{number},labels/scan_{number}.nii.gz")
    table = root / "cases.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def contents(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, and those of what is compressed in it."""
    content = path.read_bytes()
    yield content
    if content.startswith(b"\x1f\x8b"):
        yield gzip.decompress(content)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    if content.startswith(b"\x89PNG"):
        with Image.open(io.BytesIO(content)) as picture:
            yield repr(picture.info).encode()
    for start in (at for at in range(len(content) - 1) if content[at : at + 2] in (b"\x78\x9c", b"\x78\x01")):
        try:  # streams inside other files, such as a tracker's
            yield zlib.decompressobj().decompress(content[start:], 2**20)
        except zlib.error:
            continue


def leaks(folder: Path) -> list[tuple[str, bytes]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert len(files) > 20, "the commands wrote nothing to search"
    return [
        (str(path.relative_to(folder)), mark)
        for path in files
        for content in contents(path)
        for mark in MARKS
        if mark in content
    ]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_identifiers_in_dicom_headers_reach_no_output(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    table, out = write_scans(tmp_path / "scans"), tmp_path / "out"
    out.mkdir()
    monkeypatch.chdir(out)
    assert leaks_in_sources(table.parent), "nothing was planted"
    data = ["data=folder", f"data.root={table}", "data.modality=ct", "data.classes={ball: 1, box: 2}"]
    data += [f"data.cache={out / 'cache'}", "data.patch_size=[16,16,16]", "data.batch_size=2"]
    small = ["model.network.channels=[4,8,8]", "trainer.max_epochs=1", "trainer.batches_per_epoch=1"]
    small += ["data.split.test=1", "data.split.val=1", "logger=[csv,tensorboard,wandb]", "trainer.accelerator=cpu"]
    assert main(["doctor", *data, "--json", "--output", str(out / "doctor")]) in (0, 2)
    assert main(["prepare", *data, "model=attention"]) == 0
    run = out / "run"
    assert main(["train", *data, *small, "model=attention", f"hydra.run.dir={run}"]) == 0
    assert main(["predict", str(run), str(table.parent / "scan_0"), "--output", str(out / "predicted")]) == 0
    assert main(["evaluate", str(out / "predicted"), str(out / "predicted"), "--output", str(out / "scores")]) == 0
    assert main(["runs", str(out), "--json"]) == 0
    assert leaks(out) == []
    printed = "".join(capfd.readouterr()) + caplog.text
    assert [mark for mark in MARKS if mark.decode() in printed] == []


def leaks_in_sources(folder: Path) -> bool:
    return all(any(mark in path.read_bytes() for path in folder.rglob("*.dcm")) for mark in MARKS)
