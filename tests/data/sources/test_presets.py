"""Each public cohort, generated in its distributed layout, yields the paper's classes through its preset."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scans import write_nifti, write_totalsegmentator_cases

from aunet.build.data import build_cohort
from aunet.config.draft import compose_draft
from aunet.data.cohort.case import Cohort
from aunet.data.cohort.references import read_reference
from aunet.errors import UserError

PAPER = ("background", "pancreas", "spleen", "kidney")
AMOS = (
    "background/spleen/right kidney/left kidney/gall bladder/esophagus/liver/stomach/arota/postcava/pancreas/"
    "right adrenal gland/left adrenal gland/duodenum/bladder/prostate"
)


def write_pair(image: Path, label: Path, num_values: int) -> None:
    """Return a label of slabs, value after value, and an image of as many HU."""
    slabs = np.repeat(np.arange(num_values, dtype=np.uint8), 2)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    write_nifti(image, slabs.astype(np.int16))
    write_nifti(label, slabs)


def write_msd(root: Path, names: list[str], case_ids: list[str]) -> None:
    entries: list[dict[str, str]] = []
    for case_id in case_ids:
        entry = {"image": f"./imagesTr/{case_id}.nii.gz", "label": f"./labelsTr/{case_id}.nii.gz"}
        write_pair(root / entry["image"], root / entry["label"], len(names))
        entries.append(entry)
    labels = {str(value): name for value, name in enumerate(names)}
    content = {"name": root.name, "modality": {"0": "CT"}, "labels": labels, "training": entries}
    (root / "dataset.json").write_text(json.dumps(content))


def write_amos(root: Path) -> None:
    write_msd(root, AMOS.split("/"), ["amos_0001", "amos_0499", "amos_0507"])


def write_btcv(root: Path) -> None:
    for number in ("0001", "0040"):
        write_pair(root / "img" / f"img{number}.nii.gz", root / "label" / f"label{number}.nii.gz", 14)


def write_flare(root: Path) -> None:
    for name in ("FLARE22_Tr_0001", "FLARE22_Tr_0050"):
        write_pair(root / "images" / f"{name}_0000.nii.gz", root / "labels" / f"{name}.nii.gz", 14)


def write_msd_pancreas(root: Path) -> None:
    write_msd(root, ["background", "pancreas", "cancer"], ["pancreas_001"])


def write_msd_spleen(root: Path) -> None:
    write_msd(root, ["background", "spleen"], ["spleen_2"])


def cohort_of(preset: str, root: Path) -> Cohort:
    return build_cohort(compose_draft([f"data={preset}", f"data.root={root}"]).data)


@pytest.mark.parametrize(
    ("preset", "write", "case_ids", "values"),
    [
        ("amos22", write_amos, ["amos_0001", "amos_0499"], {1: [10], 2: [1], 3: [2, 3]}),
        ("btcv", write_btcv, ["0001", "0040"], {1: [11], 2: [1], 3: [2, 3]}),
        ("flare22", write_flare, ["FLARE22_Tr_0001", "FLARE22_Tr_0050"], {1: [4], 2: [3], 3: [2, 13]}),
        ("msd_pancreas", write_msd_pancreas, ["pancreas_001"], {1: [1, 2]}),
        ("msd_spleen", write_msd_spleen, ["spleen_2"], {2: [1]}),
    ],
)
def test_a_preset_maps_the_values_of_its_cohort(
    tmp_path: Path, preset: str, write: Callable[[Path], None], case_ids: list[str], values: dict[int, list[int]]
) -> None:
    write(tmp_path)
    cohort = cohort_of(preset, tmp_path)
    assert (cohort.labels.names, cohort.modality) == (PAPER, "ct")
    assert [case.case_id for case in cohort.cases] == case_ids
    slabs = read_reference(cohort.cases[0], cohort).array[::2, 0, 0]
    assert {k: np.flatnonzero(slabs == k).tolist() for k in (1, 2, 3) if (slabs == k).any()} == values
    assert [k for k in range(4) if cohort.cases[0].annotates(k)] == [0, *values]


def test_totalsegmentators_preset_reads_its_masks(tmp_path: Path) -> None:
    cohort = cohort_of("totalsegmentator", write_totalsegmentator_cases(tmp_path))
    assert cohort.labels.names == PAPER
    assert set(np.unique(read_reference(cohort.cases[0], cohort).array)) == {0, 1, 2, 3}


def test_a_value_that_the_cohort_does_not_know_is_refused(tmp_path: Path) -> None:
    write_amos(tmp_path)
    label = tmp_path / "labelsTr" / "amos_0001.nii.gz"
    write_nifti(label, np.full((32, 4, 4), 255, np.uint8))
    cohort = cohort_of("amos22", tmp_path)
    with pytest.raises(UserError, match=r"amos_0001.nii.gz: case amos_0001 has label values 255"):
        read_reference(cohort.cases[0], cohort)


def test_cases_that_a_pattern_excludes_are_counted(tmp_path: Path) -> None:
    write_amos(tmp_path)
    assert cohort_of("amos22", tmp_path).description.endswith("1 of them left out")


def test_a_pattern_that_no_case_fits_is_refused(tmp_path: Path) -> None:
    write_amos(tmp_path)
    with pytest.raises(UserError, match=r"data\.cases=x\*: none of the 3 cases .*amos_0001"):
        build_cohort(compose_draft(["data=amos22", f"data.root={tmp_path}", "data.cases=x*"]).data)
