"""Panels of pixels: planes resampled to them, and drawings over them."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch.nn import functional

from aunet.classes import Labels
from aunet.reporting.pictures.panels import finish_panel, show_contours, show_image
from aunet.reporting.pictures.pixels import FilledSheet, Layer, contour_drawing, image_pixels, rendered, resampled
from aunet.reporting.pictures.planes import AxialView, LabelledScan, whole_window
from aunet.reporting.pictures.sheet import panel_sheet

LABELS = Labels(("background", "organ"))


def made_up_view() -> AxialView:
    """Return a smooth image, so that the rules of interpolation hardly differ, with an organ off its centre."""
    right, front = np.meshgrid(np.linspace(0, 3, 40), np.linspace(0, 2, 30), indexing="ij")
    label = np.zeros((40, 30, 1), np.uint8)
    label[5:15, 18:26] = 1
    return AxialView(LabelledScan((np.sin(right) + front)[..., None], label, (2.0, 3.0, 5.0)), 0, (-1.0, 3.0))


def test_larger_panels_are_interpolated_as_torch_does() -> None:
    plane = np.random.default_rng(0).normal(size=(7, 5))
    expected = functional.interpolate(torch.from_numpy(plane.T)[None, None], size=(40, 30), mode="bilinear")[0, 0]
    assert resampled(plane, (0, 7), (0, 5), (30, 40)) == pytest.approx(expected.numpy(), abs=1e-6)


def test_smaller_panels_take_the_mean_of_what_a_pixel_covers() -> None:
    plane = np.indices((64, 64)).sum(axis=0) % 2 * 1.0
    assert resampled(plane, (0, 64), (0, 64), (16, 16)) == pytest.approx(np.full((16, 16), 0.5), abs=0.01)


def test_edges_in_reverse_order_turn_the_plane() -> None:
    plane = np.random.default_rng(0).normal(size=(6, 4))
    turned = resampled(plane, (6, 0), (4, 0), (6, 4))
    assert turned == pytest.approx(plane.T[::-1, ::-1], abs=1e-6)


def test_the_outermost_cell_continues_beyond_the_plane() -> None:
    plane = np.array([[1.0, 1.0], [3.0, 3.0]])
    assert resampled(plane, (-2, 4), (0, 2), (6, 1))[0] == pytest.approx([1, 1, 1, 3, 3, 3])


def test_a_panel_of_pixels_looks_as_matplotlib_draws_it() -> None:
    view = made_up_view()
    sheet = panel_sheet(1, 1, (2.0, 2.25))
    axes = sheet.panels[0][0]
    finish_panel(axes, whole_window(view.scan), has_marks=True)
    filled = FilledSheet(sheet, 100)
    size = filled.panel_size
    panel = Layer(contour_drawing(view, LABELS, size, 100)).over(image_pixels(view, size))
    ours = np.asarray(filled.fill({(0, 0): panel}), float)
    show_image(axes, view)
    show_contours(axes, view, view.label, LABELS)
    theirs = np.asarray(rendered(sheet.figure, 100), float)
    drawn = theirs[..., :3] * theirs[..., 3:] / 255 + 255 - theirs[..., 3:]
    assert ours.shape == drawn.shape
    assert np.abs(ours - drawn).mean() < 2
    assert drawn.std() > 40


def test_a_layer_covers_what_it_paints_and_leaves_the_rest() -> None:
    figure = Figure(figsize=(1.0, 0.5))
    figure.add_axes((0.0, 0.0, 0.5, 1.0)).set_facecolor("red")
    pixels = Layer(rendered(figure, 20)).over(np.full((10, 20, 3), 0.25, np.float32))
    assert pixels[5, 5] == pytest.approx([1, 0, 0])
    assert pixels[5, 15] == pytest.approx([0.25] * 3)
