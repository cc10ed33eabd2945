"""Pictures of one scan, looked at pixel by pixel."""

import itertools
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray
from PIL import Image

from aunet.attention.panels import LevelCoefficients, MapPixels, show_level
from aunet.attention.picture import AttentionPicture
from aunet.classes import Labels
from aunet.data.io.pictures import PICTURE_AFFINE
from aunet.reporting.pictures.panels import finish_panel, show_image
from aunet.reporting.pictures.pixels import save_image
from aunet.reporting.pictures.planes import (
    AxialView,
    LabelledScan,
    clearest_axial_index,
    clearest_view,
    in_ras_order,
    whole_window,
    window_around,
)
from aunet.reporting.pictures.prediction import prediction_picture
from aunet.reporting.pictures.sheet import Margins, panel_sheet

LABELS = Labels(("background", "pancreas", "spleen"))
NO_MARGINS = Margins(0, 0, 0, 0)


def made_up_scan(
    shape: tuple[int, int, int] = (20, 16, 8), spacing: tuple[float, float, float] = (2.0, 2.0, 5.0)
) -> LabelledScan:
    image = np.random.default_rng(0).normal(size=shape)
    label = np.zeros(shape, dtype=np.uint8)
    label[4:10, 4:9, 2:6] = 2
    label[12:15, 9:11, 4:6] = 1
    return LabelledScan(image, label, spacing)


