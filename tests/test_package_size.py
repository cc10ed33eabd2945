"""Counts of the package that keep it readable; each bound is the goal of the redesign, not the state of a day."""

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

# Openings of docstrings that are nouns or articles; a function's docstring opens with a verb.
NO_VERBS = frozenset(
    """a an the what whether where which how one all each every of in on if as for with and no not this that these those
    its his their our whose when while at by from to into over under between""".split()  # noqa: SIM905
)


@pytest.fixture(scope="module")
def modules(repository: Path) -> dict[str, str]:
    """Return the text of each module of the package, by its path."""
    files = sorted((repository / "aunet").rglob("*.py"))
    return {file.relative_to(repository).as_posix(): file.read_text(encoding="utf-8") for file in files}


@pytest.fixture(scope="module")
def lengths(modules: dict[str, str]) -> dict[str, int]:
    """Return the number of lines of each module besides ``__init__.py``."""
    return {name: len(text.splitlines()) for name, text in modules.items() if not name.endswith("__init__.py")}


def test_no_module_is_longer_than_300_lines(lengths: dict[str, int]) -> None:
    assert not {name: length for name, length in lengths.items() if length > 300}


def test_fewer_than_8_modules_are_shorter_than_30_lines(lengths: dict[str, int]) -> None:
    short = {name: length for name, length in lengths.items() if length < 30}
    assert len(short) < 8, short


def test_the_median_module_has_100_to_170_lines(lengths: dict[str, int]) -> None:
    assert 100 <= statistics.median(lengths.values()) <= 170


def test_fewer_than_15_percent_of_the_docstrings_of_functions_open_without_a_verb(modules: dict[str, str]) -> None:
    openings = [opening for text in modules.values() for opening in _openings(text)]
    without = [opening for opening in openings if opening.lower() in NO_VERBS or not opening.isalpha()]
    assert len(without) < 0.15 * len(openings), f"{len(without)} of {len(openings)}"


def test_any_is_used_on_fewer_than_150_lines(modules: dict[str, str]) -> None:
    uses = {name: sum(map(_uses_any, text.splitlines())) for name, text in modules.items()}
    total = sum(uses.values())
    most = sorted(uses.items(), key=lambda item: -item[1])[:10]
    assert total < 150, f"{total} lines, most in {most}"


def _uses_any(line: str) -> bool:
    return re.search(r"\bAny\b", line) is not None and "import" not in line


def _openings(text: str) -> Iterator[str]:
    """Yield the first word of the docstring of each function."""
    for node in ast.walk(ast.parse(text)):
        docstring = ast.get_docstring(node) if isinstance(node, ast.FunctionDef) else None
        if docstring:
            yield re.split(r"[\s,:;]", docstring, maxsplit=1)[0]
