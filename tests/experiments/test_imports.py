"""Every script under experiments/ names what the package has: nobody runs a benchmark on each commit."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "experiments").rglob("*.py"))


def imported_names(script: Path) -> Iterator[tuple[str, str]]:
    """Yield module and name of each ``from aunet… import name``."""
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "aunet":
            yield from ((node.module or "", alias.name) for alias in node.names)


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.name for script in SCRIPTS])
def test_what_a_script_imports_from_the_package_exists(script: Path) -> None:
    missing = [f"{module}.{name}" for module, name in imported_names(script) if not exists(module, name)]
    assert missing == []


def exists(module: str, name: str) -> bool:
    if hasattr(importlib.import_module(module), name):
        return True
    try:
        importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return False
    return True
