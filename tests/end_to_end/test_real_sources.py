"""Real scans in the layouts of their datasets train an epoch each."""

import gzip
import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from aunet.commands.main import main
from aunet.metrics.case_scores import read_case_scores

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
CT = SHARED / "abdomen_ct"
SMALL = [
    "model=unet",
    "model.network.channels=[4,8]",
    "trainer=smoke",
    "trainer.max_epochs=1",
    "logger=csv",
    "data.batch_size=2",
    "data.split.val=0.3",
]

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data beside the project"),
]


def scores_of(tmp_path: Path, *words: str) -> dict[str, int]:
    """Train, and give the number of defined test Dice of each class."""
    folder = tmp_path / "run"
    assert main(["train", *SMALL, *words, f"data.cache={tmp_path}/cache", f"hydra.run.dir={folder}"]) == 0
    scores = read_case_scores(folder / "test" / "case_scores.csv")
    return {str(name): int(scores.loc[scores["class"] == name, "dice"].notna().sum()) for name in scores["class"]}


def link(target: Path, source: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source)


def test_a_decathlon_task_trains_through_nnunets_layout(tmp_path: Path) -> None:
    task = SHARED / "Task04_Hippocampus"
    for image in sorted((task / "imagesTr").glob("hippocampus_0*.nii.gz"))[:12]:
        name = image.name.removesuffix(".nii.gz")
        link(tmp_path / "raw" / "imagesTr" / f"{name}_0000.nii.gz", image)
        link(tmp_path / "raw" / "labelsTr" / f"{name}.nii.gz", task / "labelsTr" / image.name)
    labels = {"background": 0, "Anterior": 1, "Posterior": 2}
    content = {"channel_names": {"0": "MRI"}, "labels": labels, "numTraining": 12, "file_ending": ".nii.gz"}
    (tmp_path / "raw" / "dataset.json").write_text(json.dumps(content))
    assert scores_of(tmp_path, "data=nnunet", f"data.root={tmp_path}/raw") == {"anterior": 2, "posterior": 2}


def test_a_decathlon_task_trains_with_a_class_it_does_not_annotate(tmp_path: Path) -> None:
    task = SHARED / "Task04_Hippocampus"
    classes = "data.classes={hippocampus: [anterior, posterior], amygdala: null}"
    words = ["data=msd", f"data.root={task}", classes, "data.cases=hippocampus_01*"]
    scores = scores_of(tmp_path, *words)
    assert scores["amygdala"] == 0 < scores["hippocampus"]


def test_amos_trains_through_its_preset(tmp_path: Path) -> None:
    root = tmp_path / "amos22"
    entries: list[dict[str, str]] = []
    for number in range(1, 4):
        entry = {kind: f"./{kind}sTr/amos_{number:04d}.nii.gz" for kind in ("image", "label")}
        for kind, file in (("image", "amos_0001_ct.nii.gz"), ("label", "amos_0001_label.nii.gz")):
            (root / entry[kind]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CT / file, root / entry[kind])
        entries.append(entry)
    names = "background,spleen,right kidney,left kidney,gall bladder,esophagus,liver,stomach,arota,postcava,pancreas"
    rest = ",right adrenal gland,left adrenal gland,duodenum,bladder,prostate/uterus"
    labels = {str(value): name for value, name in enumerate((names + rest).split(","))}
    (root / "dataset.json").write_text(json.dumps({"modality": {"0": "CT"}, "labels": labels, "training": entries}))
    scores = scores_of(
        tmp_path, "data=amos22", f"data.root={root}", "data.patch_size=[64,64,32]", "data.spacing=[3,3,5]"
    )
    assert scores == {"pancreas": 1, "spleen": 1, "kidney": 1}


def test_totalsegmentator_trains_through_its_preset(tmp_path: Path) -> None:
    """The label map of its own example is taken apart into the masks that its datasets hold."""
    image = nibabel.load(CT / "totalsegmentator_label.nii.gz")
    label = np.asanyarray(image.dataobj)
    organs = {"spleen": 1, "kidney_right": 2, "kidney_left": 3, "liver": 5, "pancreas": 7}
    for number in range(4):
        folder = tmp_path / "scans" / f"s{number:04d}"
        link(folder / "ct.nii.gz", CT / "totalsegmentator_ct.nii.gz")
        (folder / "segmentations").mkdir()
        for name, value in organs.items():
            mask = nibabel.Nifti1Image((label == value).astype(np.uint8), image.affine)
            mask.to_filename(folder / "segmentations" / f"{name}.nii.gz")
    words = ["data=totalsegmentator", f"data.root={tmp_path}/scans", "data.patch_size=[64,64,32]"]
    scores_of(tmp_path, *words, "data.spacing=[3,3,3]")
    scores = read_case_scores(tmp_path / "run" / "test" / "case_scores.csv").set_index("class")["reference_ml"]
    voxels = {"pancreas": label == 7, "spleen": label == 1, "kidney": np.isin(label, [2, 3])}
    expected = {name: np.count_nonzero(is_organ) * 0.027 for name, is_organ in voxels.items()}
    assert scores.to_dict() == pytest.approx(expected, rel=1e-3)


