"""The process that draws a comparison's figures, and drawing without it."""

import shutil
import sys
from pathlib import Path
from unittest.mock import Mock

import pandas as pd
import pytest

from aunet.pipeline import comparison_pictures
from aunet.pipeline.drawing import Drawing

_FIGURES = {Path("dots.png"): "Dice of each patient."}


@pytest.fixture
def drawn_here(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Stand-in for drawing in this process."""
    drawn = Mock(return_value=_FIGURES)
    monkeypatch.setattr(comparison_pictures, "write_figures", drawn)
    return drawn


def _begin(drawing: Drawing) -> None:
    drawing.begin([], pd.DataFrame(), pd.DataFrame(), Path("figures"), 0.02)


def test_a_single_core_draws_once_in_the_process_of_the_comparison(drawn_here: Mock) -> None:
    with Drawing(cores=1) as drawing:
        _begin(drawing)
        assert drawing.finish() == drawing.finish() == _FIGURES
    drawn_here.assert_called_once()


def test_the_comparison_draws_itself_if_the_process_dies(drawn_here: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with Drawing(cores=2) as drawing:
        _begin(drawing)
        assert drawing.finish() == _FIGURES
    drawn_here.assert_called_once()


def test_no_figures_are_drawn_if_none_are_wanted(drawn_here: Mock) -> None:
    with Drawing(is_wanted=False, cores=2) as drawing:
        _begin(drawing)
        assert not drawing.finish()
    drawn_here.assert_not_called()
