"""Codes of segments: SNOMED CT as pydicom lists it, classes by their names, and files of codes of one's own."""

from pathlib import Path

import pytest
from pydicom.sr.codedict import codes as dicom_codes

from aunet.errors import UserError
from aunet.export.segment_codes import (
    _ABNORMALITIES,
    _CODES,
    ABNORMALITY,
    ANATOMY,
    SIDES,
    TISSUE,
    code_of_class,
    read_codes,
)


def test_the_codes_are_those_of_the_standard() -> None:
    concepts = [getattr(dicom_codes.SCT, name) for name in dicom_codes.SCT.dir()]
    known = {(str(code.value), str(code.meaning)) for code in concepts}
    general = [(code.value, code.meaning) for code in (ANATOMY, ABNORMALITY, TISSUE, *SIDES.values())]
    assert {*_CODES.values(), *_ABNORMALITIES.values(), *general} <= known


@pytest.mark.parametrize(
    ("name", "meaning", "side"),
    [
        ("pancreas", "Pancreas", None),
        ("kidney_left", "Kidney", "Left"),
        ("Right Adrenal Gland", "Adrenal gland", "Right"),
        ("gall bladder", "Gallbladder", None),
        ("postcava", "Inferior vena cava", None),
        ("kidneys", "Kidney", None),
        ("lung_upper_lobe_right", "Upper lobe of lung", "Right"),
        ("left_ventricle", "Left ventricle", None),
        ("vertebrae_T12", "T12 vertebra", None),
        ("rib_left_7", "Rib", "Left"),
        ("liver_tumor", "Neoplasm", None),
        ("kidney_cyst_right", "Cyst", "Right"),
        ("left_right_lung", "Lung", None),
        ("left and right kidney", "Tissue", None),
        ("gluteus_maximus_left", "Tissue", "Left"),
        ("non-tumor", "Tissue", None),
        ("Non_Tumour", "Tissue", None),
        ("no lesion", "Tissue", None),
        ("healthy tissue", "Tissue", None),
        ("background", "Tissue", None),
        ("tumor margin", "Tissue", None),
        ("kidney+tumor", "Tissue", None),
        ("tumor-free liver", "Liver", None),
        ("kidney without cysts, right", "Kidney", "Right"),
        ("normal left kidney", "Kidney", "Left"),
        ("non-enhancing tumor", "Neoplasm", None),
        ("cancer of the left kidney", "Neoplasm", "Left"),
        ("tumors or neoplasms", "Neoplasm", None),
        ("tumor and cyst", "Lesion", None),
        ("edema around tumor", "Edema", None),
        ("tumor oedema", "Edema", None),
    ],
)
def test_a_class_is_coded_by_its_name(name: str, meaning: str, side: str | None) -> None:
    code = code_of_class(name)
    assert code.kind.meaning == meaning
    assert (code.side and code.side.meaning) == side
    assert code.is_generic == (meaning == "Tissue")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"liver": "10200004"}', r"codes\.json: liver is 10200004\. It must hold"),
        ('{"liver": {"value": "1", "scheme": "SCT"}}', r"liver is .*meaning"),
        (
            '{"liver": {"value": "1", "scheme": "SCT", "meaning": "L", "side": "up"}}',
            r"liver\.side is up.*left or right",
        ),
        ("[]", "not a JSON object"),
    ],
)
def test_a_file_of_codes_that_is_not_one_is_refused(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "codes.json").write_text(content)
    with pytest.raises(UserError, match=said):
        read_codes(tmp_path / "codes.json")
