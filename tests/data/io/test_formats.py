"""The registry of formats: one volume in every format is the same volume, and foreign formats are named."""

import bz2
import gzip
import io
import lzma
import sys
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
import SimpleITK
from PIL import Image
from volume_files import WRITERS, write_itk

from aunet.data.io import itk_images
from aunet.data.io.formats import FORMATS, files_of, stem
from aunet.data.io.volume import label_suffix, read_channels, read_grid, read_label, read_volume, write_label
from aunet.data.sources.folder import folder_cohort
from aunet.errors import UserError, is_disk_full
from aunet.export.label_formats import find_format
from aunet.inference.prediction_files import scan_files
from tests.data.geometries import GEOMETRIES

ARRAY = np.random.default_rng(0).integers(-1000, 1500, (5, 6, 7)).astype(np.int16)
LABEL = (ARRAY > 0).astype(np.uint8)


@pytest.mark.parametrize("geometry", ["flipped", "sagittal", "oblique"])
@pytest.mark.parametrize("name", WRITERS)
def test_formats_hold_one_and_the_same_volume(name: str, geometry: str, tmp_path: Path) -> None:
    affine = GEOMETRIES[geometry]
    path = WRITERS[name](tmp_path / name, ARRAY, affine)
    volume, (shape, read_affine) = read_volume(path), read_grid(path)
    turned = nibabel.as_closest_canonical(nibabel.Nifti1Image(volume.array, volume.affine))
    expected = nibabel.as_closest_canonical(nibabel.Nifti1Image(ARRAY.astype(np.float32), affine))
    assert np.array_equal(turned.get_fdata(), expected.get_fdata())
    assert np.allclose(turned.affine, expected.affine, atol=1e-4)
    assert shape == volume.shape
    assert np.array_equal(read_affine, volume.affine)


@pytest.mark.parametrize("geometry", ["flipped", "sagittal", "oblique"])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_formats_of_label_maps_keep_the_grid(suffix: str, geometry: str, tmp_path: Path) -> None:
    if suffix in (".nrrd", ".mha"):
        pytest.importorskip("SimpleITK")
    write_label(tmp_path / f"label{suffix}", LABEL, GEOMETRIES[geometry])
    label = read_label(tmp_path / f"label{suffix}")
    assert np.array_equal(label.array, LABEL)
    assert np.allclose(label.affine, GEOMETRIES[geometry], atol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == [f"label{suffix}"]


@pytest.mark.parametrize("label_name", ["scan.nii.gz", "scan.nrrd", "scan.mha", "scan"])
@pytest.mark.parametrize("name", WRITERS)
def test_formats_go_through_every_source_and_into_predictions(name: str, label_name: str, tmp_path: Path) -> None:
    affine = GEOMETRIES["rows from posterior to anterior"]
    for kind, file, array in (("images", name, ARRAY), ("labels", label_name, LABEL)):
        (tmp_path / kind).mkdir()
        WRITERS[file](tmp_path / kind / file, array, affine)
    (case,) = folder_cohort(str(tmp_path), "images", "labels", "ct", {"organ": 1}).cases
    assert case.case_id == "scan"
    (tmp_path / "cases.csv").write_text(f"case_id,image,label\nscan,images/{name},labels/{label_name}\n")
    (row,) = folder_cohort(str(tmp_path / "cases.csv"), "", "", "ct", {"organ": 1}).cases
    assert row.files == case.files
    (file,) = scan_files([tmp_path / "images" / name], tmp_path / "out")
    own = {".nrrd": ".nrrd", ".nhdr": ".nrrd", ".mha": ".mha", ".mhd": ".mha"}
    assert file.label_map.name == "scan" + own.get(Path(name).suffix, ".nii.gz")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_pair_that_is_named_by_its_voxels_is_read_through_its_header(suffix: str, tmp_path: Path) -> None:
    for kind, array in (("images", ARRAY), ("labels", LABEL)):
        (tmp_path / kind).mkdir()
        nibabel.save(nibabel.Nifti1Pair(array, GEOMETRIES["flipped"]), tmp_path / kind / f"scan.img{suffix}")
    image, label = (tmp_path / kind / f"scan.img{suffix}" for kind in ("images", "labels"))
    assert np.array_equal(read_volume(image).array, ARRAY)
    assert np.array_equal(read_label(label).array, LABEL)
    assert files_of(image) == [image.with_name(f"scan.hdr{suffix}"), image]
    (case,) = folder_cohort(str(tmp_path), f"images/*.img{suffix}", f"labels/*.img{suffix}", "ct", {"organ": 1}).cases
    assert (case.case_id, case.files[0].name) == ("scan", f"scan.hdr{suffix}")
    (file,) = scan_files([image, image.with_name(f"scan.hdr{suffix}")], tmp_path / "out")
    assert file.label_map == tmp_path / "out" / "scan.nii.gz"


def test_the_format_of_label_maps_can_be_asked_for() -> None:
    assert label_suffix(Path("scan.nii.gz"), ".nrrd") == ".nrrd"
    assert label_suffix(Path("scan.mha"), "nii.gz") == ".nii.gz"
    assert label_suffix(Path("cell.png"), ".nrrd") == ".png"
    with pytest.raises(UserError, match=r"\.npz.*known are \.nii\.gz"):
        label_suffix(Path("scan.mha"), ".npz")


def test_formats_of_many_channels_come_apart(tmp_path: Path) -> None:
    itk = pytest.importorskip("SimpleITK")
    array = np.random.default_rng(0).normal(size=(3, 4, 5, 2)).astype(np.float32)
    image = itk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0, 3)), isVector=True)
    itk.WriteImage(image, str(tmp_path / "a.nrrd"))
    first, second = read_channels(tmp_path / "a.nrrd")
    assert np.array_equal(first.array, array[..., 0])
    assert np.array_equal(second.array, array[..., 1])


