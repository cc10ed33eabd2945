"""Parts cut from chunks equal those numpy cuts from the array; damage is reported before use."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aunet.data.store import chunked_array
from aunet.data.store.chunked_array import ChunkedArray, DamagedArrayError, write_chunked


def noise(shape: tuple[int, ...], dtype: str) -> NDArray[np.generic]:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


@pytest.fixture
def volume(tmp_path: Path) -> tuple[Path, NDArray[np.generic]]:
    """Two channels of a volume that is not a multiple of the chunk, as read and as a file."""
    array = noise((2, 70, 33, 40), "float16")
    write_chunked(tmp_path / "image.chunks", array, spatial_dims=3)
    return tmp_path / "image.chunks", array


def whole(path: Path) -> np.ndarray:
    stored = ChunkedArray(path)
    return stored.cut([0] * len(stored.shape), stored.shape)


def test_a_whole_array_comes_back_as_it_was(volume: tuple[Path, NDArray[np.generic]]) -> None:
    path, array = volume
    back = whole(path)
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


@pytest.mark.parametrize("seed", range(20))
def test_a_cut_is_numpys_with_zeros_around(volume: tuple[Path, NDArray[np.generic]], seed: int) -> None:
    path, array = volume
    draw = np.random.default_rng(seed)
    start, size = draw.integers(-40, 80, 3), draw.integers(1, 60, 3)
    padded = np.pad(array, [(0, 0), *[(150, 150)] * 3])
    inside = tuple(slice(150 + first, 150 + first + length) for first, length in zip(start, size, strict=True))
    assert np.array_equal(ChunkedArray(path).cut([0, *start], [2, *size]), padded[:, *inside])


@pytest.mark.parametrize(("shape", "spatial_dims"), [((300, 200), 2), ((3, 190, 181), 2), ((1, 90, 200, 1), 3)])
def test_pictures_are_stored_as_volumes_are(tmp_path: Path, shape: tuple[int, ...], spatial_dims: int) -> None:
    array = noise(shape, "uint8")
    write_chunked(tmp_path / "picture", array, spatial_dims)
    assert np.array_equal(whole(tmp_path / "picture"), array)


def test_smooth_data_take_less_room_than_in_memory(tmp_path: Path) -> None:
    array = np.zeros((64, 64, 64), np.uint8)
    array[20:40] = 1
    write_chunked(tmp_path / "label", array, 3)
    assert (tmp_path / "label").stat().st_size < array.nbytes / 100


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("place", [0, 20, 200])
def test_a_changed_bit_in_the_frame_is_reported_on_opening(
    volume: tuple[Path, NDArray[np.generic]], place: int
) -> None:
    flip(volume[0], place)
    with pytest.raises(DamagedArrayError, match=r"image\.chunks is damaged"):
        ChunkedArray(volume[0])


@pytest.mark.parametrize("length", [0, 10, 100, 5000, -1])
def test_a_file_cut_short_is_reported_on_opening(volume: tuple[Path, NDArray[np.generic]], length: int) -> None:
    volume[0].write_bytes(volume[0].read_bytes()[:length])
    with pytest.raises(DamagedArrayError, match=r"image\.chunks"):
        ChunkedArray(volume[0])


def test_a_changed_bit_in_a_chunk_is_reported_by_its_reader_and_by_verify(
    volume: tuple[Path, NDArray[np.generic]],
) -> None:
    path, array = volume
    flip(path, -1)
    stored = ChunkedArray(path)
    assert np.array_equal(stored.cut((0, 0, 0, 0), (1, 9, 9, 9)), array[:1, :9, :9, :9])
    with pytest.raises(DamagedArrayError, match="does not have its checksum"):
        stored.cut((1, 69, 32, 39), (1, 1, 1, 1))
    with pytest.raises(DamagedArrayError, match="does not have its checksum"):
        stored.verify()


def test_a_chunk_that_would_unpack_beyond_its_place_is_refused(
    volume: tuple[Path, NDArray[np.generic]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, array = volume
    pack = chunked_array._pack
    monkeypatch.setattr(chunked_array, "_pack", lambda chunk, **how: pack(np.zeros(10**6, np.float16), **how))
    write_chunked(path, array, 3)
    with pytest.raises(DamagedArrayError, match="another size"):
        whole(path)


class Payload:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(pickle.dumps(Payload(tmp_path / "touched")))
    with pytest.raises(DamagedArrayError, match="does not begin as such a file does"):
        ChunkedArray(tmp_path / "bad")
    assert not (tmp_path / "touched").exists()
