"""Runs whose pictures and curves are blank: drawing takes most of the time of a small run, and few tests look at it."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aunet.attention.picture import DrawnPicture
from aunet.files import replaced_atomically
from aunet.inference.coefficients import LevelCoefficients
from aunet.reporting.pictures.planes import LabelledScan

_SVG = '<svg xmlns="http://www.w3.org/2000/svg"/>'
_BLANK = Image.new("RGB", (600, 200), "white")


@contextmanager
def blank_pictures() -> Generator[None]:
    """Write white pictures and empty curves instead of drawing; where and when files are written stays the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", _save_blank)
        patch.setattr("aunet.attention.recorder.AttentionPicture", _BlankPicture)
        patch.setattr("aunet.attention.recorder.attention_film", _blank_film)
        patch.setattr("aunet.evaluation.test_scores.prediction_picture", _blank_prediction)
        for curves in ("attention_curves", "training_curves"):
            patch.setattr(f"aunet.reporting.report.{curves}", _blank_curves)
        yield


def _save_blank(figure: object, file: Path, **settings: Any) -> None:
    _BLANK.save(file, format=settings["format"].upper())


class _BlankPicture:
    def __init__(self, *arguments: object, **words: object) -> None:
        pass

    def draw(self, levels: Sequence[LevelCoefficients], title: str) -> DrawnPicture:
        return DrawnPicture(_BLANK, {level.level: [(0.0, 0.0, 1.0, 1.0)] for level in levels})


def _blank_film(scan: LabelledScan, frames: object, labels: object, path: Path, **words: Any) -> None:
    _write_blank(path)


def _blank_prediction(image: object, label: object, prediction: object, *rest: Any, **words: Any) -> None:
    _write_blank(rest[-1])


def _write_blank(path: Path) -> None:
    with replaced_atomically(path) as temporary:
        _BLANK.save(temporary, format="PNG")


def _blank_curves(*arguments: object) -> str:
    return _SVG
