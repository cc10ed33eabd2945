"""The window of data.window=auto: percentiles, mean and deviation of the labelled training voxels, by numpy."""

import logging
from pathlib import Path

import numpy as np
import pytest
from abdomens import abdomen, abdomens, write_abdomens
from scans import write_nifti

from aunet.build.data import build_cohort, fill_in_facts
from aunet.build.preprocessing import build_preprocessing, fill_in_intensities
from aunet.config.draft import Draft, compose_draft
from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.content_digest import ContentDigests
from aunet.data.cohort.splits import Splits
from aunet.data.io.volume import Volume, read_volume
from aunet.data.preprocessing.foreground_intensities import histogram, measure_foreground, percentile_of_counts
from aunet.data.preprocessing.intensity_scale import IntensityScale
from aunet.data.preprocessing.steps import Preprocessing
from aunet.data.sources.folder import folder_cohort
from aunet.errors import UserError

CLASSES = {"spleen": 1, "liver": 2, "kidney": [3, 4]}


def cohort_of(root: Path, **changes: object) -> Cohort:
    settings = {"images": "images", "labels": "labels", "modality": "ct", "classes": CLASSES} | changes
    return folder_cohort(str(root), **settings)  # pyright: ignore[reportArgumentType]


def measured(cases: tuple[Case, ...], cohort: Cohort, folder: Path, on_error: str = "stop") -> IntensityScale:
    [scale] = measure_foreground(cases, cohort, [0], ContentDigests(), folder, on_error)
    return scale


def foreground_of(cohort: Cohort, cases: tuple[Case, ...]) -> np.ndarray:
    assert all(case.label is not None for case in cases)
    pairs = [(read_volume(case.images[0]).array, read_volume(case.label).array) for case in cases if case.label]
    return np.concatenate([image[label > 0] for image, label in pairs]).astype(np.float64)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_abdomens(tmp_path_factory.mktemp("scans"), abdomens(5))


@pytest.mark.parametrize("share", [0.0, 0.5, 33.3, 50.0, 99.5, 100.0])
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_percentile_of_counts_is_numpys(size: int, share: float) -> None:
    values = np.random.default_rng(size).integers(-1024, 3000, size).astype(np.float32)
    assert percentile_of_counts(histogram(values), share) == pytest.approx(np.percentile(values, share), abs=1e-6)


def test_values_beyond_any_scanner_are_counted_at_the_ends() -> None:
    counts = histogram(np.array([-1e9, 1e9, 0.0], np.float32))
    assert counts.sum() == 3
    assert [percentile_of_counts(counts, share) for share in (0, 100)] == [-(2**15), 2**15]


def test_the_numbers_are_those_of_numpy_over_the_labelled_voxels(scans: Path, tmp_path: Path) -> None:
    cohort = cohort_of(scans)
    scale, values = measured(cohort.cases, cohort, tmp_path), foreground_of(cohort, cohort.cases)
    assert scale.window == pytest.approx(np.percentile(values, [0.5, 99.5]), abs=1e-3)
    assert (scale.mean, scale.sd) == pytest.approx((values.mean(), values.std()), abs=1e-3)


def test_fractions_of_a_hounsfield_unit_move_the_numbers_by_less_than_a_sixteenth(tmp_path: Path) -> None:
    case = abdomen(0)
    case.image = (case.image + np.random.default_rng(1).normal(0, 5, case.image.shape)).astype(np.float32)
    cohort = cohort_of(write_abdomens(tmp_path, {"case": case}))
    values = case.image[case.label > 0]
    scale = measured(cohort.cases, cohort, tmp_path / "counts")
    expected = (*np.percentile(values, [0.5, 99.5]), values.mean(dtype=np.float64), values.std(dtype=np.float64))
    assert (*scale.window, scale.mean, scale.sd) == pytest.approx(expected, abs=1 / 16)