def test_scans_of_a_table_train(tmp_path: Path) -> None:
    rows = [f"case {n},{CT}/spleen_8_image.nii.gz,{CT}/spleen_8_label.nii.gz,patient {n}" for n in range(4)]
    (tmp_path / "cases.csv").write_text("\n".join(["case_id,image,label,patient", *rows]))
    words = ["data=folder", f"data.root={tmp_path}/cases.csv", "data.classes={spleen: 1}", "data.spacing=[4,4,7.5]"]
    assert scores_of(tmp_path, *words, "data.patch_size=[64,64,32]") == {"spleen": 1}


def test_a_dicom_series_trains_in_a_table(tmp_path: Path) -> None:
    rows = [f"case {n},{CT}/dicom/amos_0001,{CT}/amos_0001_label.nii.gz" for n in range(4)]
    (tmp_path / "cases.csv").write_text("\n".join(["case_id,image,label", *rows]))
    classes = "data.classes={spleen: 1, pancreas: 10}"
    words = ["data=folder", f"data.root={tmp_path}/cases.csv", classes, "data.other_labels=background"]
    words += ["data.spacing=[4,4,5]", "data.patch_size=[64,64,16]"]
    assert scores_of(tmp_path, *words) == {"spleen": 1, "pancreas": 1}


def test_a_dicom_series_trains_as_patients_of_the_pancreas_ct(tmp_path: Path) -> None:
    """The series under the numbers of four patients; the pancreas as that dataset stores it, its rows turned round."""
    label = nibabel.load(CT / "amos_0001_label.nii.gz")
    pancreas = (np.asanyarray(label.dataobj) == 10).astype(np.uint8)
    for number in range(1, 5):
        series = tmp_path / "ct82" / "Pancreas-CT" / f"PANCREAS_{number:04d}" / "study" / "series"
        for source in sorted((CT / "dicom" / "amos_0001").iterdir()):
            slice_ = pydicom.dcmread(source)
            slice_.PatientID = f"PANCREAS_{number:04d}"
            series.mkdir(parents=True, exist_ok=True)
            slice_.save_as(series / source.name)
        file = tmp_path / "ct82" / "TCIA_pancreas_labels-02-05-2017" / f"label{number:04d}.nii.gz"
        file.parent.mkdir(exist_ok=True)
        nibabel.Nifti1Image(np.flip(pancreas, 1), np.eye(4)).to_filename(file)
    words = ["data=ct82", f"data.root={tmp_path}/ct82", "data.spacing=[4,4,5]", "data.patch_size=[64,64,16]"]
    assert scores_of(tmp_path, *words) == {"pancreas": 1}


def test_three_slices_train_a_network_of_two_dimensions(tmp_path: Path) -> None:
    """Their label comes as NRRD: a text header, an empty line, gzipped voxels with the first axis fastest; LPS."""
    header, voxels = (SHARED / "dicom_seg" / "liver_seg.nrrd").read_bytes().split(b"\n\n", 1)
    assert b"type: short" in header
    assert b"sizes: 512 512 3" in header
    label = np.frombuffer(gzip.decompress(voxels), "<i2").reshape((512, 512, 3), order="F")
    affine = np.diag([-0.810547, -0.810547, 1.0, 1.0])
    affine[:3, 3] = 235.2, 226.8, -128.69
    nibabel.Nifti1Image((label > 0).astype(np.uint8), affine).to_filename(tmp_path / "label.nii.gz")
    rows = [f"case {n},{SHARED}/dicom_seg/ct-3slice,{tmp_path}/label.nii.gz" for n in range(4)]
    (tmp_path / "cases.csv").write_text("\n".join(["case_id,image,label", *rows]))
    words = ["data=folder", f"data.root={tmp_path}/cases.csv", "data.classes={liver: 1}", "data.spacing=[3,3,1]"]
    assert scores_of(tmp_path, *words, "data.patch_size=[64,64,1]") == {"liver": 1}
