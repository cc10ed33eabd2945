"""PNG and TIFF as volumes, judged by arrays written with Pillow and by bytes written by hand."""

import contextlib
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pictures import save_picture
from PIL import Image

from aunet.data.io.pictures import PICTURE_AFFINE, num_picture_channels, picture_shape
from aunet.data.io.volume import read_channels, read_grid, read_label, read_volume, stem, write_label
from aunet.errors import UserError
from aunet.reporting.pictures.planes import in_ras_order

ROWS, COLUMNS = 5, 7


def numbered(dtype: type[np.generic] = np.uint8) -> NDArray[np.generic]:
    return np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS).astype(dtype)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("a.png", np.uint8), ("a.PNG", np.uint16), ("a.tif", np.uint16), ("a.tiff", np.float32), ("a.tiff", np.uint8)],
)
def test_a_grey_picture_is_a_volume_one_voxel_thick_with_its_rows_first(
    name: str, dtype: type[np.generic], tmp_path: Path
) -> None:
    values = numbered(dtype) * dtype(500 if dtype != np.uint8 else 7)
    path = save_picture(tmp_path / name, values)
    volume = read_volume(path)
    assert volume.array.dtype == np.float32
    assert np.array_equal(volume.array[..., 0], values)
    assert volume.spacing == (1.0, 1.0, 1.0)
    assert read_grid(path)[0] == picture_shape(path) == (ROWS, COLUMNS, 1)
    assert np.array_equal(read_grid(path)[1], volume.affine)
    assert stem(path) == "a"


def test_columns_run_to_the_left_and_rows_to_the_back_as_reports_show_them() -> None:
    array, spacing = in_ras_order(numbered()[..., None], PICTURE_AFFINE)
    # A report draws axis 0 from right to left and axis 1 from top to bottom: flipped, and row by row.
    assert np.array_equal(array[::-1, ::-1, 0].T, numbered())
    assert spacing == (1.0, 1.0, 1.0)


def test_colours_are_three_channels(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (ROWS, COLUMNS, 3), np.uint8)
    path = save_picture(tmp_path / "a.png", colours)
    channels = read_channels(path)
    assert num_picture_channels(path) == len(channels) == 3
    assert np.array_equal(np.concatenate([channel.array for channel in channels], axis=2), colours)
    with pytest.raises(UserError, match="3 channels"):
        read_volume(path)


def test_colours_of_a_palette_are_read_in_images_and_its_indices_in_label_maps(tmp_path: Path) -> None:
    picture = Image.fromarray(numbered() % 3).convert("P")
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture.save(tmp_path / "a.png")
    red, _, blue = (channel.array[..., 0] for channel in read_channels(tmp_path / "a.png"))
    assert np.array_equal(red, 10 + 30 * (numbered() % 3))
    assert np.array_equal(blue, red + 20)
    assert np.array_equal(read_label(tmp_path / "a.png").array[..., 0], numbered() % 3)


@pytest.mark.parametrize("num_channels", [1, 3])
def test_an_alpha_channel_that_hides_nothing_is_left_out(num_channels: int, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (ROWS, COLUMNS, num_channels + 1), np.uint8)
    values[..., -1] = 255
    channels = read_channels(save_picture(tmp_path / "a.png", values))
    assert np.array_equal(np.concatenate([channel.array for channel in channels], axis=2), values[..., :-1])
    values[2, 3, -1] = 254
    with pytest.raises(UserError, match="alpha channel hides pixels"):
        read_channels(save_picture(tmp_path / "b.png", values))


def test_a_label_map_is_written_pixel_by_pixel_and_read_back(tmp_path: Path) -> None:
    label = (numbered() % 5).astype(np.uint8)
    write_label(tmp_path / "a.png", label[..., None], PICTURE_AFFINE)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (COLUMNS, ROWS)
        assert picture.mode == "L"
        assert np.array_equal(np.asarray(picture), label)
    volume = read_label(tmp_path / "a.png")
    assert np.array_equal(volume.array[..., 0], label)
    assert volume.array.dtype == np.uint8


def test_masks_of_one_bit_and_of_16_bits_are_read_as_they_are(tmp_path: Path) -> None:
    is_inside = numbered() % 2 == 1
    assert np.array_equal(read_label(save_picture(tmp_path / "a.png", is_inside)).array[..., 0], is_inside)
    many = numbered(np.uint16) * np.uint16(1000)
    assert np.array_equal(read_label(save_picture(tmp_path / "b.png", many)).array[..., 0], many)


@pytest.mark.parametrize(
    ("name", "depth", "affine"),
    [("a.png", 2, PICTURE_AFFINE), ("a.png", 1, np.eye(4)), ("a.tif", 1, PICTURE_AFFINE)],
)
def test_only_the_label_map_of_a_picture_is_written_as_png(
    name: str, depth: int, affine: NDArray[np.float64], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"only PNG is written.*\.nii\.gz"):
        write_label(tmp_path / name, np.zeros((ROWS, COLUMNS, depth), np.uint8), affine)


