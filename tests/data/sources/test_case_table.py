"""Tables of cases as spreadsheet programs write them, and paths as other systems write them."""

import json
import unicodedata
from pathlib import Path

import pytest
from scans import write_folder_pair, write_msd_task

from aunet.classes import Labels
from aunet.data.cohort.case import Case
from aunet.data.cohort.faulty_cases import usable_cases
from aunet.data.sources.case_table import cases_in_table
from aunet.data.sources.file_patterns import files_by_case
from aunet.data.sources.folder import folder_cohort
from aunet.data.sources.msd import msd_cohort
from aunet.errors import UserError
from aunet.inference.prediction_files import scan_files_of_cases

LABELS = Labels(("background", "ball", "box"))
ROWS = [f"c{number},images/case_{number}.nii.gz,labels/case_{number}.nii.gz" for number in range(4)]
HEADER = "case_id,image,label"


def read(root: Path, text: str, encoding: str = "utf-8") -> tuple[Case, ...]:
    write_folder_pair(root)
    (root / "cases.csv").write_bytes(text.encode(encoding))
    return cases_in_table(root / "cases.csv", "stop", LABELS)


def lines(*rows: str) -> str:
    return "\n".join((HEADER, *rows)) + "\n"


ACCEPTED = {
    "plain": lines(*ROWS),
    "byte order mark": "\ufeff" + lines(*ROWS),
    "semicolons": lines(*ROWS).replace(",", ";"),
    "tabs": lines(*ROWS).replace(",", "\t"),
    "Excel's separator line": "sep=;\n" + lines(*ROWS).replace(",", ";"),
    "capitals": lines(*ROWS).replace(HEADER, "Case_ID,IMAGE,Label"),
    "line ends of Windows": lines(*ROWS).replace("\n", "\r\n"),
    "empty rows of Excel": lines(*(f"{row},," for row in ROWS), ",,,,", ",,,,").replace(HEADER, f"{HEADER},,"),
    "blank lines": "\n\n" + lines(ROWS[0], "", "", *ROWS[1:], "  ", ""),
    "backslashes": lines(*(row.replace("/", "\\") for row in ROWS)),
    "quoted cells": lines(*('"' + row.replace(",", '","') + '"' for row in ROWS)),
    "other line ends within cells": lines(*(f"{row},a\u2028b\x0cc\x85d" for row in ROWS)).replace(
        HEADER, f"{HEADER},x"
    ),
    "line ends of old Macs": lines(*ROWS).replace("\n", "\r"),
    "another column": lines(*(f'{row},"second, opinion"' for row in ROWS)).replace(HEADER, f"{HEADER},note"),
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_tables_as_programs_write_them_are_accepted(kind: str, tmp_path: Path) -> None:
    cases = read(tmp_path, ACCEPTED[kind])
    assert [case.case_id for case in cases] == ["c0", "c1", "c2", "c3"]
    assert cases[1].files == (tmp_path / "images/case_1.nii.gz", tmp_path / "labels/case_1.nii.gz")


REFUSED = {
    "image twice": (f"case_id,image,image,label\n{ROWS[0]}\n", "the column image appears 2 times.*image_2"),
    "label twice": (f"case_id,image,label,Label\n{ROWS[0]}\n", "the column label appears 2 times"),
    "patient twice": (f"{HEADER},patient,patient\n{ROWS[0]},1,2\n", "the column patient appears 2 times"),
    "a channel left out": ("case_id,image,image_3,label\na,b,c,d\n", "image_3 are not numbered from 2 on.*image_2"),
    "more cells than columns": (lines(ROWS[0], f"{ROWS[1]},x"), "line 3: 4 cells, but.*3 columns.*quotation"),
    "a comma in a name": (lines("a,images/a, b.nii.gz,c"), "line 2: 4 cells"),
    "a wrong row behind blank lines": (
        lines("", "", ROWS[0], "", "c9,images/no.nii.gz,b"),
        "line 6: .*no.nii.gz.*no file",
    ),
    "an empty cell behind blank lines": (lines("", ROWS[0], "c1,,b"), "line 4: the column image is empty"),
    "a row behind a cell of two lines": (
        f'{HEADER},note\n{ROWS[0]},"two\nlines"\nc1,,b,\n',
        "line 4: the column image is empty",
    ),
    "a path of Windows": (lines(r"c0,D:\scans\a.nii.gz,b"), r"line 2: D:\\scans.*path of Windows.*relative"),
    "a path on a server": (lines(r"c0,\\server\a.nii.gz,b"), "line 2: .*path of Windows"),
    "an unknown class": (f"{HEADER},annotated\n{ROWS[0]},ball liver\n", "line 2: .*annotated names 'liver'.*ball, box"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_tables_that_mean_nothing_certain_are_refused_with_their_line(kind: str, tmp_path: Path) -> None:
    text, said = REFUSED[kind]
    with pytest.raises(UserError, match=said) as refusal:
        read(tmp_path, text)
    assert "cases.csv" in str(refusal.value)


@pytest.mark.parametrize("separator", [" ", "|", " | "])
def test_annotations_of_each_case_are_read_from_the_table(separator: str, tmp_path: Path) -> None:
    told = ["", "ball", f"Ball{separator}box", "BOX"]
    rows = [f"{row},{words}" for row, words in zip(ROWS, told, strict=True)]
    cases = read(tmp_path, f"{HEADER},annotated\n" + "\n".join(rows))
    assert [case.annotated for case in cases] == [None, frozenset({0, 1}), None, frozenset({0, 2})]


@pytest.mark.parametrize(
    ("cell", "told"),
    [("Right Kidney", {0, 1}), ("right kidney|spleen", {0, 1, 3}), ("right kidney ; LEFT KIDNEY", {0, 1, 2})],
)
def test_annotations_may_name_classes_that_hold_a_blank(cell: str, told: set[int], tmp_path: Path) -> None:
    write_folder_pair(tmp_path)
    (tmp_path / "cases.csv").write_text(f"{HEADER},annotated\n{ROWS[0]},{cell}\n")
    labels = Labels(("background", "right kidney", "left kidney", "spleen"))
    assert cases_in_table(tmp_path / "cases.csv", "stop", labels)[0].annotated == told


def test_annotations_of_classes_with_blanks_are_refused_with_the_separators(tmp_path: Path) -> None:
    write_folder_pair(tmp_path)
    (tmp_path / "cases.csv").write_text(f"{HEADER},annotated\n{ROWS[0]},right kidney left kidney\n")
    with pytest.raises(UserError, match=r"names 'right'; .* Separate names by \|, or by blanks if none of them"):
        cases_in_table(tmp_path / "cases.csv", "stop", Labels(("background", "right kidney", "left kidney")))


def test_annotations_of_a_table_make_a_partial_cohort(tmp_path: Path) -> None:
    read(tmp_path, f"{HEADER},annotated\n{ROWS[0]},ball\n{ROWS[1]},\n")
    cohort = folder_cohort(str(tmp_path / "cases.csv"), "", "", "ct", {"ball": 1, "box": 2})
    assert cohort.is_partial
    (tmp_path / "cases.csv").write_text(f"{HEADER},annotated\n{ROWS[0]},box\n")
    with pytest.raises(UserError, match=r"names box, which data\.classes sets to null"):
        folder_cohort(str(tmp_path / "cases.csv"), "", "", "ct", {"ball": 1, "box": None}, "background")


FORMS = [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")]


@pytest.mark.parametrize("name", ["Müller", "Ångström é", "が"])
@pytest.mark.parametrize("forms", FORMS)
def test_names_with_accents_match_in_either_form(name: str, forms: tuple[str, str], tmp_path: Path) -> None:
    write_folder_pair(tmp_path, 1)
    for kind, form in zip(("images", "labels"), forms, strict=True):
        stored = tmp_path / kind / f"{unicodedata.normalize(form, name)}.nii.gz"
        (tmp_path / kind / "case_0.nii.gz").rename(stored)
    (case,) = folder_cohort(str(tmp_path), "images", "labels", "ct", {"ball": 1, "box": 2}).cases
    assert case.case_id == unicodedata.normalize("NFC", name)
    assert all(path.is_file() for path in case.files)
    for form in ("NFC", "NFD"):
        text = lines(f"a,images/{name}.nii.gz,labels/{name}.nii.gz")
        (tmp_path / "cases.csv").write_text(unicodedata.normalize(form, text), encoding="utf-8")
        (listed,) = cases_in_table(tmp_path / "cases.csv", "stop", LABELS)
        assert listed.files == case.files


def test_names_of_a_pattern_with_accents_match_in_either_form(tmp_path: Path) -> None:
    write_folder_pair(tmp_path, 2)
    (tmp_path / "images").rename(tmp_path / unicodedata.normalize("NFD", "Größe é"))
    assert set(files_by_case(tmp_path, unicodedata.normalize("NFC", "Größe é/case_*"))) == {"0", "1"}


@pytest.mark.parametrize("name", ["a" * 201, "ü" * 101, "腹" * 70])
def test_names_too_long_for_what_is_derived_are_refused_before_training(name: str) -> None:
    with pytest.raises(UserError, match=r"has 2\d\d bytes, at most 200"):
        usable_cases([name], lambda case_id: Case(case_id, (Path("a.nii.gz"),), None), "stop")


def test_names_of_label_maps_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    (tmp_path / ("x" * 245 + ".nii")).touch()
    case = Case("x" * 239, (tmp_path / "a.nii",), None)
    with pytest.raises(UserError, match="would be named by 246 bytes"):
        scan_files_of_cases([case], tmp_path / "out")


@pytest.mark.parametrize("prefix", [".\\imagesTr\\", "imagesTr\\", "./imagesTr/"])
def test_remedies_backslashes_of_dataset_json_are_understood(prefix: str, tmp_path: Path) -> None:
    file = write_msd_task(tmp_path) / "dataset.json"
    file.write_text(file.read_text().replace("./imagesTr/", prefix.replace("\\", "\\\\")))
    cases = msd_cohort(str(tmp_path)).cases
    assert [case.case_id for case in cases] == [f"ball_{number:03d}" for number in range(6)]
    assert all(path.is_file() for case in cases for path in case.files)


@pytest.mark.parametrize("column", ["image2", "Image 2", "image-2", "images"])
def test_tables_with_a_channel_of_another_name_are_refused(column: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"the column {column.lower()} would not be read.*image_2"):
        read(tmp_path, f"{HEADER},{column}\n{ROWS[0]},images/case_1.nii.gz\n")


@pytest.mark.parametrize("column", ["patient_id", "PatientID", "subject"])
def test_tables_with_patients_of_another_name_are_warned_of(
    column: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read(tmp_path, f"{HEADER},{column}\n{ROWS[0]},P1\n")
    assert f"the column {column.lower()} is not read" in caplog.text


@pytest.mark.parametrize("column", ["annotations", "Annotated_Classes", "labelled organs"])
def test_tables_with_annotations_of_another_name_are_warned_of(
    column: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read(tmp_path, f"{HEADER},{column}\n{ROWS[0]},ball\n")
    assert f"the column {column.lower()} is not read, so every case counts as annotating all classes" in caplog.text
    caplog.clear()
    read(tmp_path, f"{HEADER},{column},annotated\n{ROWS[0]},by Ann,ball\n")
    assert not caplog.records


def test_tables_with_patients_that_differ_only_in_case_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [f"{row},{patient}" for row, patient in zip(ROWS, ("P1", "p1", "P2", "P2"), strict=True)]
    read(tmp_path, f"{HEADER},patient\n" + "\n".join(rows))
    (record,) = caplog.records
    assert "the patients P1, p1 differ only in upper and lower case" in record.getMessage()


@pytest.mark.parametrize(
    ("cells", "patients"),
    [
        (("NA", "n/a", "", "None"), ["c0", "c1", "c2", "c3"]),
        (("1", "1.0", "2.00", "2"), ["1", "1", "2", "2"]),
        (("Mu\u0308ller", "M\u00fcller", "1.5", "007"), ["M\u00fcller", "M\u00fcller", "1.5", "007"]),
    ],
)
def test_tables_name_patients_as_spreadsheets_write_them(
    cells: tuple[str, ...], patients: list[str], tmp_path: Path
) -> None:
    rows = [f"{row},{cell}" for row, cell in zip(ROWS, cells, strict=True)]
    assert [case.patient for case in read(tmp_path, f"{HEADER},patient\n" + "\n".join(rows))] == patients


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HEADER}\nc0,images/case_0.nii.gz,images/case_0.nii.gz\n", "both image and label"),
        ("PK\x03\x04\x00\x00", "a ZIP archive, as Excel's own files are"),
        (f"{HEADER}\nc0,im\0ges/a,b\n", "line 2: holds a zero byte"),
    ],
)
def test_tables_that_are_none_are_refused_with_what_they_are(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        read(tmp_path, text)


def test_names_of_3d_slicers_segmentations_match_their_scans(tmp_path: Path) -> None:
    write_folder_pair(tmp_path, 2)
    for path in (tmp_path / "labels").iterdir():
        path.rename(path.with_name(path.name.replace(".nii", ".seg.nii")))
    cohort = folder_cohort(str(tmp_path), "images", "labels", "ct", {"ball": 1, "box": 2})
    assert [case.case_id for case in cohort.cases] == ["case_0", "case_1"]


def test_formats_channels_listed_for_a_case_of_the_decathlon_are_read(tmp_path: Path) -> None:
    file = write_msd_task(tmp_path) / "dataset.json"
    content = json.loads(file.read_text())
    for entry in content["training"]:
        entry["image"] = [entry["image"], entry["image"]]
    file.write_text(json.dumps({**content, "modality": {"0": "T1", "1": "T2"}}))
    assert [len(case.images) for case in msd_cohort(str(tmp_path)).cases] == [2] * 6
