"""Damaged inputs of every kind that users meet: what is done to a sound dataset, and what must be said of it.

A kind is one line: of ``FAULTS`` where its case cannot be used, of ``WHOLE_DATASET`` where nothing can, of ``ODDITIES``
if it is reported but usable, of ``HARMLESS`` if it is used without a message.
"""

import shutil
from dataclasses import dataclass

import numpy as np

from tests.data.damage_acts import (
    Act,
    also,
    byte_flipped,
    copied,
    cut,
    described,
    elsewhere,
    emptied,
    first_entry,
    folder_in_place,
    goes_on,
    gone,
    header,
    holds,
    link,
    listed_twice,
    moved,
    pipe,
    renamed_everywhere,
    shifted,
    splits,
    stored_in,
    table,
    turned,
    unpacked,
    voxels,
    with_value,
)
from tests.data.dicom_damage_acts import (
    compressed_as_nothing_known,
    outlines_alone,
    renamed_folder,
    series_again,
    series_says,
    slice_says,
    tilted,
)
from tests.data.picture_damage_acts import picture, png_of, two_pages

IMAGE, LABEL = "images/case_0.nii.gz", "labels/case_0.nii.gz"
PICTURE, MASK = "images/cell_0.png", "labels/cell_0.png"
SLICE = "patient_0/3.dcm"
SPLEEN, PANCREAS = (f"s0000/segmentations/{organ}.nii.gz" for organ in ("spleen", "pancreas"))
RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


@dataclass(frozen=True)
class Damage:
    """A change of a sound dataset, and the message that it must cause.

    ``said`` is a pattern of what is wrong and what to do, ``names`` what names the case, by default its id, and
    ``left`` the cases that must stay usable, by default the others.
    """

    source: str
    act: Act
    said: str
    names: str | None = None
    left: tuple[str, ...] | None = None


