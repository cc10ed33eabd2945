"""Write docs/licences.md: each package that constraints.txt pins, with the licence that its own metadata state.

Run make docs after a change of constraints.txt, with every extra installed; a test fails until the page names each pin.
"""

import re
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "docs" / "licences.md"
INTRODUCTION = """# Licences of the packages that aunet uses

Written by `experiments/licences_page.py` from the metadata of the installed packages; aunet itself is Apache-2.0. Only
the packages of a plain `pip install aunet` are needed; the others come with extras. NVIDIA's libraries, which a CUDA
build of torch brings, have NVIDIA's own licence and are not listed.
"""
UNKNOWN = "not stated"
ABSENT = "not installed when this page was written: see its page on PyPI"
_LONGEST = 60


def pins() -> dict[str, str]:
    """Return name -> version of every pin, in the order of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def licence_of(package: PackageMetadata) -> str:
    """Return the licence by its SPDX expression, else by its classifiers, else by the first line of its text."""
    if expression := package.get("License-Expression"):
        return expression
    classifiers = [text for text in package.get_all("Classifier") or [] if text.startswith("License ::")]
    names = [text.rpartition(" :: ")[2] for text in classifiers if text != "License :: OSI Approved"]
    text = (package.get("License") or "").strip()
    first = text.splitlines()[0] if text else UNKNOWN
    return ", ".join(dict.fromkeys(names)) or re.sub(r"\s+", " ", first)[:_LONGEST]


def licences_page(earlier: str) -> str:
    """Return the page; a package that is not installed here keeps its row of the ``earlier`` page."""
    rows = dict(re.findall(r"^\| `(\S+)` \| (.+) \|$", earlier, re.MULTILINE))
    for name in pins():
        try:
            rows[name] = licence_of(metadata(name)).replace("|", "/")
        except PackageNotFoundError:
            rows.setdefault(name, ABSENT)
    table = "\n".join(f"| `{name}` | {rows[name]} |" for name in pins())
    return f"{INTRODUCTION}\n| package | licence |\n|---|---|\n{table}\n"


if __name__ == "__main__":
    FILE.write_text(licences_page(FILE.read_text(encoding="utf-8") if FILE.is_file() else ""), encoding="utf-8")