def made_up_levels(scan: LabelledScan, num_maps: int = 2) -> list[LevelCoefficients]:
    random = np.random.default_rng(1)
    shape = np.array(scan.image.shape)
    return [
        LevelCoefficients(level, random.uniform(size=(num_maps, *-(-shape // size))), (size,) * 3)
        for level, size in ((2, 2), (3, 4), (4, 8))
    ]


def pixels_of_one_panel(draw, inches: tuple[float, float]) -> NDArray[np.uint8]:
    sheet = panel_sheet(1, 1, inches, NO_MARGINS)
    draw(sheet.panels[0][0])
    canvas = FigureCanvasAgg(sheet.figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def near(pixels: NDArray[np.uint8], color: str, tolerance: int = 60) -> int:
    wanted = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)])
    return int((np.abs(pixels.astype(int) - wanted).max(axis=-1) < tolerance).sum())


def test_clearest_plane_is_not_outvoted_by_a_large_organ() -> None:
    label = np.zeros((12, 12, 6), dtype=np.uint8)
    label[:10, :10, 1] = 2  # the spleen's largest section, without the pancreas
    label[:9, :10, 4] = 2  # 0.9 of it, with all of the pancreas
    label[11, :3, 4] = 1
    assert clearest_axial_index(label) == 4


def test_clearest_plane_without_foreground_is_the_middle() -> None:
    assert clearest_axial_index(np.zeros((3, 3, 7), dtype=np.uint8)) == 3


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (-1, -1, 1)])
def test_ras_order_agrees_with_nibabel(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    array = np.arange(24).reshape(2, 3, 4)
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[list(order)] * np.array(signs) * np.array([0.5, 2.0, 3.0])
    turned, spacing = in_ras_order(array, affine)
    canonical = nibabel.as_closest_canonical(nibabel.Nifti1Image(array.astype(np.int16), affine))
    assert aff2axcodes(canonical.affine) == ("R", "A", "S")
    np.testing.assert_array_equal(turned, np.asarray(canonical.dataobj))
    np.testing.assert_allclose(spacing, canonical.header.get_zooms())


def test_right_front_of_the_patient_is_top_left_of_the_picture() -> None:
    image = np.zeros((10, 10, 1))
    image[8:, 8:] = 1.0
    scan = LabelledScan(image, np.zeros(image.shape, dtype=np.uint8), (1.0, 1.0, 1.0))
    view = clearest_view(scan, intensities=(0.0, 1.0))

    def draw(axes) -> None:
        show_image(axes, view)
        finish_panel(axes, whole_window(scan))

    pixels = pixels_of_one_panel(draw, (1.0, 1.0))
    size = len(pixels) // 2
    assert pixels[:size, :size].max() > 200
    assert max(pixels[size:].max(), pixels[:, size:].max()) < 60


@pytest.mark.parametrize("is_in_pixels", [False, True])
def test_each_cell_of_coefficients_lies_over_its_voxels(is_in_pixels: bool) -> None:
    scan = LabelledScan(np.zeros((20, 20, 4)), np.zeros((20, 20, 4), dtype=np.uint8), (1.0, 1.0, 1.0))
    values = np.zeros((1, 6, 6, 2))
    values[0, 1, 4] = 1.0
    level = LevelCoefficients(3, values, (4.0, 4.0, 4.0), (-2.0, -2.0, -2.0))

    view = clearest_view(scan, intensities=(0.0, 1.0))

    def draw(axes) -> None:
        show_level(axes, view, level, 0)
        finish_panel(axes, whole_window(scan))

    if is_in_pixels:
        warmth = MapPixels(view, LABELS, (200, 200), 100, line_width=0.8).level(level, 0)[..., 0]
    else:
        warmth = pixels_of_one_panel(draw, (2.0, 2.0))[..., 0].astype(float)
    rows, columns = np.nonzero(warmth > (warmth.max() + warmth.min()) / 2)
    voxels_per_pixel = 20 / len(warmth)
    # Cell 1 covers voxels 2 to 6 of axis 0 (right to the left), cell 4 voxels 14 to 18 of axis 1 (front up).
    assert 20 - (columns.mean() + 0.5) * voxels_per_pixel == pytest.approx(4.0, abs=0.2)
    assert 20 - (rows.mean() + 0.5) * voxels_per_pixel == pytest.approx(16.0, abs=0.2)


@pytest.mark.parametrize(("index", "cell"), [(0, 0), (1, 1), (4, 1), (5, 2), (9, 2)])
def test_plane_of_coefficients_is_the_cell_around_the_slice(index: int, cell: int) -> None:
    values = np.broadcast_to(np.arange(3.0), (1, 1, 1, 3))
    level = LevelCoefficients(3, values, (4.0, 4.0, 4.0), (0.0, 0.0, -3.0))  # cells end at voxels 1, 5, 9
    assert level.axial_plane(index).item() == cell


def test_window_holds_the_organ_its_margin_and_the_proportions_of_the_plane() -> None:
    scan = made_up_scan((60, 40, 4))
    mask = np.zeros((60, 40), dtype=bool)
    mask[50:58, 20:24] = True
    window = window_around(mask, scan, margin=6.0)
    assert window.top - window.bottom == pytest.approx(20.0)  # 4 voxels of 2 mm and twice 6 mm
    assert (window.right - window.left) / (window.top - window.bottom) == pytest.approx(60 / 40)
    assert window.left <= 94.0
    assert window.right == pytest.approx(120.0)  # moved to stay within the plane


def test_panels_have_the_proportions_of_the_patient(tmp_path: Path) -> None:
    wide, tall = tmp_path / "wide.png", tmp_path / "tall.png"
    for path, spacing in ((wide, (4.0, 2.0, 1.0)), (tall, (1.0, 4.0, 1.0))):
        scan = made_up_scan(spacing=spacing)
        prediction_picture(scan.image, scan.label, scan.label, scan.spacing, LABELS, path)
    margins = 0.82 * 150  # inches above and below the panels
    sizes = [size_of(path) for path in (wide, tall)]
    assert (sizes[0][1] - margins) / (sizes[0][0] / 4) == pytest.approx(16 * 2 / (20 * 4), rel=0.1)
    assert (sizes[1][1] - margins) / (sizes[1][0] / 4) == pytest.approx(16 * 4 / (20 * 1), rel=0.2)


@pytest.mark.parametrize("is_relative", [False, True])
def test_attention_picture_is_equal_for_equal_input_and_carries_no_text(tmp_path: Path, is_relative: bool) -> None:
    scan = made_up_scan()
    paths = [tmp_path / "first.png", tmp_path / "second.png"]
    for path in paths:
        picture = AttentionPicture(scan, LABELS, is_relative=is_relative)
        save_image(picture.draw(made_up_levels(scan), "case_1").image, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with Image.open(paths[0]) as image:
        assert set(image.info) <= {"dpi"}


def test_attention_picture_has_a_row_for_each_gate() -> None:
    scan = made_up_scan()
    pictures = [AttentionPicture(scan, LABELS).draw(made_up_levels(scan, num_maps)) for num_maps in (1, 2)]
    heights = [picture.image.height for picture in pictures]
    assert heights[1] - heights[0] == pytest.approx(110 * (2.3 * 16 / 20 + 0.05), abs=2)


@pytest.mark.parametrize("is_relative", [False, True])
def test_a_picture_of_one_epoch_does_not_depend_on_those_drawn_before(is_relative: bool) -> None:
    scan = made_up_scan()
    levels = made_up_levels(scan)
    others = [replace(level, values=level.values**4) for level in levels]
    repeated = AttentionPicture(scan, LABELS, is_relative=is_relative)
    repeated.draw(others, "epoch 0")
    drawn, alone = (
        picture.draw(levels, "epoch 1")
        for picture in (repeated, AttentionPicture(scan, LABELS, is_relative=is_relative))
    )
    assert drawn.image == alone.image
    assert drawn.columns == alone.columns
    assert drawn.image != repeated.draw(others, "epoch 1").image


def test_prediction_picture_shows_what_was_missed_and_invented(tmp_path: Path) -> None:
    scan = made_up_scan()
    empty = np.zeros_like(scan.label)
    counts: list[tuple[int, int]] = []
    for label, prediction in ((scan.label, scan.label), (scan.label, empty), (empty, scan.label)):
        prediction_picture(scan.image, label, prediction, scan.spacing, LABELS, tmp_path / "case.png")
        with Image.open(tmp_path / "case.png") as picture:
            pixels = np.asarray(picture.convert("RGB"))
        counts.append((near(pixels, "#FF3B7F"), near(pixels, "#2E9BFF")))
    (missed_in_legend, invented_in_legend), (missed, _), (_, invented) = counts
    assert missed > missed_in_legend + 1000
    assert invented > invented_in_legend + 1000
    assert counts[1][1] < counts[2][1]


def test_a_picture_is_drawn_as_it_lies_in_its_file() -> None:
    pixels = np.zeros((4, 6, 1), np.uint8)
    pixels[0, 0], pixels[0, -1] = 200, 100  # top left, top right
    array, spacing = in_ras_order(pixels, PICTURE_AFFINE)
    scan = LabelledScan(array.astype(np.float32), np.zeros_like(array), spacing)

    def draw(axes) -> None:
        show_image(axes, AxialView(scan, 0, (0.0, 200.0)))
        finish_panel(axes, whole_window(scan))

    seen = pixels_of_one_panel(draw, (3, 2))[..., 0]
    corners = seen[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.tolist() == pytest.approx([255, 127, 0, 0], abs=2)


def test_sides_are_marked_on_scans_and_not_on_pictures(tmp_path: Path) -> None:
    num_white: dict[int, int] = {}
    for depth in (1, 2):
        image, label = np.zeros((20, 16, depth), np.float32), np.ones((20, 16, depth), np.uint8)
        prediction_picture(image, label, label, (1.0, 1.0, 1.0), LABELS, tmp_path / "a.png")
        with Image.open(tmp_path / "a.png") as picture:
            pixels = np.asarray(picture.convert("RGB"))
        middle = pixels.shape[0] // 2  # the row of R and L
        num_white[depth] = near(pixels[middle - 10 : middle + 10], "#FFFFFF", 20)
    assert num_white[2] > num_white[1] + 20
