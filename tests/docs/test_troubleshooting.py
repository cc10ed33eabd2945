"""The messages that docs/troubleshooting.md explains are those of the code."""

import ast
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md"


def explained() -> list[str]:
    """Return the messages in the first column of the page's tables."""
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return [message for row in rows for message in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


@pytest.fixture(scope="module")
def messages(repository: Path) -> list[str]:
    """Return every text of the package, with … for each value that is put in."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in (repository / "aunet").rglob("*.py")]
    texts = (ast.JoinedStr, ast.Constant, ast.BinOp)
    return [_text(node) for tree in trees for node in ast.walk(tree) if isinstance(node, texts)]


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_text, node.values))
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "…"


@pytest.mark.parametrize("message", explained())
def test_an_explained_message_is_one_of_the_code(message: str, messages: list[str]) -> None:
    parts = [re.escape(part.strip()) for part in message.split("…") if part.strip()]
    pattern = re.compile(".*".join(parts), flags=re.DOTALL)
    assert any(pattern.search(text) for text in messages)