@pytest.mark.parametrize("unit", ["um", "m", "cm"])
def test_header_facts_the_unit_of_nrrd_is_applied(unit: str, tmp_path: Path) -> None:
    pytest.importorskip("SimpleITK")
    factor = {"um": 1000.0, "m": 0.001, "cm": 0.1}[unit]
    header = (
        f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 3 4\nspace: left-posterior-superior\n"
        f"space directions: ({factor},0,0) (0,{factor},0) (0,0,{2 * factor})\n"
        f'space units: "{unit}" "{unit}" "{unit}"\nencoding: raw\n\n'
    )
    (tmp_path / "a.nrrd").write_bytes(header.encode() + bytes(24))
    assert read_volume(tmp_path / "a.nrrd").spacing == pytest.approx((1.0, 1.0, 2.0))
    (tmp_path / "b.nrrd").write_bytes(header.replace(f'"{unit}"', '"mm"', 1).encode() + bytes(24))
    with pytest.raises(UserError, match=rf"unit of length is (mm, {unit}|{unit}, mm);.*one for all axes"):
        read_volume(tmp_path / "b.nrrd")


SPACES = {
    "LPS": None,
    "right-anterior-superior": None,
    "las": None,
    "scanner-xyz": "its space is scanner-xyz, not one of a patient",
    "3D-right-handed": "its space is 3D-right-handed, not one of a patient",
    "": "its header has no space",
}


