"""Time and peak memory of inferers and engines, from file to file, beside MONAI's sliding window.

python experiments/benchmarks/inference.py [--size 200 200 200] [--memory 4] [--only MONAI tiled]
python experiments/benchmarks/inference.py --size 512 512 400 --classes 118 --tiny --only auto/torch-float32

A drawn CT with three organs is predicted by MONAI's sliding window (overlap 0.5, Gaussian weights) and by ours, each in
a process of its own, so that peak memory is that way's alone. The network is fitted to the drawn organs for some steps,
as labels of random weights are noise whose Dice means nothing. Dice is the classes' mean, against the first row.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from aunet.classes import Labels
from aunet.data.io.volume import Volume, read_label, write_label
from aunet.data.preprocessing.steps import Preprocessing
from aunet.inference.engine_choice import EngineChoice
from aunet.inference.inferers import AutomaticInferer, Inferer, WholeVolume
from aunet.inference.memory import bytes_per_voxel
from aunet.inference.native_space import restore_label_map
from aunet.inference.predictor import Predictor
from aunet.inference.tiles import Tiled
from aunet.inference.window_layout import Window
from aunet.machine import peak_memory_bytes
from aunet.networks import AttentionUNet
from aunet.networks.inspection.receptive_field import reach_of_cuts
from aunet.networks.layers import AUTOCAST_TYPES
from aunet.process_settings import prepare_process

ENGINES = ("torch-float32", "torch-bf16", "openvino-float32", "openvino-bf16", "onnxruntime-float32")
INFERERS = ("sliding_window", "tiled", "auto")
WAYS = (
    "MONAI/torch-float32",
    "MONAI/torch-bf16",
    *(f"{inferer}/{engine}" for inferer in INFERERS for engine in ENGINES),
)


def main() -> None:
    """Run each way in its own process and print a row for it."""
    arguments = _read_arguments()
    if arguments.way:
        _run(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        arguments.work = arguments.work or Path(folder)
        arguments.work.mkdir(parents=True, exist_ok=True)
        _prepare(arguments)
        ways = [way for way in WAYS if not arguments.only or any(part in way for part in arguments.only)]
        _print(arguments, ways, [_run_apart(way, arguments.work) for way in ways])


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=3, default=[200, 200, 200], help="voxels of the scan")
    parser.add_argument("--patch", type=int, nargs=3, default=[160, 160, 96], help="patch of the training")
    parser.add_argument("--classes", type=int, default=4)
    parser.add_argument("--tiny", action="store_true", help="a network of two levels with 4 and 8 channels")
    parser.add_argument("--steps", type=int, default=60, help="of the fit to the drawn organs; 0 keeps random weights")
    parser.add_argument("--memory", type=float, default=2.0, help="GiB that a pass of tiled and auto may take")
    parser.add_argument("--halo", type=int, help="voxels around a tile's core, as inference.halo")
    parser.add_argument("--only", nargs="+", help="parts of the names of the ways to run")
    parser.add_argument("--work", type=Path, help="folder for scan, weights and label maps, kept")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run_apart(way: str, work: Path) -> dict[str, float]:
    words = [sys.executable, __file__, *sys.argv[1:], "--work", str(work), "--way", way]
    process = subprocess.run(words, capture_output=True, text=True, check=False)
    if process.returncode:
        Console(stderr=True).print(f"{way}: {process.stderr.strip().splitlines()[-1]}", markup=False)
        return {}
    return json.loads(process.stdout.strip().splitlines()[-1])


def _prepare(arguments: argparse.Namespace) -> None:
    """Write scan.nii.gz and weights.pt to the working folder, if they are not there."""
    scan, weights = arguments.work / "scan.nii.gz", arguments.work / "weights.pt"
    if not scan.is_file():
        hu, _ = _draw(tuple(arguments.size))
        _write_scan(scan, hu)
    if not weights.is_file():
        torch.save(_fit(arguments).state_dict(), weights)


def _write_scan(path: Path, hu: np.ndarray) -> None:
    import nibabel

    nibabel.Nifti1Image(hu, np.diag([-2.0, -2.0, 2.0, 1.0])).to_filename(path)


def _draw(size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return HU (int16) and labels of a body with organs of three kinds, three of each."""
    generator = np.random.default_rng(0)
    hu, label = np.full(size, -1000, np.int16), np.zeros(size, np.uint8)
    places = [(0.5, 0.5, 0.5, 0.46, 0, 0)]
    for kind in (1, 2, 3):
        places += [(*generator.uniform(0.3, 0.7, 3), generator.uniform(0.06, 0.14), kind, 40 * kind) for _ in range(3)]
    axes = [np.linspace(0, 1, length, dtype=np.float32) for length in size]
    for first, second, third, radius, kind, value in places:
        distance = (axes[0] - first)[:, None] ** 2 + (axes[1] - second) ** 2
        inside = distance[..., None] + (axes[2] - third) ** 2 * (kind > 0) < radius**2
        hu[inside], label[inside] = value, kind
    hu += (10 * generator.standard_normal(size, np.float32)).astype(np.int16)
    return hu, label


