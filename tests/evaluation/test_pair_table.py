"""Tables of pairs and folders of label maps, as other programs and systems write them."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from dicom_scans import write_series
from scans import write_nifti

from aunet.errors import UserError
from aunet.evaluation.folder_scores import label_maps
from aunet.evaluation.pair_table import read_pairs

ROWS = [f"a/case_{number}.nii.gz,b/case_{number}.nii.gz" for number in range(3)]
TEXT = "prediction,reference\n" + "\n".join(ROWS) + "\n"

ACCEPTED = {
    "plain": TEXT,
    "byte order mark": "\ufeff" + TEXT,
    "semicolons": TEXT.replace(",", ";"),
    "tabs": TEXT.replace(",", "\t"),
    "Excel's separator line": "sep=;\n" + TEXT.replace(",", ";"),
    "capitals and blanks": TEXT.replace("prediction,reference", "Prediction, Reference"),
    "empty rows": TEXT + ",\n\n,\n",
    "backslashes": TEXT.replace("/", "\\"),
}


def write(root: Path, text: str) -> Path:
    for row in ROWS:
        for name in row.split(","):
            write_nifti(root / name, np.ones((2, 3, 4), np.uint8))
    (root / "pairs.csv").write_text(text, encoding="utf-8")
    return root / "pairs.csv"


@pytest.mark.parametrize("kind", ACCEPTED)
def test_tables_of_pairs_as_programs_write_them_are_accepted(kind: str, tmp_path: Path) -> None:
    table = read_pairs(write(tmp_path, ACCEPTED[kind]))
    assert table.pairs["case_1"] == (tmp_path / "a/case_1.nii.gz", tmp_path / "b/case_1.nii.gz")
    assert len(table.pairs) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TEXT.replace("prediction,", "prediction,prediction,"), "the column prediction appears 2 times"),
        (TEXT.replace("\n", "\n\n").replace("a/case_2", "a/case_9"), "line 7: the prediction .*case_9"),
        (TEXT.replace("case_0.nii.gz\n", "case_0.nii.gz,x\n"), "line 2: 3 cells"),
    ],
)
def test_tables_of_pairs_that_mean_nothing_certain_are_refused_with_their_line(
    text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        read_pairs(write(tmp_path, text))


def test_tables_of_pairs_name_unknown_patients_as_none_and_accents_in_one_form(tmp_path: Path) -> None:
    cells = ["NA", unicodedata.normalize("NFD", "Müller"), "7.0"]
    rows = "\n".join(f"{row},{cell}" for row, cell in zip(ROWS, cells, strict=True))
    table = read_pairs(write(tmp_path, f"prediction,reference,patient\n{rows}\n"))
    assert list(table.patients.values()) == ["", "Müller", "7"]


def test_names_with_accents_in_either_form_and_folders_of_dicom_are_label_maps(tmp_path: Path) -> None:
    write_nifti(tmp_path / f"{unicodedata.normalize('NFD', 'Müller')}.seg.nii.gz", np.ones((2, 3, 4), np.uint8))
    write_series(tmp_path / "case_1.2", np.ones((3, 4, 2), np.int16), np.eye(4))
    assert list(label_maps(tmp_path)) == ["Müller", "case_1.2"]