def test_neither_the_order_of_the_cases_nor_what_was_counted_before_changes_them(scans: Path, tmp_path: Path) -> None:
    cohort = cohort_of(scans)
    first = measured(cohort.cases, cohort, tmp_path / "one")
    assert measured(cohort.cases[::-1], cohort, tmp_path / "two") == first
    files = sorted((tmp_path / "one").iterdir())
    before = {file.name: file.stat().st_mtime_ns for file in files}
    files[0].write_bytes(b"torn")
    assert measured(cohort.cases, cohort, tmp_path / "one") == first
    after = {file.name: file.stat().st_mtime_ns for file in sorted((tmp_path / "one").iterdir())}
    assert {name for name in before if before[name] != after[name]} == {files[0].name}


def test_other_classes_are_other_numbers(scans: Path, tmp_path: Path) -> None:
    liver = cohort_of(scans, classes={"liver": 2}, other_labels="background")
    everything = cohort_of(scans)
    assert measured(liver.cases, liver, tmp_path).mean == pytest.approx(100, abs=1)
    assert measured(everything.cases, everything, tmp_path).mean > 105


def test_each_ct_channel_has_numbers_of_its_own(tmp_path: Path) -> None:
    case = abdomen(0)
    for name, image in (("ct_low", case.image), ("pet", np.abs(case.image)), ("ct_high", 2 * case.image)):
        write_nifti(tmp_path / "images" / f"a_{name}.nii.gz", image, case.affine)
    write_nifti(tmp_path / "labels" / "a.nii.gz", case.label, case.affine)
    patterns = [f"images/*_{name}" for name in ("ct_low", "pet", "ct_high")]
    cohort = cohort_of(tmp_path, images=patterns, modality=["ct", "pet", "ct"])
    low, high = measure_foreground(cohort.cases, cohort, [0, 2], ContentDigests(), tmp_path / "counts")
    assert high.mean == pytest.approx(2 * low.mean, abs=0.01)
    assert high.sd == pytest.approx(2 * low.sd, abs=0.01)


def test_without_a_labelled_voxel_there_is_no_window(tmp_path: Path) -> None:
    case = abdomen(0)
    case.label[:] = 0
    cohort = cohort_of(write_abdomens(tmp_path, {"case": case}))
    with pytest.raises(UserError, match=r"data\.window=auto: no voxel of any class in the 1 training cases"):
        measured(cohort.cases, cohort, tmp_path / "counts")


def test_a_foreground_of_one_value_has_no_window(tmp_path: Path) -> None:
    case = abdomen(0)
    case.image[case.label > 0] = 60
    cohort = cohort_of(write_abdomens(tmp_path, {"case": case}))
    with pytest.raises(UserError, match=r"data\.window=auto: .* are 60 HU"):
        measured(cohort.cases, cohort, tmp_path / "counts")


def test_a_case_that_cannot_be_read_stops_or_is_left_out(tmp_path: Path) -> None:
    cohort = cohort_of(write_abdomens(tmp_path, abdomens(3)))
    cohort.cases[1].images[0].write_bytes(b"torn")
    with pytest.raises(UserError, match=r"case_1"):
        measured(cohort.cases, cohort, tmp_path / "one")
    left = (cohort.cases[0], cohort.cases[2])
    assert measured(cohort.cases, cohort, tmp_path / "two", "skip") == measured(left, cohort, tmp_path / "three")


def test_the_field_of_view_does_not_shift_the_intensities_of_an_organ() -> None:
    """The same abdomen, once with more air around it: its liver is 1.89 apart by each volume's own mean."""
    case = abdomen(3)
    wide = Volume(np.pad(case.image, 10, constant_values=-1000.0), case.affine)
    narrow, liver = Volume(case.image, case.affine), case.label == 2
    apart: dict[str, float] = {}
    for name, preprocessing in (
        ("each volume", Preprocessing(None, "ct", (-160.0, 240.0))),
        ("foreground", Preprocessing(None, "ct", None, scales=(IntensityScale((80.0, 190.0), 115.0, 25.0),))),
    ):
        shown = preprocessing.image([narrow]).array[0], preprocessing.image([wide]).array[0][10:-10, 10:-10, 10:-10]
        apart[name] = abs(float(shown[1][liver].mean() - shown[0][liver].mean()))
    assert apart["each volume"] == pytest.approx(1.89, abs=0.01)
    assert apart["foreground"] == 0.0


