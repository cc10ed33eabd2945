"""Left and right in the spellings of the field, and names that only look like it."""

import pytest

from aunet.data.cohort.class_sides import paired, place_in

LEFT_AND_RIGHT = [
    ("left kidney", "right kidney"),
    ("kidney_left", "kidney_right"),
    ("Kidney-L", "Kidney-R"),
    ("Kidney (L)", "Kidney (R)"),
    ("Kidney, left", "Kidney, right"),
    ("l_adrenal", "r_adrenal"),
    ("LKidney", "RKidney"),
    ("Lkidney", "Rkidney"),
    ("LeftKidney", "RightKidney"),
    ("leftkidney", "rightkidney"),
    ("KIDNEYLEFT", "KIDNEYRIGHT"),
    ("left kidney", "Kidney_Right"),
    ("lung_upper_lobe_left", "lung_upper_lobe_right"),
    ("rib_left_1", "rib_right_1"),
    ("Left-Thalamus-Proper", "Right-Thalamus-Proper"),
    ("ctx-lh-insula", "ctx-rh-insula"),
    ("Lt. Parotid", "Rt. Parotid"),
    ("arteria carotis sinistra", "arteria carotis dextra"),
    ("linke Niere", "rechte Niere"),
    ("rein gauche", "rein droit"),
    ("rene sinistro", "rene destro"),
    ("riñón izquierdo", "riñón derecho"),
    ("左肾", "右肾"),
]


@pytest.mark.parametrize("names", LEFT_AND_RIGHT, ids=lambda names: names[0])
def test_left_and_right_of_one_structure_are_paired(names: tuple[str, str]) -> None:
    left, right = names
    assert paired(["liver", right, "spleen", left]) == [(3, 1)]
    assert all(place_in(name).has_mirror_image for name in names)


@pytest.mark.parametrize(
    "name",
    [
        *("liver", "cleft", "bright spot", "upright table", "vertebrae_L1", "rectum", "LV", "RV", "bone marrow"),
        *("left and right kidney", "background", "myocardium", "river", "rib", "lung"),
    ],
)
def test_names_without_a_side_have_none(name: str) -> None:
    assert place_in(name).end is None


@pytest.mark.parametrize(
    "names", [("left lung", "left lung 2", "right lung"), ("left_kidney", "kidney_L", "right_kidney"), ("LV", "RV")]
)
def test_names_that_do_not_say_which_belong_together_are_not_paired(names: tuple[str, ...]) -> None:
    assert all({"kidney", "LV"}.isdisjoint(names[k].split("_")) for pair in paired(names) for k in pair)
    assert len(paired(names)) == (names[0] == "left lung")


@pytest.mark.parametrize(
    ("name", "has_mirror_image"),
    [
        ("left ventricle", False),
        ("LeftVentricle", False),
        ("heart_atrium_right", False),
        ("left coronary artery", False),
        ("liver left lobe", False),
        ("left lobe of the thyroid", True),
        ("Left-Lateral-Ventricle", True),
        ("left hemisphere", True),
    ],
)
def test_chambers_of_the_heart_and_lobes_of_the_liver_have_no_mirror_image(name: str, has_mirror_image: bool) -> None:
    assert place_in(name).has_mirror_image == has_mirror_image


@pytest.mark.parametrize(
    ("axis", "low", "high"),
    [
        (1, "Posterior", "Anterior"),
        (1, "dorsal horn", "ventral horn"),
        (2, "inferior vena cava", "superior vena cava"),
        (2, "lung_lower_lobe_left", "lung_upper_lobe_left"),
        (2, "CaudalPart", "CranialPart"),
    ],
)
def test_places_along_the_other_axes_are_paired_too(axis: int, low: str, high: str) -> None:
    assert paired([high, low], axis) == [(1, 0)]