@pytest.mark.parametrize("space", SPACES)
def test_header_facts_a_space_of_nrrd_that_is_none_of_a_patient_is_reported_once(
    space: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("SimpleITK")
    line = f"space: {space}" if space else "space dimension: 3"
    header = f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 3 4\n{line}\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n"
    header += "space origin: (0,0,0)\n"
    (tmp_path / "a.nrrd").write_bytes(f"{header}encoding: raw\n\n".encode() + bytes(24))
    read_volume(tmp_path / "a.nrrd")
    said = SPACES[space]
    assert len(caplog.records) == (said is not None)
    assert said is None or f"a.nrrd: {said}" in caplog.text


@pytest.mark.parametrize("line", ["", "TransformMatrix = 1 0 0 0 1 0 0 0 1\n"])
def test_header_facts_a_metaimage_without_directions_is_reported(
    line: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("SimpleITK")
    header = f"ObjectType = Image\nNDims = 3\n{line}DimSize = 2 3 4\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    (tmp_path / "a.mha").write_bytes(header.encode() + bytes(24))
    read_volume(tmp_path / "a.mha")
    assert ("TransformMatrix is not set; its axes are taken as LPS, a guess" in caplog.text) == (not line)


@pytest.mark.parametrize(("name", "line"), [("a.nhdr", "data file: {}"), ("a.mhd", "ElementDataFile = {}")])
@pytest.mark.parametrize("target", ["../secret.raw", "/etc/passwd", "LIST", "slice%03d.raw"])
def test_a_detached_header_reads_nothing_outside_its_folder(name: str, line: str, target: str, tmp_path: Path) -> None:
    pytest.importorskip("SimpleITK")
    head = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 3 4\nencoding: raw\n"
    meta = "ObjectType = Image\nNDims = 3\nDimSize = 2 3 4\nElementType = MET_UCHAR\n"
    (tmp_path / name).write_text((head if name == "a.nhdr" else meta) + line.format(target) + "\n")
    with pytest.raises(UserError, match="only a single file in the same folder"):
        read_volume(tmp_path / name)


def test_a_detached_header_belongs_to_its_voxels(tmp_path: Path) -> None:
    write_itk(tmp_path / "a.mhd", ARRAY, np.eye(4))
    assert [path.name for path in files_of(tmp_path / "a.mhd")] == ["a.mhd", "a.raw"]
    with pytest.raises(UserError, match=r"a\.raw: the voxels of a\.mhd.*give a\.mhd"):
        read_volume(tmp_path / "a.raw")
    (tmp_path / "a.raw").unlink()
    with pytest.raises(UserError, match=r"a\.mhd: its voxels are in a\.raw, which is not there"):
        read_volume(tmp_path / "a.mhd")


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_itk(tmp_path / "a.nrrd", ARRAY, np.eye(4))
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(UserError, match=r"a\.nrrd: NRRD and MetaImage need SimpleITK: pip install 'aunet\[itk\]'"):
        read_volume(path)
    assert itk_images.NRRD in FORMATS
    for name in ("nrrd", ".MHA"):  # before hours of prediction
        with pytest.raises(UserError, match=f"--format {name}: NRRD and MetaImage need SimpleITK"):
            find_format(name)


def test_a_full_disk_is_one_although_itk_does_not_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*others: object, **named: object) -> None:
        raise RuntimeError("nrrdWrite: trouble")

    monkeypatch.setattr(SimpleITK, "WriteImage", write)
    with pytest.raises(UserError, match=r"a\.nrrd: cannot be written \(nrrdWrite: trouble\)"):
        write_label(tmp_path / "a.nrrd", LABEL, np.eye(4))
    monkeypatch.setattr(itk_images.shutil, "disk_usage", lambda folder: SimpleNamespace(free=LABEL.nbytes - 1))
    with pytest.raises(OSError) as found:
        write_label(tmp_path / "a.nrrd", LABEL, np.eye(4))
    assert is_disk_full(found.value)


@pytest.mark.parametrize("name", ["scan.nrrd", "scan.mha", "scan.mhd"])
def test_a_truncated_file_of_a_format_is_reported_as_damage(name: str, tmp_path: Path) -> None:
    path = write_itk(tmp_path / name, ARRAY, np.eye(4))
    voxels = files_of(path)[-1]
    voxels.write_bytes(voxels.read_bytes()[:-100])
    with pytest.raises(UserError, match=f"{name}.*truncated.*copy it again"):
        read_volume(path)


def test_a_header_of_more_voxels_than_its_file_holds_takes_no_memory(tmp_path: Path) -> None:
    pytest.importorskip("SimpleITK")
    header = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 30000 30000 30000\nencoding: gzip\n\n"
    (tmp_path / "a.nrrd").write_bytes(header.encode() + gzip.compress(bytes(100)))
    with pytest.raises(UserError, match=r"30000×30000×30000 voxels, more than its.*truncated"):
        read_volume(tmp_path / "a.nrrd")


def nifti_bytes() -> bytes:
    return nibabel.Nifti1Image(ARRAY, np.eye(4)).to_bytes()


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("scan.nii", nifti_bytes())
    return stream.getvalue()


def tarred() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        info = tarfile.TarInfo("scan.nii")
        info.size = len(nifti_bytes())
        archive.addfile(info, io.BytesIO(nifti_bytes()))
    return stream.getvalue()


def numpy_bytes() -> bytes:
    stream = io.BytesIO()
    np.save(stream, ARRAY)
    return stream.getvalue()


def mgh_bytes() -> bytes:
    return nibabel.MGHImage(ARRAY, np.eye(4, dtype=np.float32)).to_bytes()


def gif_bytes() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(LABEL[:, :, 0]).save(stream, "GIF")
    return stream.getvalue()


FOREIGN = {
    "mgz": (lambda: gzip.compress(mgh_bytes()), "FreeSurfer MGH/MGZ.*mri_convert"),
    "mgh": (mgh_bytes, "FreeSurfer MGH/MGZ.*mri_convert"),
    "zip": (zipped, "ZIP.*Unpack"),
    "tar.gz": (tarred, "tar archive.*Unpack"),
    "bz2": (lambda: bz2.compress(nifti_bytes()), "bzip2.*bunzip2"),
    "xz": (lambda: lzma.compress(nifti_bytes()), "xz.*unxz"),
    "npy": (numpy_bytes, "NumPy.*NIfTI"),
    "h5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(500), "HDF5.*NIfTI"),
    "lfs": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "Git LFS.*git lfs pull"),
    "html": (lambda: b"<!DOCTYPE html><html>404</html>", "web page.*download it again"),
    "gif": (gif_bytes, "GIF.*PNG"),
    "vti": (lambda: b'<?xml version="1.0"?>\n<VTKFile type="ImageData">', "VTK file.*NIfTI"),
    "mif": (lambda: b"mrtrix image\ndim: 3,4,5\n", "MRtrix.*mrconvert"),
    "par": (lambda: b"# === DATA DESCRIPTION FILE ===\n", "PAR/REC.*parrec2nii"),
    "mp4": (lambda: b"\0\0\0\x18ftypmp42" + bytes(500), "a video.*frames"),
    "heic": (lambda: b"\0\0\0\x18ftypheic" + bytes(500), "HEIF.*PNG"),
    "json": (lambda: b'{"error": "access denied"}', "plain text.*server's answer"),
    "csv": (lambda: b"case_id,image,label\r\n" * 100, "plain text.*editor"),
    "twice": (lambda: gzip.compress(gzip.compress(nifti_bytes())), "gzip twice.*gunzip"),
}


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", "", ".dcm", ".nrrd", ".own"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_wrong_format_is_named_with_its_remedy_whatever_the_name(kind: str, suffix: str, tmp_path: Path) -> None:
    content, said = FOREIGN[kind]
    (tmp_path / f"scan{suffix or '.' + kind}").write_bytes(content())
    with pytest.raises(UserError, match=said) as refusal:
        read_label(tmp_path / f"scan{suffix or '.' + kind}")
    assert "copy it again" not in str(refusal.value)