FAULTS = {
    # Files that are not what their name says, or not whole.
    "an image of no bytes": Damage("folder", holds(IMAGE, b""), "an empty file.*Copy or export it again"),
    "a gzip file cut short": Damage("folder", cut(IMAGE, 0.6), "truncated.*copy it again"),
    "a gzip file cut in its header": Damage("folder", cut(IMAGE, 0.02), "truncated.*copy it again"),
    "a gzip file with a wrong byte": Damage("folder", byte_flipped(IMAGE, 700), "not a readable.*copy it again"),
    "a gzip file with a wrong checksum": Damage("folder", byte_flipped(IMAGE, -6), "CRC check failed.*copy it again"),
    "a gzip file with more behind it": Damage("folder", goes_on(IMAGE, b"more"), "Not a gzipped.*copy it again"),
    "a .nii file cut short": Damage("folder", unpacked(IMAGE, "images/case_0.nii", 0.7), "truncated.*copy it again"),
    "a text file named .nii.gz": Damage("folder", holds(IMAGE, b"no scan" * 99), "plain text.*Read it in an editor"),
    "a label map cut short": Damage("folder", cut(LABEL, 0.5), "labels/.*truncated.*copy it again"),
    "a folder in place of an image": Damage("folder", folder_in_place(IMAGE), "no DICOM file.*give"),
    "a folder in place of a label map": Damage(
        "folder", folder_in_place(LABEL), "labels/.*no DICOM file.*give|a folder, not a file; give"
    ),
    "a link to a file that is gone": Damage("folder", link(IMAGE, "/unmounted/a.nii.gz"), "leads to no file.*Put"),
    "a link to itself": Damage("folder", link(IMAGE, "case_0.nii.gz"), "leads to no file.*Put"),
    "a link to itself, listed": Damage("msd", link("imagesTr/ball_000.nii.gz", "ball_000.nii.gz"), "ball_000.*Put"),
    "a file whose disk fails": Damage("folder", link(IMAGE, "/proc/self/mem"), "Input/output error.*copy it again"),
    "a named pipe": Damage("folder", pipe(IMAGE), "no file. Put the file in its place"),
    # NIfTI headers that cannot be.
    "a wrong magic": Damage("folder", header(IMAGE, magic=b"abc"), "magic.*copy it again"),
    "more axes than there are": Damage("folder", header(IMAGE, dim__0=9), "not a readable.*copy it again"),
    "an axis of no voxels": Damage("folder", header(IMAGE, dim__2=0), r"\(12, 0, 6\).*three axes"),
    "an axis of fewer than none": Damage("folder", header(IMAGE, dim__2=-10), r"\(12, -10, 6\).*three axes"),
    "a type that is none": Damage("folder", header(IMAGE, datatype=77), "data code.*copy it again"),
    "a label map of a type that is none": Damage("folder", header(LABEL, datatype=77), "labels/.*data code.*copy"),
    "voxels that begin nowhere": Damage("folder", header(IMAGE, vox_offset=np.nan), "not a readable.*copy"),
    "voxels that begin behind the end": Damage("folder", header(IMAGE, vox_offset=1e9), "holds.*at most.*copy"),
    "a header of 30000 voxels a side": Damage(
        "folder", header(IMAGE, dim=[3, 30000, 30000, 30000, 1, 1, 1, 1]), "30000×30000×30000 voxels.*copy it again"
    ),
    "a header of 32767 channels": Damage(
        "folder", header(IMAGE, dim=[4, 12, 10, 6, 32767, 1, 1, 1]), "32767 voxels.*copy it again"
    ),
    "a scale without end": Damage("folder", header(IMAGE, scl_slope=1, scl_inter=np.inf), "intercept.*copy it again"),
    "an affine with NaN": Damage("folder", header(IMAGE, srow_x=np.nan), "not finite; repair"),
    "an affine without inverse": Damage("folder", header(IMAGE, srow_x=0), "no inverse.*repair"),
    "voxels a kilometre wide": Damage(
        "folder", moved(IMAGE, lambda affine: affine @ np.diag([1e6, 1e6, 1e6, 1])), "wide.*repair.*micrometres"
    ),
    "voxels of no size": Damage("folder", header(IMAGE, sform_code=0, pixdim__1=0), "pixdim.*Set the voxel size"),
    # Images that are not scans.
    "an image with NaN": Damage("folder", voxels(IMAGE, with_value(np.nan, np.float32)), "NaN.*replace"),
    "an image with an infinite voxel": Damage("folder", voxels(IMAGE, with_value(np.inf, np.float32)), "inf.*replace"),
    "complex voxels": Damage("folder", voxels(IMAGE, stored_in(np.complex64)), "complex64.*save each part"),
    "colours in NIfTI": Damage("folder", voxels(IMAGE, stored_in(RGB)), "RGB.*save each part"),
    "an image of two axes": Damage("folder", voxels(IMAGE, lambda array: array[:, :, 0]), "three axes"),
    "an image with a time axis": Damage(
        "folder", voxels(IMAGE, lambda array: np.stack([array, array], -1)), "2 channels, its dataset 1.*"
    ),
    "an image of five axes": Damage(
        "folder", voxels(IMAGE, lambda array: np.stack([[array] * 2] * 2).T), "three axes.*one file per channel"
    ),
    # Label maps that do not fit.
    "a label map of another shape": Damage("folder", voxels(LABEL, lambda array: array[:-1]), "(?s)shape.*Resample"),
    "a label map moved": Damage("folder", moved(LABEL, shifted), "5 mm apart.*Copy the image's affine"),
    "a label map turned": Damage("folder", moved(LABEL, turned), "mm apart.*Copy the image's affine"),
    "a label map of 0 and 255": Damage("folder", voxels(LABEL, lambda a: (a > 0) * np.uint8(255)), "255.*data.classes"),
    "a value without a class": Damage("folder", voxels(LABEL, with_value(9, np.uint8)), "values 9;.*data.other_labels"),
    "a value above 255": Damage("folder", voxels(LABEL, with_value(300, np.int16)), "values 300;.*data.classes"),
    "a negative value": Damage("folder", voxels(LABEL, with_value(-1, np.int16)), "values -1;.*data.classes"),
    "fractions in a label map": Damage("folder", voxels(LABEL, with_value(0.5, np.float32)), "0.5 was found.*image or"),
    "NaN in a label map": Damage("folder", voxels(LABEL, with_value(np.nan, np.float32)), "nan was found.*image or"),
    "a label map with a time axis": Damage(
        "folder", voxels(LABEL, lambda array: np.stack([array, array], -1)), "labels/.*three axes.*one file"
    ),
    "complex numbers in a label map": Damage("folder", voxels(LABEL, stored_in(np.complex64)), "complex64.*save"),
    "no label map": Damage("folder", gone(LABEL), "no label map.*add it or move"),
    "no label map, in the layout of scans": Damage("ct150", gone(LABEL), "(?s)no label map.*add it or move"),
    # Cases that are not whole, or there twice.
    "a scan as .nii and as .nii.gz": Damage("folder", copied(IMAGE, "images/case_0.nii"), "both of case.*keep one"),
    "a label map as .nii and as .nii.gz": Damage("ct150", copied(LABEL, "labels/case_0.nii"), "both of.*keep one"),
    "a channel missing": Damage("channels", gone("images/case_0_0001.nii.gz"), "lacks channel 1 of 2.*looked for"),
    "channels on different grids": Damage(
        "channels", moved("images/case_0_0001.nii.gz", shifted), "5 mm apart.*Copy the image's affine"
    ),
    "channels of different shapes": Damage(
        "channels", voxels("images/case_0_0001.nii.gz", lambda array: array[:-1]), "shape.*Resample"
    ),
    # dataset.json of the Decathlon and nnU-Net.
    "an absolute path in dataset.json": Damage(
        "msd", first_entry(image="/etc/passwd"), "/etc/passwd lies outside.*must stay inside", names="dataset.json"
    ),
    "a path out of the root in dataset.json": Damage(
        "msd", first_entry(image="../../etc/passwd"), "lies outside.*must stay inside", names="dataset.json"
    ),
    "a link out of the root": Damage("msd", link("imagesTr/ball_000.nii.gz", "/etc/passwd"), "lies outside.*stay"),
    "an entry without label": Damage("msd", first_entry(label=None), "'training' lists.*needs.*'label'"),
    "an entry that is not a path": Damage("msd", first_entry(image=7), "7 is not a path", names="dataset.json"),
    "a file that is listed but not there": Damage("msd", gone("labelsTr/ball_000.nii.gz"), "not there. Unpack"),
    "a case listed twice": Damage(
        "msd", listed_twice, "appears twice.*Give", left=("ball_000", "ball_001", "ball_002", "ball_003")
    ),
    "an nnU-Net image without its number": Damage(
        "nnunet",
        lambda root: (root / "imagesTr" / "ball 000_0000.nii.gz").rename(root / "imagesTr" / "ball 000.nii.gz"),
        "has no channel number.*rename it",
    ),
    "an nnU-Net label map missing": Damage("nnunet", gone("labelsTr/ball 000.nii.gz"), "no file. Put"),
    # A mask an organ.
    "a mask of several values": Damage(
        "totalsegmentator",
        voxels(
            "s0000/segmentations/spleen.nii.gz",
            lambda array: (np.arange(array.size).reshape(array.shape) % 3).astype(np.uint8),
        ),
        "holds the values 0, 1, 2; a mask holds",
    ),
    "a mask cut short": Damage("totalsegmentator", cut("s0000/segmentations/spleen.nii.gz", 0.5), "truncated.*copy"),
    "a mask moved": Damage("totalsegmentator", moved("s0000/segmentations/spleen.nii.gz", shifted), "apart.*Copy"),
    # Tables.
    "a row whose file is not there": Damage(
        "table", table(lambda text: text.replace("0/t1", "0/t9")), "t9.*no file. Put"
    ),
    "a row with an empty column": Damage(
        "table",
        table(lambda text: text.replace("Größe 0/label.nii.gz", "")),
        "line 2: the column label is empty",
        names="line 2",
    ),
    "a row whose path leads out": Damage(
        "table",
        table(lambda text: text.replace("Größe 0/t1", "../t1")),
        "line 2: .*lies outside.*absolute",
        names="line 2",
    ),
    "two rows of one case": Damage(
        "table",
        table(lambda text: text.replace("Fall 1", "Fall 0")),
        "Fall 0 appears twice",
        left=("Fall 0", "Fall 2", "Fall 3"),
    ),
    # DICOM.
    "a slice missing": Damage("dicom", gone(SLICE), "slices are missing at.*Restore"),
    "two slices at one place": Damage("dicom", copied(SLICE, "patient_0/copy.dcm"), "at one position.*keep one"),
    "two series in a folder": Damage(
        "dicom", series_again("b", (12, 10, 4), SeriesInstanceUID="1.2.3", SeriesNumber=7), "(?s)2 series.*Name one"
    ),
    "slices of different sizes": Damage("dicom", series_again("", (7, 5, 2)), "rows and columns.*Keep the slices"),
    "another pixel spacing in a slice": Damage("dicom", slice_says(PixelSpacing=[2, 2]), "pixel spacing.*Keep"),
    "a slice without orientation": Damage("dicom", slice_says(ImageOrientationPatient=None), "Orientation.*is None"),
    "a slice without position": Damage("dicom", slice_says(ImagePositionPatient=None), "Position.*is None.*copy"),
    "pixels cut short": Damage("dicom", cut(SLICE, 0.95), "truncated.*copy it again"),
    "a compression that nothing reads": Damage("dicom", compressed_as_nothing_known, "compressed as MPEG2.*convert"),
    "a file that is named .dcm alone": Damage("dicom", holds("patient_0/junk.dcm", b"junk"), "named as DICOM.*editor"),
    "outlines without a scan": Damage("dicom", outlines_alone, "no slices of a volume; give"),
    "an empty folder of a patient": Damage(
        "dicom", lambda root: [file.unlink() for file in (root / "patient_0").iterdir()], "no DICOM file.*give"
    ),
    # NIH Pancreas-CT.
    "a patient filed twice": Damage(
        "ct82",
        copied("TCIA_pancreas_labels-02-05-2017/label0001.nii.gz", "label0001.nii.gz"),
        "0001 has two scans.*keep",
        names="patient 0001",
    ),
    "a label map that marks nothing": Damage(
        "ct82", voxels("TCIA_pancreas_labels-02-05-2017/label0001.nii.gz", np.zeros_like), "marks no voxel; download"
    ),
    # Pictures.
    "a picture cut short": Damage("pictures", cut(PICTURE, 0.6), "not a readable PNG.*copy it again"),
    "a picture of no bytes": Damage("pictures", holds(PICTURE, b""), "not a readable PNG.*copy it again"),
    "a picture with a wrong byte": Damage("pictures", byte_flipped(PICTURE, 60), "not a readable PNG.*copy it again"),
    "a picture of 60000 pixels a side": Damage("pictures", holds(PICTURE, png_of(60000, 60000)), "more pixels.*tiles"),
    "a picture of 9000 by 9000 pixels that are not there": Damage(
        "pictures", holds(PICTURE, png_of(9000, 9000)), "more than its"
    ),
    "a picture in colour among grey ones": Damage(
        "pictures", picture(PICTURE, np.zeros((18, 20, 3), np.uint8)), "3 channels.*Convert"
    ),
    "colours of 16 bits": Damage("pictures", holds(PICTURE, png_of(20, 18, depth=16, colour=2)), "16 bits.*save"),
    "a picture that hides pixels": Damage("pictures", picture(PICTURE, np.zeros((18, 20, 2), np.uint8)), "alpha.*save"),
    "several pages": Damage("pictures", two_pages, "several pages.*save each"),
    "a mask of another size": Damage("pictures", picture(MASK, np.zeros((18, 19), np.uint8)), "shape.*Resample"),
    "a mask in colour": Damage("pictures", picture(MASK, np.zeros((18, 20, 3), np.uint8)), "in colour.*save"),
    "a mask of shades": Damage(
        "pictures", picture(MASK, np.full((18, 20), 127, np.uint8)), "values 127;.*data.classes"
    ),
    # Splits.
    "a case that the data lack": Damage(
        "folder",
        splits(train=["case_0", "ghost"], val=["case_1"], test=["case_2"]),
        "ghost.*Restore",
        names="splits.json",
        left=("case_0", "case_1"),
    ),
}

