"""The names of the values in a folder of label maps."""

from pathlib import Path

import pytest

from aunet.classes import Labels
from aunet.errors import UserError
from aunet.inference.class_names import read_class_names, write_class_names


def test_names_are_read_as_they_were_written(tmp_path: Path) -> None:
    labels = Labels(("background", "Größe", "spleen"))
    write_class_names(tmp_path, labels)
    assert read_class_names(tmp_path) == labels


def test_a_folder_without_names_has_none(tmp_path: Path) -> None:
    assert read_class_names(tmp_path) is None


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"class_names": 3}', '{"class_names": ["spleen"]}'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "class_names.json").write_text(text)
    with pytest.raises(UserError, match=r"class_names\.json: does not list the classes"):
        read_class_names(tmp_path)
