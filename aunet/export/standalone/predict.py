"""A label map of a scan with the ONNX network beside this file: python predict.py SCAN... LABEL.nii.gz.

Needs numpy, nibabel and onnxruntime, and scipy if ``processing.json`` lists steps of post-processing. A scan of several
channels is one 4D file, or one file per channel in the order of ``processing.json``.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from processing import Array, check_scan, label_of, plan_axes, predict_windows, prepare

FOLDER = Path(__file__).resolve().parent


def read_ras(paths: Sequence[str]) -> tuple[Array, nibabel.Nifti1Image]:
    """Return the channels (C, H, W, D) with axes nearest to right, anterior and superior, and the first file."""
    files: list[Any] = [nibabel.load(path) for path in paths]
    channels: list[Array] = []
    for file in files:
        array = np.asarray(nibabel.as_closest_canonical(file).dataobj, dtype=np.float32)
        channels += list(np.moveaxis(array.reshape(*array.shape[:3], -1), -1, 0))
    return np.stack(channels), files[0]


def to_stored(label: NDArray[np.uint8], scan: nibabel.Nifti1Image) -> NDArray[np.uint8]:
    """Return a label map (H, W, D) along RAS+ axes in the axis order of ``scan``."""
    order = nibabel.io_orientation(scan.affine)  # a row per stored axis: its RAS axis and its direction
    turn = nibabel.orientations.ornt_transform(nibabel.orientations.axcodes2ornt("RAS"), order)
    return np.asarray(nibabel.orientations.apply_orientation(label, turn))


def main(words: Sequence[str]) -> None:
    """Predict the scan whose files are the first ``words`` and write its label map, the last one."""
    settings = json.loads((FOLDER / "processing.json").read_text(encoding="utf-8"))
    preprocessing = settings["preprocessing"]
    method = preprocessing["resampling"]
    channels, scan = read_ras(words[:-1])
    if len(channels) != (expected := len(preprocessing["intensities"])):
        sys.exit(f"{len(channels)} channels; the network takes {expected}. Give a 4D file or one file per channel.")
    check_scan(channels, int(scan.header["xyzt_units"]))
    spacing = np.linalg.norm(nibabel.as_closest_canonical(scan).affine[:3, :3], axis=0).tolist()
    axes = plan_axes(channels.shape[1:], spacing, preprocessing["spacing"])
    image = prepare(channels, axes, method, preprocessing["intensities"])
    session = onnxruntime.InferenceSession(FOLDER / "model.onnx", providers=onnxruntime.get_available_providers())
    name = session.get_inputs()[0].name

    def network(window: Array) -> Array:
        return np.asarray(session.run(None, {name: window})[0])

    logits = predict_windows(network, image, settings["windows"])
    regions = settings["regions"]
    label = to_stored(label_of(logits, axes, method, are_regions=bool(regions)), scan)
    if settings["postprocessing"]:
        from postprocessing import postprocess  # which needs SciPy

        voxel_ml = abs(float(np.linalg.det(np.asarray(scan.affine)[:3, :3]))) / 1000
        names = list(settings["classes"].values())
        label = postprocess(label, settings["postprocessing"], names, voxel_ml, regions)
    nibabel.save(nibabel.Nifti1Image(label, scan.affine), words[-1])


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python predict.py SCAN... LABEL.nii.gz")
    main(sys.argv[1:])
