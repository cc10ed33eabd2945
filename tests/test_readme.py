"""The README is what a newcomer reads first: short, with the figure, the commands and the way to everything else.

That its commands, links, keys and options work is checked with those of docs/, in tests/docs.
"""

import argparse
import re
from pathlib import Path

import pytest

from aunet.commands.main import _parser


@pytest.fixture
def readme(repository: Path) -> str:
    return (repository / "README.md").read_text(encoding="utf-8")


def test_the_readme_has_at_most_150_lines(readme: str) -> None:
    assert len(readme.splitlines()) <= 150


def test_the_readme_names_every_command(readme: str) -> None:
    [commands] = [action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction)]
    assert not [name for name in commands.choices if f"aunet {name}" not in readme]


def test_the_readme_names_every_folder_of_the_package(readme: str, repository: Path) -> None:
    folders = [path.parent.name for path in (repository / "aunet").glob("*/__init__.py")]
    assert not [name for name in folders if f"aunet/{name}/" not in readme]


def test_the_readme_leads_to_every_page_of_the_documentation(readme: str, repository: Path) -> None:
    index = (repository / "docs" / "README.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([\w]+\.md)", index)) | {"README.md"}
    assert "(docs/README.md)" in readme
    assert {page.name for page in (repository / "docs").glob("*.md")} <= linked
