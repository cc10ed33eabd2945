"""Plain English: phrases that a reader stumbles over are banned from prose.

Ruff's D rules check that docstrings are there, are sentences and open with a verb. This test searches docstrings,
comments, messages, test names, YAML comments and Markdown for a short list of phrases, each with its replacement.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

# Phrase -> pattern. Each is chosen so that good English seldom matches; the key says what to write instead.
BANNED = {
    "is told -> is reported, is passed": r"\b(?:is|are|was|were|be|been|not|as) told\b",
    "tells -> reports, states, shows": r"\btells\b",
    "stands -> is, appears (stands for is fine)": r"\bstands?\b(?! (?:for|out|upright)\b)(?!-)",
    "is no run -> is not a run": r"(?<!here )\b(?:is|are|was|were) no (?!longer|more|less|farther)\w+",
    "goes on -> continues": r"\b(?:go|goes|going|went|gone) on\b",
    "What opens a sentence that is not a question -> name it": r"(?:^|[.!?:] )What [a-z]+(?![^.]*\?)",
    "gives -> returns, yields": r"\bgives\b",
    "shall, whereof, of late -> plain words": r"\b(?:shall|whereof|of late)\b",
}
# Parsing takes seconds; most files hold none of the phrases anywhere, test names with blanks for underscores included.
_ANYWHERE = re.compile("|".join(BANNED.values()).replace("(?:^|[.!?:] )", ""))
# Files of the package that still hold such phrases; to be emptied.
NOT_YET = frozenset[str]()


def prose_of_python(text: str, is_test: bool) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring, comment and message; of a test module, names instead of messages."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("#! ")
    tree = ast.parse(text)
    docstrings = {id(node.body[0].value) for node in ast.walk(tree) if _has_docstring(node)}  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) in docstrings or not is_test:
                yield from enumerate(node.value.splitlines(), start=node.lineno)
        elif is_test and isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.lineno, _sentence(node.name)


def prose_of_markdown(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a page without output and without words in backticks, which quote."""
    is_output = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("```"):
            is_output = line == "```text"
        elif not is_output:
            yield number, re.sub(r"`[^`]*`", "", line).lstrip("#*->| ")


def prose_of_yaml(text: str) -> Iterator[tuple[int, str]]:
    """Yield the comments of a YAML file."""
    for number, line in enumerate(text.splitlines(), start=1):
        if match := re.search(r"(?:^|\s)#\s*(.*)", line):
            yield number, match[1]


def _has_docstring(node: ast.AST) -> bool:
    is_documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    return is_documented and ast.get_docstring(node) is not None


def _sentence(name: str) -> str:
    """Return the name of a test as words; they may use the verbs that a sentence of prose should not open with."""
    return re.sub(r"\bgives\b", "", name.removeprefix("test_").replace("_", " "))


def prose_of(file: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of the prose in a file."""
    text = file.read_text(encoding="utf-8")
    if not _ANYWHERE.search(text) and not _ANYWHERE.search(text.replace("_", " ")):
        return iter(())
    if file.suffix == ".py":
        return prose_of_python(text, is_test="tests" in file.parts)
    return prose_of_markdown(text) if file.suffix == ".md" else prose_of_yaml(text)


def banned_in(lines: Iterator[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return line and advice of each banned phrase."""
    return [(line, advice) for line, text in lines for advice, pattern in BANNED.items() if re.search(pattern, text)]


def files(repository: Path, folder: str) -> list[Path]:
    """Return the files with prose at or below ``folder``."""
    place = repository / folder
    found = [place] if place.is_file() else sorted(place.rglob("*"))
    return [file for file in found if file.suffix in (".py", ".md", ".yaml") and "fixtures" not in file.parts]


@pytest.mark.parametrize("folder", ["aunet", "conf", "docs", "experiments", "tests", "README.md", "train.py"])
def test_banned_phrases_are_absent(folder: str, repository: Path) -> None:
    faults = [
        f"{file.relative_to(repository)}:{line}: {advice}"
        for file in files(repository, folder)
        if file != Path(__file__) and file.relative_to(repository).as_posix() not in NOT_YET
        for line, advice in banned_in(prose_of(file))
    ]
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize(
    ("file", "text", "lines"),
    [
        ("a.py", '"""The network is told."""\n', [1]),
        ("a.py", "x = 1  # it goes on\n", [1]),
        ("a.py", 'raise ValueError("the file is no run")\n', [1]),
        ("a.py", 'raise ValueError("there is no run")\nstands = told = 1\n', []),
        ("a.py", '"""One line.\n\nA case stands twice.\n"""\n', [3]),
        ("tests/a.py", 'def test_a_run_goes_on() -> None:\n    assert "stands twice"\n', [1]),
        ("a.md", "A row `is told`.\n```text\nit is told\n```\n## What it does\n", [5]),
        ("a.yaml", "key: stands\n# What it is.\nkey: 1  # `*` stands for the case\n", [2]),
    ],
)
def test_phrases_are_found_in_prose_alone(file: str, text: str, lines: list[int], tmp_path: Path) -> None:
    place = Path(file)
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(text)
    assert [line for line, _ in banned_in(prose_of(tmp_path / place))] == lines
