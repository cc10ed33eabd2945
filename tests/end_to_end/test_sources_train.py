"""Every layout of files trains, with several channels, names as people give them, and predicts its own cases."""

from pathlib import Path

import pytest
from scans import write_nifti, write_nnunet_dataset, write_table, write_totalsegmentator_cases

from aunet.commands.main import main
from aunet.data.io.volume import read_label
from aunet.metrics.case_scores import read_case_scores

pytestmark = pytest.mark.usefixtures("without_pictures")

SMALL = [
    "model=unet",
    "model.network.channels=[4,8]",
    "data.patch_size=[16,16,16]",
    "data.batch_size=2",
    "trainer=smoke",
    "trainer.max_epochs=1",
    "trainer.batches_per_epoch=2",
    "logger=csv",
]


def nnunet(root: Path) -> list[str]:
    return ["data=nnunet", f'data.root="{write_nnunet_dataset(root / "Dataset 1", num_channels=2)}"']


def table(root: Path) -> list[str]:
    return ["data=folder", f"data.root={write_table(root, num_cases=8)}", "data.classes={ball: 1, box: 2}"]


def two_folders(root: Path) -> list[str]:
    write_nnunet_dataset(root, num_channels=2)
    patterns = ["data.source.images=[imagesTr/*_0000,imagesTr/*_0001]", "data.source.labels=labelsTr"]
    return [
        "data=folder",
        f"data.root={root}",
        *patterns,
        "data.classes={box: 2}",
        "data.other_labels=background",
        "data.modality=mr",
    ]


def totalsegmentator(root: Path) -> list[str]:
    return ["data=totalsegmentator", f"data.root={write_totalsegmentator_cases(root)}", "data.spacing=[1,1.5,1.2]"]


@pytest.mark.parametrize(
    ("write", "classes"),
    [
        (table, {"ball", "box"}),
        pytest.param(nnunet, {"ball", "box"}, marks=pytest.mark.slow),
        pytest.param(two_folders, {"box"}, marks=pytest.mark.slow),
        pytest.param(totalsegmentator, {"pancreas", "spleen", "kidney"}, marks=pytest.mark.slow),
    ],
)
def test_a_layout_trains_and_predicts_its_own_cases(tmp_path: Path, write: object, classes: set[str]) -> None:
    assert callable(write)
    dataset, run = write(tmp_path / "scans"), tmp_path / "run"
    words = [*dataset, *SMALL, f"data.cache={tmp_path}/cache", f"hydra.run.dir={run}"]
    assert main(["train", *words]) == 0
    scores = read_case_scores(run / "test" / "case_scores.csv")
    assert set(scores["class"]) == classes
    assert scores["reference_ml"].gt(0).all()

    assert main(["predict", str(run), *dataset, "--output", str(tmp_path / "out")]) == 0
    case_id = scores["case_id"].iloc[0]
    again, first = (read_label(path / f"{case_id}.nii.gz") for path in (tmp_path / "out", run / "test" / "predictions"))
    assert (again.array == first.array).all()


def test_a_case_with_another_number_of_channels_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = nnunet(tmp_path)
    image = tmp_path / "Dataset 1" / "imagesTr" / "ball 001_0001.nii.gz"
    image.unlink()
    assert main(["train", *dataset, *SMALL]) == 2
    assert "case ball 001 has the channels 0000;" in " ".join(capsys.readouterr().err.split())
    write_nifti(image, read_label(tmp_path / "Dataset 1" / "labelsTr" / "ball 001.nii.gz").array[:5])
    words = [*dataset, *SMALL, f"data.cache={tmp_path}/cache", f"hydra.run.dir={tmp_path}/run"]
    assert main(["train", *words]) == 2
    assert "shape" in " ".join(capsys.readouterr().err.split())