WHOLE_DATASET = {
    "a root that is not there": Damage("folder", shutil.rmtree, "no such folder. Give"),
    "an empty root": Damage("folder", emptied(""), "images: no NIfTI file.*Name a folder"),
    "an empty root in any layout": Damage("ct150", emptied(""), "(?s)no images with labels.*Accepted layouts"),
    "an empty root of the Decathlon": Damage("msd", emptied(""), "dataset.json: not found.*must be the unpacked"),
    "an empty root of TotalSegmentator": Damage("totalsegmentator", emptied(""), "no case found. It must hold"),
    "an empty root of Pancreas-CT": Damage("ct82", emptied(""), "(?s)no scan of NIH Pancreas-CT.*must hold"),
    "a folder of pictures that is empty": Damage("pictures", emptied("images"), "no picture.*Name a folder"),
    "a folder of label maps that is empty": Damage("folder", emptied("labels"), "labels: no NIfTI file.*Name a folder"),
    "a folder of nnU-Net's images that is empty": Damage("nnunet", emptied("imagesTr"), "holds no images.*Give"),
    "a dataset.json cut short": Damage("msd", cut("dataset.json", 0.5), "not valid JSON.*Unpack"),
    "a dataset.json of other bytes": Damage("msd", holds("dataset.json", b"\xff\xfe\0"), "not valid JSON.*Unpack"),
    "a dataset.json that is a list": Damage("nnunet", holds("dataset.json", b"[1]"), "no JSON object. Unpack"),
    "a dataset.json without labels": Damage("msd", described(labels=None), "'labels' is None: it must map"),
    "labels of the wrong kind": Damage("msd", described(labels=["ball"]), "'labels' is .*: it must map"),
    "labels the other way round": Damage("nnunet", described(labels={"0": "background"}), "must map.*data=msd"),
    "a dataset.json without cases": Damage("msd", described(training=None), "'training' must list"),
    "a dataset.json without modality": Damage("msd", described(modality=None), "'modality' is None: it must name"),
    "channels that are not counted": Damage(
        "nnunet", described(channel_names={"7": "CT"}), "'channel_names'.*must name"
    ),
    "files of a kind that is not read": Damage("nnunet", described(file_ending=".npz"), "'file_ending'.*Convert"),
    "a table without a column": Damage(
        "table", table(lambda text: text.replace("label", "mask")), "lacks the columns label"
    ),
    "a table separated by blanks": Damage(
        "table", table(lambda text: text.replace(",", " ")), "must be case_id,image,label"
    ),
    "a table of no rows": Damage("table", table(lambda text: text.splitlines()[0]), "lists no case. Write a line"),
    "a table in another encoding": Damage(
        "table", holds("cases.csv", "Größe".encode("utf-16")), "not a readable CSV.*UTF-8"
    ),
    "a table with an open quote": Damage("table", table(lambda text: text + '"a'), "not a readable CSV.*Save it"),
    "splits that are no JSON": Damage(
        "folder", holds("splits.json", b"{"), "splits.json: not valid JSON.*data.split.file is"
    ),
    "splits nested without end": Damage(
        "folder", holds("splits.json", b"[" * 99999), "not valid JSON.*data.split.file"
    ),
    "splits without a part": Damage("folder", splits(train=["case_0"], val=["case_1"]), "must each list"),
    "a case in two parts": Damage(
        "folder", splits(train=["case_0"], val=["case_1"], test=["case_0"]), "appears 2 times.*Keep one"
    ),
    "a patient in two parts": Damage(
        "table", splits(train=["Fall 0"], val=["Fall 1"], test=["Fall 2"]), "patient 0 is in train.*keep all cases"
    ),
    "splits of other data": Damage("folder", splits(train=["a"], val=["b"], test=["c"]), "not in the data.*Restore"),
}

