"""The viewer's cases as text: bytes come back unchanged, places are those of the scan, the page stays small."""

import base64
import zlib
from math import prod
from pathlib import Path

import numpy as np
from viewer_runs import EPOCHS, SHAPE, write_viewed_run

from aunet.inference.coefficients import LevelCoefficients
from aunet.reporting.viewer.payload import encode_case
from aunet.reporting.viewer.section import fit_cases, viewer_section
from aunet.reporting.viewer.shown_case import Frame, ShownCase, read_shown_cases
from aunet.reporting.viewer.stored_scan import StoredScan


def unpack(blob: str) -> np.ndarray:
    return np.frombuffer(zlib.decompress(base64.b64decode(blob)), dtype=np.uint8)


def noisy_case(side: int, epochs: int = 1, **place: tuple[int, int, int]) -> ShownCase:
    """Return a case that does not compress, with one map of cells of 4 voxels."""
    random = np.random.default_rng(0)
    image = random.integers(0, 255, (side, side, side), dtype=np.uint8)
    whole = (1000, 1000, 1000) if place else (side, side, side)
    scan = StoredScan(image, np.zeros_like(image), None, (1.0, 1.0, 1.0), whole, **place)
    frames = [
        Frame(f"epoch {epoch}", [LevelCoefficients(3, random.random((1, side, side, side)), (4.0, 4.0, 4.0))])
        for epoch in range(epochs)
    ]
    return ShownCase("noise", scan, frames)


def test_volumes_and_maps_come_back_from_the_page(tmp_path: Path) -> None:
    case = read_shown_cases(write_viewed_run(tmp_path))[-1]
    payload = encode_case(case, "key", 10**6)
    assert np.array_equal(unpack(payload.blobs["key-image"]).reshape(SHAPE), case.scan.image)
    [found] = payload.description["maps"]
    cells = unpack(payload.blobs[found["blob"]]).reshape(len(EPOCHS), *found["shape"])
    values = cells / 255 * np.array(found["largest"])[:, None, None, None]
    assert np.allclose(values, [frame.levels[0].values[0] for frame in case.frames], atol=1e-6)


def test_cells_are_placed_in_the_voxels_that_are_shown() -> None:
    """The part begins at voxel 8 and merges 2 voxels: a cell of 4 is 2 wide, and the third begins with the part."""
    case = noisy_case(16, origin=(8, 8, 8), factors=(2, 2, 2))
    [found] = encode_case(case, "key", 10**6).description["maps"]
    assert found["cell"] == [2.0, 2.0, 2.0]
    assert found["offset"] == [0.0, 0.0, 0.0]
    assert found["shape"] == [8, 8, 8]


def test_epochs_are_thinned_evenly_and_the_page_says_so() -> None:
    """32 voxels are covered by 8 cells a side, 512 an epoch; twice 768 cells hold 3 epochs."""
    description = encode_case(noisy_case(32, epochs=9), "key", 768).description
    assert description["frames"] == ["epoch 0", "epoch 4", "epoch 8"]
    assert "Attention of 3 of the 9 recorded epochs." in description["note"]


def test_viewer_begins_at_an_organ(tmp_path: Path) -> None:
    case = read_shown_cases(write_viewed_run(tmp_path))[0]
    first, second, third = encode_case(case, "key", 10**6).description["start"]
    assert case.scan.reference[first, second, third] > 0


def test_cases_are_coarsened_until_they_fit_and_the_last_are_left_out_if_they_cannot() -> None:
    cases = [noisy_case(64) for _ in range(3)]
    fitting = fit_cases(cases, 600_000)
    assert len(fitting) == 3
    assert sum(payload.size for payload in fitting) <= 600_000
    assert prod(fitting[0].description["shape"]) < 64**3
    assert len(fit_cases(cases, 30_000)) < 3
    assert fit_cases(cases, 10) == []


def test_viewer_of_several_runs_names_them(tmp_path: Path) -> None:
    runs = {name: write_viewed_run(tmp_path / name) for name in ("unet", "attention")}
    section = viewer_section(runs, 10**7)
    assert section is not None
    titles = [case["title"].split(":")[0] for case in section.settings["cases"]]
    assert titles == ["unet"] * 4 + ["attention"] * 4


def test_runs_without_scans_have_no_viewer(tmp_path: Path) -> None:
    assert viewer_section({"run": write_viewed_run(tmp_path, with_scans=False)}, 10**7) is None