def deep_colour_png() -> bytes:
    """RGB of 16 bits a channel, which Pillow does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress(b"".join(b"\0" + bytes(COLUMNS * 6) for _ in range(ROWS)))
    header = struct.pack(">IIBBBBB", COLUMNS, ROWS, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def several_pages(path: Path) -> None:
    page = Image.fromarray(numbered())
    page.save(path, save_all=True, append_images=[page])


def test_files_that_cannot_be_read_whole_are_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "deep.png").write_bytes(deep_colour_png())
    several_pages(tmp_path / "pages.tif")
    Image.new("CMYK", (COLUMNS, ROWS)).save(tmp_path / "ink.tif")
    save_picture(tmp_path / "whole.png", np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:2000])
    (tmp_path / "text.png").write_text("no picture")
    save_picture(tmp_path / "nan.tif", np.full((ROWS, COLUMNS), np.nan, np.float32))
    for name, reason in {
        "deep.png": "16 bits",
        "pages.tif": "several pages",
        "ink.tif": "CMYK",
        "cut.png": "not a readable PNG",
        "text.png": "plain text",
        "nan.tif": "NaN",
        "absent.png": "no such file",
    }.items():
        with pytest.raises(UserError, match=rf"{name}.*{reason}"):
            read_channels(tmp_path / name)


@pytest.mark.parametrize("mark", [3, 6, 8])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_header_facts_a_mark_of_orientation_is_reported_and_rows_are_read_as_stored(
    mark: int, suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored = np.repeat(np.arange(0, 240, 6, dtype=np.uint8)[:, None], 36, axis=1)
    exif = Image.Exif()
    exif[274] = mark
    Image.fromarray(stored).save(tmp_path / f"a{suffix}", exif=exif)
    array = read_volume(tmp_path / f"a{suffix}").array[..., 0]
    assert array.shape == stored.shape
    assert np.abs(array - stored).max() < 8
    (record,) = caplog.records
    assert f"EXIF: {mark}" in record.getMessage()


@pytest.mark.parametrize("mark", [2, 3, 6, 8])
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_header_facts_a_tiff_with_a_mark_of_orientation_is_refused(
    mark: int, compression: str | None, tmp_path: Path
) -> None:
    """Pillow turns some of them by itself, and scrambles others."""
    picture = Image.fromarray(np.zeros((40, 36), np.uint8))
    picture.save(tmp_path / "a.tif", tiffinfo={274: mark}, compression=compression)
    with pytest.raises(UserError, match=f"a.tif: its mark of orientation is {mark}.*without the mark"):
        read_volume(tmp_path / "a.tif")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # of Pillow
def test_header_facts_an_upright_mark_or_a_damaged_one_is_not_mentioned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    picture = Image.fromarray(np.zeros((8, 8), np.uint8))
    for number, exif in enumerate((b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x01\0\0", b"Exif\0\0no")):
        picture.save(tmp_path / f"{number}.jpg", exif=exif)
        read_volume(tmp_path / f"{number}.jpg")
    assert not caplog.records


def test_a_label_map_in_colour_or_of_fractions_is_refused(tmp_path: Path) -> None:
    save_picture(tmp_path / "colour.png", np.zeros((ROWS, COLUMNS, 3), np.uint8))
    save_picture(tmp_path / "share.tif", np.full((ROWS, COLUMNS), 0.5, np.float32))
    with pytest.raises(UserError, match=r"colour\.png: in colour"):
        read_label(tmp_path / "colour.png")
    with pytest.raises(UserError, match=r"share\.tif: a label map holds whole numbers"):
        read_label(tmp_path / "share.tif")


def test_a_header_with_more_pixels_than_the_file_can_hold_is_refused_before_memory_is_reserved(tmp_path: Path) -> None:
    path = tmp_path / "cell.png"
    Image.new("L", (9, 9)).save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = (9000).to_bytes(4, "big") + (9000).to_bytes(4, "big")
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)
    with pytest.raises(UserError, match="9000×9000 pixels, more than its"):
        read_volume(path)


@pytest.mark.parametrize("part", [b"IDAT", b"IEND"])
def test_a_png_part_that_claims_2_gib_reserves_no_more_memory_than_the_file_has(part: bytes, tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png", numbered())
    content = bytearray((tmp_path / "a.png").read_bytes())
    place = content.index(part) - 4
    content[place : place + 4] = struct.pack(">I", 2**31 - 1)
    (tmp_path / "a.png").write_bytes(content)
    tracemalloc.start()
    with contextlib.suppress(UserError):  # Pillow reads what there is of a picture that is whole
        read_channels(tmp_path / "a.png")
    assert tracemalloc.get_traced_memory()[1] < 2**27
    tracemalloc.stop()
