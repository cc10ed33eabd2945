"""Runs whose pictures and curves are blank: drawing takes half the time of a small run, and few tests look at it."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

_SVG = '<svg xmlns="http://www.w3.org/2000/svg"/>'


@contextmanager
def blank_pictures() -> Generator[None]:
    """Write white pictures and empty curves instead of drawing; where and when files are written stays the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", _save_blank)
        for curves in ("attention_curves", "training_curves"):
            patch.setattr(f"aunet.reporting.report.{curves}", _blank_curves)
        yield


def _save_blank(figure: object, file: Path, **settings: Any) -> None:
    Image.new("RGB", (600, 200), "white").save(file, format=settings["format"].upper())


def _blank_curves(*arguments: object) -> str:
    return _SVG
