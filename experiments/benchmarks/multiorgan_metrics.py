"""Compare our metrics with MONAI's, and with meshes if pymeshmetrics is installed, on two folders of label maps.

python experiments/benchmarks/multiorgan_metrics.py PREDICTIONS LABELS --output FILE.csv

Each class of each case is cut to the box of both masks with a margin of a voxel, as both sides do by themselves. The
table lists the median and the largest difference over all classes and cases. Real label maps; they stay where they are.
"""

import argparse
import importlib.util
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from monai.metrics import DiceMetric, HausdorffDistanceMetric, SurfaceDiceMetric, SurfaceDistanceMetric

from aunet.data.io.volume import align, read_label
from aunet.evaluation.folder_scores import match_files
from aunet.metrics.bounding_boxes import class_boxes, joint_box
from aunet.metrics.mask_pair import MaskPair
from aunet.metrics.registry import METRIC_OF

TOLERANCE_MM = 2.0
# Ours -> MONAI's of the same name.
PAIRS = {
    "dice": "dice",
    "hd95_mm": "hd95",
    "voxel_hd95_mm": "hd95",
    "assd_mm": "assd",
    "voxel_assd_mm": "assd",
    "nsd": "nsd",
    "voxel_nsd": "nsd",
}


def of_monai(pair: MaskPair) -> dict[str, float]:
    """Return MONAI's metrics of two masks that are not empty."""
    predicted, reference = (
        torch.from_numpy(np.stack([~mask, mask])[None]).float() for mask in (pair.prediction, pair.reference)
    )
    metrics = {
        "dice": DiceMetric(include_background=False),
        "hd95": HausdorffDistanceMetric(include_background=False, percentile=95),
        "assd": SurfaceDistanceMetric(include_background=False, symmetric=True),
        "nsd": SurfaceDiceMetric([TOLERANCE_MM]),
        "nsd_subvoxel": SurfaceDiceMetric([TOLERANCE_MM], use_subvoxels=True),
    }
    spacing = [float(side) for side in pair.spacing]
    return {
        name: float(metric(predicted, reference, **({} if name == "dice" else {"spacing": spacing})))
        for name, metric in metrics.items()
    }


def measure(case_id: str, prediction: Path, reference: Path, *, has_meshes: bool) -> list[dict[str, object]]:
    """Return a row per class that both label maps hold."""
    labels = read_label(reference)
    predicted = align(read_label(prediction), labels)
    boxes = [class_boxes(volume.array) for volume in (predicted, labels)]
    rows: list[dict[str, object]] = []
    for value in sorted(boxes[0].keys() & boxes[1].keys()):
        box = joint_box(boxes[0][value], boxes[1][value], labels.shape)
        masks = (volume.array[box] == value for volume in (predicted, labels))
        pair = MaskPair(*masks, labels.spacing, TOLERANCE_MM)
        ours = {key: METRIC_OF[key].function(pair) for key in PAIRS}
        theirs = {f"monai_{key}": number for key, number in of_monai(pair).items()}
        meshes = {"mesh_distance_mm": METRIC_OF["mesh_distance_mm"].function(pair)} if has_meshes else {}
        rows.append({"case": case_id, "class": value, **ours, **theirs, **meshes})
    return rows


def main() -> None:
    """Measure all cases, write the numbers and print the differences."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("predictions", type=Path)
    parser.add_argument("references", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    has_meshes = importlib.util.find_spec("meshmetrics") is not None
    rows: list[dict[str, object]] = []
    for case_id, files in match_files(arguments.predictions, arguments.references).items():
        rows += measure(case_id, *files, has_meshes=has_meshes)
        pd.DataFrame(rows).to_csv(arguments.output, index=False)
    table = pd.DataFrame(rows)
    others = {**{key: f"monai_{name}" for key, name in PAIRS.items()}}
    compared = [*others.items(), ("nsd", "monai_nsd_subvoxel")]
    compared += [("assd_mm", "mesh_distance_mm")] if has_meshes else []
    for ours, theirs in compared:
        difference = (table[ours] - table[theirs]).to_numpy(dtype=np.float64)
        largest = int(np.nanargmax(np.abs(difference)))
        where = f"case {table['case'][largest]}, class {table['class'][largest]}"
        numbers = f"median {np.nanmedian(difference):+.4f}, largest {difference[largest]:+.4f} ({where})"
        sys.stdout.write(f"{ours} - {theirs}: {numbers}, n = {np.isfinite(difference).sum()}\n")


if __name__ == "__main__":
    main()