def test_every_volume_is_clipped_to_the_window_and_standardised_by_the_foreground() -> None:
    image = np.array([-1000, 80, 100, 190, 3000, 40], np.float32).reshape(1, 2, 3)
    scale = IntensityScale((80.0, 190.0), 115.0, 25.0)
    prepared = Preprocessing(None, "ct", None, scales=(scale,)).image([Volume(image, np.eye(4))]).array[0]
    assert np.allclose(prepared, (np.clip(image, 80, 190) - 115) / 25, atol=1e-6)


def test_the_key_of_a_stored_case_holds_the_numbers() -> None:
    scales = [(), (IntensityScale((80.0, 190.0), 115.0, 25.0),), (IntensityScale((80.0, 190.0), 115.0, 26.0),)]
    keys = {str(Preprocessing(None, "ct", None, scales=scale).settings()) for scale in scales}
    assert len(keys) == 3


@pytest.mark.parametrize("fold", [0, 1])
def test_only_training_cases_of_the_fold_are_measured(scans: Path, tmp_path: Path, fold: int) -> None:
    words = ["data=folder", f"data.root={scans}", f"data.cache={tmp_path}", "data.patch_size=[16,16,16]"]
    draft = compose_draft([*words, "data.classes={spleen: 1, liver: 2, kidney: [3, 4]}"])
    cohort = build_cohort(draft.data)
    names = [case.case_id for case in cohort.cases]
    splits = Splits(tuple(names[fold : fold + 3]), (names[3 + fold],), (names[4 - 4 * fold],))
    settings = fill_in_intensities(fill_in_facts(draft, cohort), cohort, splits)
    values = foreground_of(cohort, cohort.cases[fold : fold + 3])
    [scale] = settings.dataset.intensities
    assert scale["window"] == pytest.approx(np.percentile(values, [0.5, 99.5]), abs=1e-3)
    assert (scale["mean"], scale["sd"]) == pytest.approx((values.mean(), values.std()), abs=1e-3)
    assert build_preprocessing(settings.data, settings.dataset).scales == (IntensityScale.of_facts(scale),)


def test_a_window_that_is_given_or_null_is_not_measured(scans: Path, tmp_path: Path) -> None:
    for window, expected in (("[-100,200]", (-100.0, 200.0)), ("null", None)):
        words = ["data=folder", f"data.root={scans}", f"data.cache={tmp_path}", f"data.window={window}"]
        draft = compose_draft([*words, "data.classes={spleen: 1, liver: 2, kidney: [3, 4]}"])
        cohort = build_cohort(draft.data)
        names = tuple(case.case_id for case in cohort.cases)
        settings = fill_in_intensities(fill_in_facts(draft, cohort), cohort, Splits(names[:3], names[3:4], names[4:]))
        assert settings.dataset.intensities is None
        assert build_preprocessing(settings.data, settings.dataset).window == expected
        assert not (tmp_path / "intensities").exists()


def _fill_in(draft: Draft) -> None:
    fill_in_facts(draft, build_cohort(draft.data))


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ("wide", "must be auto, null, or"),
        ("[auto,1]", "must be auto, null, or"),
        ("[1,2,3]", "must hold 2 numbers"),
        ("[5,5]", "must be below"),
        ("true", "must be auto, null, or"),
    ],
)
def test_a_window_that_is_none_is_refused(window: str, message: str, scans: Path) -> None:
    words = ["data=folder", f"data.root={scans}", f"data.window={window}", "data.classes={a: 1}"]
    with pytest.raises(UserError, match=rf"data\.window=.*{message}"):
        _fill_in(compose_draft(words))


def test_measuring_is_logged(scans: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = ["data=folder", f"data.root={scans}", f"data.cache={tmp_path}", "data.other_labels=background"]
    draft = compose_draft([*words, "data.classes={liver: 2}"])
    cohort = build_cohort(draft.data)
    names = tuple(case.case_id for case in cohort.cases)
    with caplog.at_level(logging.INFO, "aunet"):
        fill_in_intensities(fill_in_facts(draft, cohort), cohort, Splits(names[:3], names[3:4], names[4:]))
    assert "mean 100" in caplog.text
    assert "labelled voxels of 3 training cases" in caplog.text