ODDITIES = {
    "a tilted gantry": Damage("dicom", tilted, "gantry tilt of 14.9 degrees"),
    "a tilt that the positions do not show": Damage("dicom", series_says(GantryDetectorTilt=12.5), "12.5 degrees, but"),
    "white for the lowest value": Damage("dicom", series_says(PhotometricInterpretation="MONOCHROME1"), "MONOCHROME1"),
    "a series computed from another beside it": Damage(
        "dicom",
        series_again("b", (4, 4, 3), SeriesInstanceUID="1.2.3", ImageType=["DERIVED", "SECONDARY", "MPR"]),
        "left out as derived",
    ),
    "sform and qform in contradiction": Damage("folder", header(IMAGE, qform_code=1, qoffset_x=99), "apart; the sform"),
    "a voxel size below zero beside an sform": Damage("folder", header(IMAGE, pixdim__1=-1), "should be positive"),
    "a voxel size of zero beside an sform": Damage("folder", header(IMAGE, pixdim__1=0), "should be non-zero"),
    "an image of one value": Damage("folder", voxels(IMAGE, np.zeros_like), "is the same.*Export the scan again"),
    "an image of one value in the window": Damage("ct150", voxels(IMAGE, lambda a: a - np.int16(3000)), "data.window"),
    "a label map without an image": Damage(
        "folder", gone(IMAGE), "no image belongs to", left=("case_1", "case_2", "case_3")
    ),
    "an nnU-Net label map without an image": Damage(
        "nnunet",
        gone("imagesTr/ball 000_0000.nii.gz"),
        "no image belongs to",
        left=("ball 001", "ball 002", "ball 003"),
    ),
    "masks that overlap": Damage(
        "totalsegmentator",
        also(gone(PANCREAS), copied(SPLEEN, PANCREAS)),
        "lie in two masks",
    ),
}