@pytest.mark.parametrize("name", ["scan.nii", "SCAN.NII.GZ", "scan.Nii.gz", "scan.nii.gz", "scan"])
@pytest.mark.parametrize("is_compressed", [True, False])
def test_a_wrong_format_compression_is_known_by_content_and_suffixes_in_any_case(
    name: str, is_compressed: bool, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(gzip.compress(nifti_bytes()) if is_compressed else nifti_bytes())
    assert np.array_equal(read_volume(tmp_path / name).array, ARRAY)
    assert stem(tmp_path / name).lower() == "scan"


@pytest.mark.parametrize(("name", "said"), [("scan.nii.gz", "NRRD.*ends in .nrrd"), ("scan.mha", "NRRD.*ends in")])
def test_a_wrong_format_that_is_readable_asks_for_another_name(name: str, said: str, tmp_path: Path) -> None:
    write_itk(tmp_path / "a.nrrd", ARRAY, np.eye(4)).rename(tmp_path / name)
    with pytest.raises(UserError, match=said):
        read_volume(tmp_path / name)


@pytest.mark.parametrize(("kind", "ending"), [("TIFF", ".tif"), ("PNG", ".png"), ("JPEG", ".jpg")])
def test_a_wrong_format_picture_asks_for_the_name_of_its_kind(kind: str, ending: str, tmp_path: Path) -> None:
    Image.fromarray(LABEL[:, :, 0]).save(tmp_path / "scan.nii", kind)
    with pytest.raises(UserError, match=f"named as NIfTI. Rename it so that it ends in {ending}"):
        read_volume(tmp_path / "scan.nii")


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nrrd", "scan.png", "scan.dcm", "scan"])
def test_a_file_of_no_bytes_is_named_as_empty(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=f"{name}: an empty file"):
        read_volume(tmp_path / name)


def test_a_wrong_format_analyze_is_named(tmp_path: Path) -> None:
    nibabel.AnalyzeImage(ARRAY, np.eye(4)).to_filename(tmp_path / "a.hdr")
    with pytest.raises(UserError, match=r"Analyze 7\.5.*Convert"):
        read_volume(tmp_path / "a.hdr")


def test_a_wrong_format_jpeg_of_12_bits_is_named(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(LABEL[:, :, 0] * np.uint8(255)).save(stream, "JPEG")
    content = bytearray(stream.getvalue())
    content[content.index(b"\xff\xc0") + 4] = 12
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(UserError, match=r"JPEG of 12 bits.*PNG or TIFF"):
        read_volume(tmp_path / "a.jpg")


@pytest.mark.parametrize("is_grey", [True, False])
def test_formats_of_pictures_include_jpeg(is_grey: bool, tmp_path: Path) -> None:
    array = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (16, 1))
    picture = Image.fromarray(array if is_grey else np.stack([array] * 3, -1))
    picture.save(tmp_path / "a.JPG", "JPEG", quality=95)
    channels = read_channels(tmp_path / "a.JPG")
    assert [channel.shape for channel in channels] == [(16, 24, 1)] * (1 if is_grey else 3)
    assert np.abs(channels[0].array[..., 0] - array).max() < 8