def _network(arguments: argparse.Namespace) -> AttentionUNet:
    torch.manual_seed(0)
    channels = {"channels": (4, 8)} if arguments.tiny else {}
    return AttentionUNet(num_classes=arguments.classes, **channels)


def _fit(arguments: argparse.Namespace) -> AttentionUNet:
    """Fit the network to patches of a small drawn scan."""
    network, side = _network(arguments), 48
    if not arguments.steps:
        return network
    hu, label = _draw((96, 96, 96))
    image = torch.from_numpy(_PREPROCESSING.image([Volume(hu, np.diag([-2.0, -2.0, 2.0, 1.0]))]).array)
    target = torch.from_numpy(label[::-1, ::-1].copy()).long()
    optimizer, generator = torch.optim.AdamW(network.parameters(), lr=3e-3), np.random.default_rng(1)
    for _ in range(arguments.steps):
        corners = generator.integers(0, 96 - side, (2, 3))
        boxes = [tuple(slice(first, first + side) for first in corner) for corner in corners.tolist()]
        logits = network(torch.stack([image[(slice(None), *box)] for box in boxes]))
        loss = torch.nn.functional.cross_entropy(logits, torch.stack([target[box] for box in boxes]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


_PREPROCESSING = Preprocessing(None, "ct", (-160.0, 240.0))


def _run(arguments: argparse.Namespace) -> None:
    """Predict the scan in one way and print seconds, peak memory and computed voxels as JSON."""
    inferer_name, _, engine = arguments.way.partition("/")
    if inferer_name == "MONAI":
        import monai.inferers.utils  # noqa: F401 - in this process alone, as ours never loads it
    else:
        prepare_process()  # malloc as in aunet predict, MONAI's as it is
    library, _, precision = engine.partition("-")
    network = _network(arguments)
    network.load_state_dict(torch.load(arguments.work / "weights.pt", weights_only=True))
    before = peak_memory_bytes()
    start = time.perf_counter()
    if inferer_name == "MONAI":
        computed = _predict_by_monai(network, precision, arguments)
    else:
        computed = _predict_by_ours(network, inferer_name, library, precision, arguments)
    seconds = time.perf_counter() - start
    facts = {"seconds": seconds, "peak": peak_memory_bytes(), "before": before, "computed": computed}
    sys.stdout.write(json.dumps(facts) + "\n")


def _predict_by_ours(
    network: AttentionUNet, name: str, library: str, precision: str, arguments: argparse.Namespace
) -> float:
    patch, multiple = tuple(arguments.patch), network.size_multiple
    reach = partial(reach_of_cuts, network, 1, multiple)
    most_voxels = partial(_most_voxels, network, precision, arguments.memory)
    tiled = Tiled(patch, multiple, reach, most_voxels, arguments.halo)
    inferers: dict[str, Callable[[], Inferer]] = {
        "sliding_window": lambda: Window(patch, 0.5, multiple),
        "whole_volume": lambda: WholeVolume(patch, multiple),
        "tiled": lambda: Tiled(patch, multiple, reach, most_voxels, arguments.halo, tile_size=patch),
        "auto": lambda: AutomaticInferer(tiled),
    }
    inferer = inferers[name]()
    labels = Labels(("background", *(f"class {index}" for index in range(1, arguments.classes))))
    choice = EngineChoice(library, precision)
    predictor = Predictor(network, _PREPROCESSING, labels, inferer, precision, channels_last=True, engine=choice)
    predictor.predict(arguments.work / "scan.nii.gz").write(_label_map(arguments, arguments.way))
    return inferer.lay_out(arguments.size).num_voxels


def _most_voxels(network: AttentionUNet, precision: str, memory: float) -> int:
    return int(memory * 2**30 / bytes_per_voxel(network, 1, network.size_multiple, AUTOCAST_TYPES.get(precision)))


def _predict_by_monai(network: AttentionUNet, precision: str, arguments: argparse.Namespace) -> float:
    from monai.inferers.utils import sliding_window_inference

    labels = Labels(("background", *(f"class {index}" for index in range(1, arguments.classes))))
    reader = Predictor(network, _PREPROCESSING, labels, Window(tuple(arguments.patch)))
    channels = reader.read(arguments.work / "scan.nii.gz")
    prepared = _PREPROCESSING.image(channels)
    computed = [0]

    def counted(windows: Tensor) -> Tensor:
        computed[0] += windows[:, 0].numel()
        return network(windows)

    image = torch.from_numpy(prepared.array)[None]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        logits = sliding_window_inference(image, arguments.patch, 1, counted, overlap=0.5, mode="gaussian")
    native = channels[0]
    label = restore_label_map(torch.as_tensor(logits)[0], prepared.affine, native.shape, native.affine)
    write_label(_label_map(arguments, arguments.way), label, native.affine)
    return computed[0]


def _label_map(arguments: argparse.Namespace, way: str) -> Path:
    return arguments.work / f"{way.replace('/', '_')}.nii.gz"


def _print(arguments: argparse.Namespace, ways: list[str], facts: list[dict[str, float]]) -> None:
    title = f"{'x'.join(map(str, arguments.size))}, {arguments.classes} classes, {torch.get_num_threads()} threads"
    columns = ("Seconds", "Times as fast", "Peak (GiB)", "without imports", "Computed per voxel", "Dice")
    table = Table("Way", *columns, title=title)
    first: dict[str, float] | None = None
    for way, found in zip(ways, facts, strict=True):
        if not found:
            table.add_row(way, *["failed"] * len(columns))
            continue
        first = first or found
        reference = read_label(_label_map(arguments, ways[0])).array
        dice = _dice(read_label(_label_map(arguments, way)).array, reference, arguments.classes)
        table.add_row(
            way,
            f"{found['seconds']:.1f}",
            f"{first['seconds'] / found['seconds']:.2f}",
            f"{found['peak'] / 2**30:.2f}",
            f"{(found['peak'] - found['before']) / 2**30:.2f}",
            f"{found['computed'] / np.prod(arguments.size):.2f}",
            f"{dice:.4f}",
        )
    Console(width=140).print(table)


def _dice(label: np.ndarray, reference: np.ndarray, num_classes: int) -> float:
    """Return the mean Dice of the classes in the reference, the background left out."""
    scores = [
        2 * np.sum((label == index) & (reference == index)) / (np.sum(label == index) + np.sum(reference == index))
        for index in range(1, num_classes)
        if (reference == index).any()
    ]
    return float(np.mean(scores)) if scores else float("nan")


if __name__ == "__main__":
    main()