HARMLESS = {
    "a .nii file named .nii.gz": Damage(
        "folder", also(unpacked(IMAGE, "x"), lambda root: (root / "x").rename(root / IMAGE)), ""
    ),
    "a table with semicolons": Damage("table", table(lambda text: text.replace(",", ";")), ""),
    "unicode, blanks and marks in names": Damage("folder", renamed_everywhere, ""),
    "a folder in unicode": Damage("dicom", renamed_folder, ""),
    "hidden files of other systems": Damage("folder", holds("images/._case_0.nii.gz", b""), ""),
    "files that are no DICOM among the slices": Damage("dicom", holds("patient_0/notes.txt", b"no scan"), ""),
    "a loop of links among the slices": Damage(
        "dicom", lambda root: (root / "patient_0" / "again").symlink_to("."), ""
    ),
    "a link to a file elsewhere": Damage("folder", elsewhere(IMAGE), ""),
    "an image as .nii": Damage("folder", unpacked(IMAGE, "images/case_0.nii"), ""),
    "a label map of floats": Damage("folder", voxels(LABEL, lambda array: array.astype(np.float64)), ""),
    "an axis of one voxel behind the others": Damage("folder", voxels(IMAGE, lambda array: array[..., None]), ""),
    "a picture of 16 bits": Damage("pictures", picture(PICTURE, np.arange(360, dtype=np.uint16).reshape(18, 20)), ""),
}
