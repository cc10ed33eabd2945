"""CT, MR or PET, decided by the user, names, DICOM headers or voxels, and refused if nothing decides it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from abdomens import abdomen, abdomens, write_abdomens
from dicom_scans import write_series
from scans import write_msd_task, write_nifti, write_nnunet_dataset, write_table, write_totalsegmentator_cases

from aunet.build.data import build_cohort, fill_in_facts
from aunet.build.preprocessing import build_preprocessing, fill_in_intensities
from aunet.build.store import build_store
from aunet.commands.main import main
from aunet.config.draft import compose_draft
from aunet.config.schema import DatasetFacts
from aunet.data.cohort.case import Cohort
from aunet.data.cohort.modality_names import modalities_of_names
from aunet.data.cohort.splits import Splits
from aunet.data.io.volume import Volume, read_volume
from aunet.data.preprocessing.modality_evidence import check_modalities, decide_modalities
from aunet.data.preprocessing.steps import Preprocessing
from aunet.data.sources.msd import msd_cohort
from aunet.data.sources.nnunet import nnunet_cohort
from aunet.data.sources.totalsegmentator import totalsegmentator_cohort
from aunet.errors import UserError
from tests.data.geometries import GEOMETRIES


def write_mr_folder(root: Path, num_cases: int = 4, scale: float = 1.0) -> Path:
    """``images`` and ``labels`` of bright balls as in an MR: zeros outside, numbers up to about 1500 inside."""
    for number in range(num_cases):
        draw = np.random.default_rng(number)
        image = draw.normal(700, 150, (16, 14, 12)).clip(0) * scale
        image[:2] = 0
        label = np.zeros(image.shape, np.uint8)
        label[6:9, 5:8, 4 : 8 - number % 3] = 1
        label[6, 5, number % 12] = 1
        write_nifti(root / "images" / f"case_{number}.nii.gz", image.astype(np.float32))
        write_nifti(root / "labels" / f"case_{number}.nii.gz", label)
    return root


def cohort_of(words: list[str]) -> Cohort:
    draft = compose_draft(words)
    return build_cohort(draft.data)


def facts_of(words: list[str]) -> DatasetFacts:
    draft = compose_draft(words)
    return fill_in_facts(draft, build_cohort(draft.data)).dataset


def folder_words(root: Path, *more: str) -> list[str]:
    return ["data=folder", f"data.root={root}", "data.classes={ball: 1}", "data.patch_size=[16,16,16]", *more]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["CT"], ("ct",)),
        (["ct "], ("ct",)),
        (["CT_venous", "CT-arterial"], ("ct", "ct")),
        (["CT", "PET"], ("ct", "pet")),
        (["MRI", "CT"], ("mr", "ct")),
        (["low-dose CT", "FDG", "SUV"], ("ct", "pet", "pet")),
        (["FLAIR", "T1w", "t1gd", "T2w"], ("mr",) * 4),
        (["T2", "ADC"], ("mr", "mr")),
        (["cine-MRI", "t1c", "zscore"], ("mr",) * 3),
        (["CT1", "PET/CT", "image", "0", "contrast", "noNorm"], (None,) * 6),
    ],
)
def test_a_channel_is_what_its_name_says_whatever_the_others_are(
    names: list[str], expected: tuple[str | None, ...]
) -> None:
    assert modalities_of_names(names) == expected


def test_ct_beside_pet_and_mr_keeps_its_own_modality_in_both_json_formats(tmp_path: Path) -> None:
    root = write_nnunet_dataset(tmp_path / "nnunet", num_channels=3)
    content = json.loads((root / "dataset.json").read_text())
    content["channel_names"] = {"0": "CT", "1": "PET", "2": "T1"}
    (root / "dataset.json").write_text(json.dumps(content))
    assert nnunet_cohort(str(root)).channel_modalities == ("ct", "pet", "mr")

    root = write_msd_task(tmp_path / "msd")
    content = json.loads((root / "dataset.json").read_text())
    content["modality"] = {str(number): "CT" if number == 10 else "T1" for number in range(11)}
    (root / "dataset.json").write_text(json.dumps(content))
    assert msd_cohort(str(root)).channel_modalities == ("mr",) * 10 + ("ct",)


def test_every_channel_is_normalised_by_its_own_rule() -> None:
    draw = np.random.default_rng(0)
    ct, mr, pet = draw.normal(0, 400, (3, 6, 6, 6)).astype(np.float32)
    mr[:2], pet[:2] = 0, -0.5
    pet[2:] = np.abs(pet[2:])
    volumes = [Volume(array.copy(), np.eye(4)) for array in (ct, mr, pet)]
    prepared = Preprocessing(None, ("ct", "mr", "pet"), (-160.0, 240.0)).image(volumes).array
    clipped, nonzero, positive = np.clip(ct, -160, 240).astype(float), mr[2:].astype(float), pet[pet > 0].astype(float)
    assert np.allclose(prepared[0], (clipped - clipped.mean()) / clipped.std(), atol=1e-4)
    assert np.allclose(prepared[1], (mr - nonzero.mean()) / nonzero.std(), atol=1e-4)
    assert np.allclose(prepared[2], (pet - positive.mean()) / positive.std(), atol=1e-4)


def test_a_folder_of_ct_with_air_and_tissue_is_ct(tmp_path: Path) -> None:
    facts = facts_of(folder_words(write_abdomens(tmp_path, abdomens(2)), "data.other_labels=background"))
    assert (facts.modality, facts.modalities) == ("ct", ["ct"])


def test_a_folder_of_mr_is_refused_until_its_modality_is_given(tmp_path: Path) -> None:
    root = write_mr_folder(tmp_path)
    with pytest.raises(UserError, match=r"data\.modality is not set, and nothing in .*Set data\.modality=ct or mr"):
        facts_of(folder_words(root))
    assert facts_of(folder_words(root, "data.modality=mr")).modalities == ["mr"]
    assert facts_of(folder_words(root, "data.source.modality=mr")).modalities == ["mr"]


def test_the_refusal_is_one_message_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_mr_folder(tmp_path / "scans")
    assert main(["train", *folder_words(root), f"hydra.run.dir={tmp_path}/run"]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("aunet: data.modality is not set")
    assert "Traceback" not in errors
    assert not (tmp_path / "run").exists()


def test_names_that_all_files_of_a_channel_share_say_its_modality(tmp_path: Path) -> None:
    facts = facts_of(["data=folder", f"data.root={write_table(tmp_path)}", "data.classes={ball: 1, box: 2}"])
    assert facts.modalities == ["mr", "mr"]  # t1.nii.gz and t2.nii.gz in every folder


@pytest.mark.parametrize(("tag", "expected"), [("CT", "ct"), ("MR", "mr"), ("PT", "pet")])
def test_dicom_headers_say_the_modality(tmp_path: Path, tag: str, expected: str) -> None:
    affine = GEOMETRIES["rows from posterior to anterior"]
    lines = ["case_id,image,label"]
    for number in range(2):
        array = np.random.default_rng(number).integers(0, 200, (12, 10, 6)).astype(np.int16)
        write_series(tmp_path / f"p{number}", array, affine, names="{}.dcm".format, Modality=tag)
        write_nifti(tmp_path / f"label{number}.nii.gz", (array > 190).astype(np.uint8), affine)
        lines.append(f"p{number},p{number},label{number}.nii.gz")
    (tmp_path / "cases.csv").write_text("\n".join(lines))
    assert facts_of(folder_words(tmp_path / "cases.csv")).modality == expected


def test_evidence_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    for case_id, case in abdomens(2).items():
        write_nifti(tmp_path / "images" / f"{case_id}_T1.nii.gz", case.image, case.affine)
        write_nifti(tmp_path / "labels" / f"{case_id}_T1.nii.gz", case.label, case.affine)
    with pytest.raises(UserError, match=r"contradict each other: they look like ct and mr"):
        facts_of(folder_words(tmp_path, "data.other_labels=background"))


def test_an_even_spread_of_numbers_is_not_taken_for_ct(tmp_path: Path) -> None:
    """A phase map of MR reaches from -4096 to 4095 and has as many voxels near -1000 as near 0."""
    image = np.random.default_rng(0).integers(-4096, 4096, (20, 20, 20)).astype(np.int16)
    write_nifti(tmp_path / "images" / "a.nii.gz", image)
    write_nifti(tmp_path / "labels" / "a.nii.gz", (image > 4000).astype(np.uint8))
    with pytest.raises(UserError, match=r"data\.modality is not set"):
        facts_of(folder_words(tmp_path))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("xray", r"data\.modality=xray: it must be one of ct, mr, pet, picture"),
        ("[ct,xray]", r"data\.modality=\['ct', 'xray'\]: it must be one of"),
        ("[ct,mr]", r"data\.modality=\['ct', 'mr'\]: it lists 2 modalities, but .* has 1 channels"),
    ],
)
def test_a_modality_that_cannot_be_is_refused(tmp_path: Path, given: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        cohort_of(folder_words(write_mr_folder(tmp_path), f"data.modality={given}"))


def test_the_users_modality_overrides_the_datasets_and_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_msd_task(tmp_path)
    facts = facts_of(["data=msd", f"data.root={root}", "data.modality=pet"])
    assert facts.modality == "pet"
    assert "channel 0 is pet, although the dataset calls it mr" in caplog.text


def test_totalsegmentators_mr_is_known_by_the_name_of_its_images(tmp_path: Path) -> None:
    root = write_totalsegmentator_cases(tmp_path)
    assert totalsegmentator_cohort(str(root)).modality == "ct"
    for file in sorted(root.glob("*/ct.nii.gz")):
        file.rename(file.with_name("mri.nii.gz"))
    words = ["data=totalsegmentator", f"data.root={root}", "data.source.image=mri"]
    assert facts_of(words).modality == "mr"


@pytest.mark.parametrize("window", ["auto", "[-160,240]"])
@pytest.mark.parametrize("source", ["folder", "ct150"])
def test_mr_that_is_said_to_be_ct_is_refused_with_the_share_that_would_be_clipped(
    tmp_path: Path, source: str, window: str
) -> None:
    root = write_mr_folder(tmp_path)
    given = [] if source == "ct150" else ["data.modality=ct"]
    words = [f"data={source}", *folder_words(root, f"data.window={window}", *given)[1:], f"data.cache={tmp_path}/cache"]
    draft = compose_draft(words)
    cohort = build_cohort(draft.data)
    names = tuple(case.case_id for case in cohort.cases)
    settings, splits = fill_in_facts(draft, cohort), Splits(names[:2], names[2:3], names[3:])
    images = [read_volume(case.images[0]).array for case in cohort.cases[:2]]
    bright = np.median([(image > 300).mean() for image in images])
    message = rf"data\.modality=ct: .*{bright:.0%} of the voxels .*data\.modality=mr"
    with pytest.raises(UserError, match=message) as refusal:
        fill_in_intensities(settings, cohort, splits)
    clipped = np.median([((image < -160) | (image > 240)).mean() for image in images])
    assert (f"would clip {clipped:.0%}" in str(refusal.value)) == (window != "auto")
    assert fill_in_intensities(settings, cohort, splits, is_begun=True)  # an older run that is resumed


def test_ct_in_other_numbers_than_hounsfield_trains_without_a_window(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cohort = cohort_of(folder_words(write_mr_folder(tmp_path), "data.modality=ct"))
    check_modalities(cohort, ["ct"], cohort.cases, None)
    assert "its voxels are not HU" in caplog.text


def black_around(array: np.ndarray) -> np.ndarray:
    """Return ``array`` in the middle of a black volume of 16 times its voxels."""
    image = np.zeros((40, 40, 30), np.float32)
    image[10:26, 10:24, 9:21] = array
    return image


BODY = np.random.default_rng(0).normal(600, 150, (16, 14, 12)).clip(1)


@pytest.mark.parametrize(
    ("image", "fault"),
    [
        pytest.param(black_around(BODY), "its voxels are not HU", id="MR"),
        pytest.param(black_around(30 * BODY), "its voxels are not HU", id="PET in Bq/ml"),
        pytest.param(black_around(BODY / 4), "may not be CT: .*is a background near 0", id="dim MR"),
        pytest.param(black_around(BODY / 60), "may not be CT: .*scaled or standardised", id="SUV"),
        pytest.param(black_around(BODY / 5).clip(0, 255), "may not be CT: .*scaled", id="bytes"),
        pytest.param(black_around(BODY / 10 - 20) - 150, None, id="CT in which fat is darkest"),
        pytest.param(black_around(BODY + 400) - 1000, None, id="CT in air"),
    ],
)
def test_a_black_background_does_not_hide_that_a_scan_is_not_a_ct(
    image: np.ndarray, fault: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_nifti(tmp_path / "images" / "a.nii.gz", image.astype(np.float32))
    write_nifti(tmp_path / "labels" / "a.nii.gz", (image > image.mean()).astype(np.uint8))
    cohort = cohort_of(folder_words(tmp_path, "data.modality=ct"))
    check_modalities(cohort, ["ct"], cohort.cases, None)
    assert bool(re.search(fault or ".", caplog.text)) == (fault is not None)


def test_ct_that_is_declared_mr_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_abdomens(tmp_path, abdomens(2))
    cohort = cohort_of(folder_words(root, "data.modality=mr", "data.other_labels=background"))
    check_modalities(cohort, ["mr"], cohort.cases, None)
    assert "looks like CT" in caplog.text


def test_a_ct_cropped_within_the_body_passes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    case = abdomen(0)
    case.image, case.label = case.image[10:30, 10:20], case.label[10:30, 10:20]
    case.label_affine = case.affine
    cohort = cohort_of(folder_words(write_abdomens(tmp_path, {"a": case}), "data.modality=ct"))
    check_modalities(cohort, ["ct"], cohort.cases, (-160.0, 240.0))
    assert not caplog.records


def test_a_case_that_cannot_be_read_is_left_out_of_the_evidence(tmp_path: Path) -> None:
    root = write_abdomens(tmp_path, abdomens(5))
    (root / "images" / "case_0.nii.gz").write_bytes(b"torn")
    cohort = cohort_of(folder_words(root, "data.other_labels=background", "data.on_error=stop"))
    with pytest.raises(UserError, match="case_0"):
        decide_modalities(cohort)
    assert decide_modalities(cohort, "skip").modality == "ct"


def test_a_resumed_run_keeps_the_modality_that_it_began_with(tmp_path: Path) -> None:
    draft = compose_draft(folder_words(write_mr_folder(tmp_path)))
    # as the config.yaml of an older run, which took every scan for CT
    draft = draft.with_values({"dataset.modality": "ct", "data.window": [-160.0, 240.0]})
    settings = fill_in_facts(draft, build_cohort(draft.data))
    assert (settings.dataset.modality, settings.dataset.modalities) == ("ct", None)
    assert build_preprocessing(settings.data, settings.dataset) == Preprocessing(
        tuple(settings.dataset.spacing), "ct", (-160.0, 240.0)
    )


def test_the_doctor_reports_a_modality_that_nothing_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_mr_folder(tmp_path / "scans")
    assert main(["doctor", *folder_words(root), "--output", str(tmp_path / "out")]) == 0
    findings = json.loads((tmp_path / "out" / "doctor.json").read_text())["findings"]
    assert [row["finding"] for row in findings] == ["modality not known"]
    assert main(["doctor", *folder_words(root, "data.modality=ct"), "--output", str(tmp_path / "out")]) == 0
    findings = json.loads((tmp_path / "out" / "doctor.json").read_text())["findings"]
    assert {row["finding"] for row in findings} == {"intensities are not HU"}
    capsys.readouterr()


def test_the_doctor_proposes_the_modality_it_found_and_a_window_that_keeps_the_classes(tmp_path: Path) -> None:
    root = write_abdomens(tmp_path / "scans", abdomens(3))
    words = folder_words(root, "data.other_labels=background", "data.window=[-160,100]", "data.classes={spleen: 1}")
    assert main(["doctor", *words, "--output", str(tmp_path / "out")]) == 0
    proposed = json.loads((tmp_path / "out" / "doctor.json").read_text())["proposed"]
    assert "data.modality=ct" in proposed
    assert "spleen" in proposed["data.window=auto"]


def test_of_ct_beside_mr_only_the_ct_is_measured_and_clipped(tmp_path: Path) -> None:
    root = write_nnunet_dataset(tmp_path / "task", num_channels=2)
    content = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps(content | {"channel_names": {"0": "CT", "1": "T1"}}))
    draft = compose_draft(["data=nnunet", f"data.root={root}", f"data.cache={tmp_path}", "data.patch_size=[16,16,16]"])
    cohort = build_cohort(draft.data)
    names = tuple(case.case_id for case in cohort.cases)
    settings = fill_in_intensities(fill_in_facts(draft, cohort), cohort, Splits(names[:2], names[2:3], names[3:]))
    facts, preprocessing = settings.dataset, build_preprocessing(settings.data, settings.dataset)
    assert (facts.modality, facts.modalities) == ("mixed", ["ct", "mr"])
    assert (facts.intensities[0] is not None, facts.intensities[1]) == (True, None)
    [stored] = build_store(settings, cohort).prepare(cohort.cases[:1])
    ct, mr = stored.image().astype(np.float64)
    scale = preprocessing.scales[0]
    assert scale is not None
    bounds = (np.array(scale.window) - scale.mean) / scale.sd
    assert (ct.min(), ct.max()) == pytest.approx(tuple(bounds), abs=1e-2)
    assert (mr.mean(), mr.std()) == pytest.approx((0, 1), abs=1e-2)


@pytest.mark.realdata
def test_real_hippocampi_are_refused_as_ct_and_read_as_mr(shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / "Task04_Hippocampus"
    words = ["data=folder", f"data.root={root}", "data.source.images=imagesTr", "data.source.labels=labelsTr"]
    words += ["data.classes={anterior: 1, posterior: 2}", f"data.cache={tmp_path}", "data.cases=hippocampus_0*"]
    assert main(["prepare", *words]) == 2
    assert main(["prepare", *words, "data.modality=ct"]) == 2
    assert main(["prepare", *words, "data.modality=mr"]) == 0


@pytest.mark.realdata
def test_real_abdomens_are_ct_by_their_voxels(shared_data: Path, tmp_path: Path) -> None:
    names = ("amos_0001_ct", "spleen_8_image", "totalsegmentator_ct")
    root = shared_data / "abdomen_ct"
    rows = [f"{number},{root}/{name}.nii.gz,{root}/spleen_8_label.nii.gz" for number, name in enumerate(names)]
    (tmp_path / "cases.csv").write_text("\n".join(["case_id,image,label", *rows]))
    assert decide_modalities(cohort_of(folder_words(tmp_path / "cases.csv"))).channel_modalities == ("ct",)
