"""Label maps of other cases keep the organ's size and lose its place."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from aunet.build.data import build_cohort, build_splits
from aunet.config.draft import compose_draft
from aunet.config.trust import SOURCE_ALONE
from aunet.data.io.volume import Volume
from experiments.permuted_labels import place_at_random, words_of, write_permuted

SIDE = 24


def sphere(radius: float, centre: tuple[float, ...], spacing: tuple[float, float, float]) -> Volume:
    """Return a ball of class 1 whose upper half is class 2, on a grid of (24, 24, 24) voxels."""
    affine = np.diag([*spacing, 1.0])
    offsets = (np.indices((SIDE, SIDE, SIDE)).T - centre).T * np.array(spacing)[:, None, None, None]
    inside = np.linalg.norm(offsets, axis=0) <= radius
    return Volume(np.where(inside, 1 + (offsets[2] > 0), 0).astype(np.uint8), affine)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 1.5, 2.0)])
def test_a_turned_organ_keeps_its_volume_on_a_grid_of_other_voxels(spacing: tuple[float, float, float]) -> None:
    ball = sphere(6, (12, 12, 12), (1, 1, 1))
    random, affine = np.random.default_rng(1), np.diag([*spacing, 1.0])

    placed = [place_at_random(ball, (200, 80, 60), affine, random) for _ in range(3)]

    for label in placed:  # a ball inside the image whatever its turn; half of it at the edge
        volume = np.count_nonzero(label) * np.prod(spacing)
        assert 0.5 * 4 / 3 * np.pi * 6**3 < volume < 1.1 * 4 / 3 * np.pi * 6**3
        assert set(np.unique(label)) == {0, 1, 2}
    centres = [np.argwhere(label > 0).mean(axis=0) for label in placed]
    assert np.linalg.norm(centres[0] - centres[1]) > 5
    halves = [np.argwhere(label == 2).mean(axis=0) - np.argwhere(label == 1).mean(axis=0) for label in placed]
    directions = [half * spacing / np.linalg.norm(half * spacing) for half in halves]
    assert abs(directions[0] @ directions[1]) < 0.95


def test_the_table_keeps_images_patients_and_splits_and_no_case_keeps_its_label(tmp_path: Path) -> None:
    for kind in ("images", "labels"):
        (tmp_path / "own" / kind).mkdir(parents=True)
    for number in range(6):
        ball = sphere(3 + number / 2, (12, 12, 12), (1, 1, 1))
        noise = np.random.default_rng(number).normal(0, 1, ball.shape).astype(np.float32)
        for kind, array in (("images", noise), ("labels", ball.array)):
            nib.save(nib.Nifti1Image(array, ball.affine), tmp_path / "own" / kind / f"case_{number}.nii.gz")
    words = ["data=folder", f"data.root={tmp_path}/own", "data.modality=mr", "data.classes={lower: 1, upper: 2}"]
    data = compose_draft(words, SOURCE_ALONE).data
    cohort = build_cohort(data)

    table = write_permuted(cohort, tmp_path / "permuted", seed=0)

    printed = words_of(cohort, table).replace("'", "").split(" data.")
    permuted_data = compose_draft([printed[0], *(f"data.{word}" for word in printed[1:])], SOURCE_ALONE).data
    permuted = build_cohort(permuted_data)
    assert [case.images for case in permuted.cases] == [case.images for case in cohort.cases]
    assert build_splits(permuted_data, permuted) == build_splits(data, cohort)
    for before, after in zip(cohort.cases, permuted.cases, strict=True):
        assert before.label is not None
        assert after.label is not None
        own, other = (np.asarray(nib.load(path).dataobj) > 0 for path in (before.label, after.label))
        assert np.count_nonzero(own & other) < 0.9 * np.count_nonzero(own)
