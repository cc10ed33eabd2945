"""Patches of a cohort of large CTs: our case store beside MONAI's CacheDataset and PersistentDataset.

python experiments/benchmarks/case_store.py [--cases 10 40 150] [--patches 100] [--folder DIR] [--quick]

Makes 512x512x200 int16 CTs as NIfTI.gz, applies the same preprocessing to every dataset and reads patches of 96³ and
160x160x96 one after another in one process. Four CTs are distinct, the others are hard links under other names, which
every dataset treats as cases of their own; so all reads come from the page cache, which favours the larger files.
Each measurement is a process of its own; memory is its peak, beyond what the imports take and in all. Cold: nothing
is prepared, all cases are then; done for up to --cold cases. For more, what was prepared is linked under the other
cases' names.
--quick: small volumes, 4 and 6 cases.
"""

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import ndimage

PATCHES = ((96, 96, 96), (160, 160, 96))
DISTINCT = 4
WINDOW = (-160.0, 240.0)
COLUMNS = (
    "Dataset",
    "Cases",
    "96³ /s",
    "160x160x96 /s",
    "First patch, cold (s)",
    "warm (s)",
    "Memory preparing (MiB)",
    "reading (MiB)",
    "Disk (GB)",
)


def main() -> None:
    """Print the table: a row a dataset and number of cases."""
    arguments = parse()
    if arguments.measure:
        sys.stdout.write(json.dumps(measure(arguments)) + "\n")
        return
    folder = Path(tempfile.mkdtemp(prefix="case-store-", dir=arguments.folder))
    try:
        make_cohort(folder / "scans", max(arguments.cases), arguments.shape)
        console, table = Console(width=140), Table(*COLUMNS)
        for name in ("ours", "PersistentDataset", "CacheDataset"):
            for number in arguments.cases:
                cells = (name, str(number), *row(name, number, folder, arguments))
                console.print(" | ".join(cells))  # each as it is measured: an interruption loses none
                table.add_row(*cells)
        console.print(table)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def parse() -> argparse.Namespace:
    """Return the parser of the options; the program calls itself with --measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, nargs="+", default=[10, 40, 150])
    parser.add_argument("--patches", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="where the scans and stores are made, and removed at the end")
    parser.add_argument("--cold", type=int, default=10, help="prepare no more than so many cases, link the others")
    parser.add_argument("--memory", type=float, default=12.0, help="GiB beyond which CacheDataset is only projected")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--shape", type=int, nargs=3, default=[512, 512, 200])
    parser.add_argument("--measure", nargs=4, metavar=("NAME", "CASES", "FOLDER", "WORK"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.cases, arguments.shape, arguments.patches, arguments.cold = [4, 6], [192, 192, 128], 10, 4
    return arguments


def row(name: str, number: int, folder: Path, arguments: argparse.Namespace) -> list[str]:
    """Return the cells of one row, each from a process of its own."""
    in_memory = number * np.prod(arguments.shape) * 5 / 2**20  # float32 image and uint8 label
    if name == "CacheDataset":
        if in_memory / 1024 > arguments.memory:
            return ["–", "–", "–", "–", "–", f"projected {in_memory:.0f}", "in memory"]
        read = in_process(name, number, folder, "patches", arguments)
        return [*rates(read), f"{read['first']:.1f}", "as cold", "–", mib(read), "in memory"]
    cold = in_process(name, number, folder, "first", arguments) if number <= arguments.cold else None
    if cold is None:
        in_process(name, number, folder, "link", arguments)
    warm = in_process(name, number, folder, "first", arguments)
    read = in_process(name, number, folder, "patches", arguments)
    first = [f"{cold['first']:.1f}", f"{warm['first']:.2f}", mib(cold)] if cold else ["–", f"{warm['first']:.2f}", "–"]
    return [*rates(read), *first, mib(read), f"{read['disk'] / 1e9:.2f}"]


def rates(measured: dict[str, Any]) -> list[str]:
    """Patches a second of each size."""
    return [f"{value:.1f}" for value in measured["rates"]]


def mib(measured: dict[str, Any]) -> str:
    """Peak memory, beyond the imports and in all."""
    return f"{measured['memory'] / 2**20:.0f}, {measured['whole_memory'] / 2**20:.0f}"


def in_process(name: str, number: int, folder: Path, work: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the result of ``measure`` in a fresh Python."""
    words = ["--measure", name, str(number), str(folder), work, "--patches", str(arguments.patches)]
    shape = ["--shape", *map(str, arguments.shape)]
    process = subprocess.run([sys.executable, __file__, *words, *shape], stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(process.stdout.splitlines()[-1])


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time to the first patch, or patches a second for both sizes; peak memory and disk in bytes."""
    name, number, folder, work = arguments.measure
    pairs = scans(Path(folder) / "scans", int(number))
    build = {"ours": ours, "PersistentDataset": persistent, "CacheDataset": cached}[name]
    store = Path(folder) / f"{name}-{number}"
    import_both_sides()
    memory = PeakMemory()
    if work == "link":
        link_stored(name, pairs, store)
        return {}
    start = time.perf_counter()
    read = build(pairs, store)
    read(0, PATCHES[0])
    first = time.perf_counter() - start
    speeds = [rate(read, size, len(pairs), arguments.patches) for size in PATCHES] if work == "patches" else []
    return {"first": first, "rates": speeds, **memory.in_bytes(), "disk": folder_bytes(store)}


def link_stored(name: str, pairs: list[dict[str, str]], folder: Path) -> None:
    """Make ``folder`` of many cases from the first ones: each linked under the names that its copies would have."""
    link_ours(pairs, folder) if name == "ours" else link_persistent(pairs, folder)


def link_ours(pairs: list[dict[str, str]], folder: Path) -> None:
    """Link the stored cases, which are folders named after the case, and the digests of their files."""
    store, cases = our_store(pairs, folder)
    made = store.prepare(cases[:DISTINCT])
    for index in range(DISTINCT, len(cases)):
        source = made[index % DISTINCT]
        copy = source.folder.name.replace(source.case_id, cases[index].case_id)
        shutil.copytree(source.folder, source.folder.with_name(copy), copy_function=os.link)
    store.prepare(cases)


def link_persistent(pairs: list[dict[str, str]], folder: Path) -> None:
    """Link the cached items, which are files named by the hash of their paths."""
    from monai.data.utils import pickle_hashing

    persistent(pairs[:DISTINCT], folder)
    for index in range(DISTINCT, len(pairs)):
        source, copy = (folder / f"{pickle_hashing(pairs[at]).decode()}.pt" for at in (index % DISTINCT, index))
        os.link(source, copy)


def rate(read: Callable[[int, tuple[int, ...]], Any], size: tuple[int, ...], cases: int, patches: int) -> float:
    """Patches a second, the cases taken in an order drawn from a seed; at least ten, for 60 seconds at most."""
    order = np.random.default_rng(0).integers(0, cases, patches)
    start, done = time.perf_counter(), 0
    for case in order:
        read(int(case), size)
        done += 1
        if done >= 10 and time.perf_counter() - start > 60:
            break
    return done / (time.perf_counter() - start)


def ours(pairs: list[dict[str, str]], folder: Path) -> Callable[[int, tuple[int, ...]], Any]:
    """Our store and patch reader."""
    from aunet.data.patches.random_geometry import RandomGeometry
    from aunet.data.patches.sampling import PatchDataset

    store, cases = our_store(pairs, folder)
    stored = store.prepare(cases)
    datasets = {size: PatchDataset(stored, RandomGeometry(size), seed=0) for size in PATCHES}
    return lambda case, size: datasets[size][0, case]


def our_store(pairs: list[dict[str, str]], folder: Path) -> tuple[Any, tuple[Any, ...]]:
    """Return the store in ``folder`` and its cases."""
    from aunet.classes import Labels
    from aunet.data.cohort.case import Case, Cohort
    from aunet.data.cohort.content_digest import ContentDigests
    from aunet.data.preprocessing.steps import Preprocessing
    from aunet.data.store.case_store import CaseStore

    cases = tuple(Case(Path(pair["image"]).parent.name, (Path(pair["image"]),), Path(pair["label"])) for pair in pairs)
    labels = Labels(("background", "pancreas", "spleen", "kidney"))
    cohort = Cohort("benchmark", cases, labels, {value: value for value in range(4)}, "ct", "made up")
    digests = ContentDigests(folder / "digests.json")
    return CaseStore(folder, cohort, Preprocessing(None, "ct", WINDOW), digests), cases


def persistent(pairs: list[dict[str, str]], folder: Path) -> Callable[[int, tuple[int, ...]], Any]:
    """MONAI's dataset of one file a case; all cases are transformed first where that was not done yet."""
    from monai.data import PersistentDataset

    dataset = PersistentDataset(pairs, transforms(), cache_dir=folder)
    if len(list(folder.iterdir())) < len(pairs):
        for case in range(len(pairs)):
            dataset[case]
    return cropped(dataset)


def cached(pairs: list[dict[str, str]], folder: Path) -> Callable[[int, tuple[int, ...]], Any]:
    """MONAI's dataset in memory."""
    from monai.data import CacheDataset

    return cropped(CacheDataset(pairs, transforms(), cache_rate=1.0, num_workers=2, progress=False))


def transforms() -> Any:
    """Return the preprocessing of aunet in MONAI's transforms."""
    from monai.transforms import (
        Compose,
        EnsureTyped,
        LoadImaged,
        NormalizeIntensityd,
        Orientationd,
        ScaleIntensityRanged,
    )

    return Compose(
        [
            LoadImaged(keys=["image", "label"], ensure_channel_first=True),
            Orientationd(keys=["image", "label"], axcodes="RAS", labels=None),
            ScaleIntensityRanged("image", *WINDOW, *WINDOW, clip=True),
            NormalizeIntensityd(keys="image"),
            EnsureTyped(keys=["image", "label"], dtype=[np.float32, np.uint8]),
        ]
    )


def cropped(dataset: Any) -> Callable[[int, tuple[int, ...]], Any]:
    """Return a patch anywhere: the cheapest crop of MONAI, which does not look for classes as ours does."""
    from monai.transforms import RandSpatialCropd

    crops = {size: RandSpatialCropd(["image", "label"], size, random_size=False) for size in PATCHES}
    return lambda case, size: crops[size](dataset[case])


def make_cohort(folder: Path, number: int, shape: tuple[int, int, int]) -> None:
    """Phantoms drawn on 2 mm, enlarged to ``shape``, with noise as fine as a real scan's voxels; links for the rest."""
    from aunet.data.sources.phantom.cohort import draw_phantom

    for index in range(number):
        place = folder / f"case_{index:03d}"
        place.mkdir(parents=True)
        source = folder / f"case_{index % DISTINCT:03d}"
        if index >= DISTINCT:
            for name in ("image.nii.gz", "label.nii.gz"):
                os.link(source / name, place / name)
            continue
        phantom, draw = draw_phantom(0, index, (2.0, 2.0, 2.0)), np.random.default_rng(index)
        zoom = np.divide(shape, phantom.image.shape)
        noise = ndimage.gaussian_filter(draw.standard_normal(shape, dtype=np.float32), (1.0, 1.0, 0.6))
        image = ndimage.zoom(phantom.image.astype(np.float32), zoom, order=1) + noise * 14 / noise.std()
        label = ndimage.zoom(phantom.label, zoom, order=0)
        for name, array in (("image", np.rint(image).astype(np.int16)), ("label", label)):
            nibabel.Nifti1Image(array, np.diag([-0.8, -0.8, 1.0, 1.0])).to_filename(place / f"{name}.nii.gz")


def scans(folder: Path, number: int) -> list[dict[str, str]]:
    """Paths of the first cases."""
    places = [folder / f"case_{index:03d}" for index in range(number)]
    return [{name: str(place / f"{name}.nii.gz") for name in ("image", "label")} for place in places]


def import_both_sides() -> None:
    """Import what both sides need, so that it counts for neither."""
    for module in ("monai.data", "monai.transforms", "aunet.data.store.case_store", "aunet.data.patches.sampling"):
        importlib.import_module(module)


class PeakMemory:
    """Resident memory of this process, and beyond what it held when this was made (Linux)."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        self._before = self._kibibytes("VmRSS")

    def in_bytes(self) -> dict[str, int]:
        """Return the peak since construction."""
        peak = self._kibibytes("VmHWM")
        return {"memory": 1024 * (peak - self._before), "whole_memory": 1024 * peak}

    def _kibibytes(self, name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name))


def folder_bytes(folder: Path) -> int:
    """Sizes of the files below a folder."""
    return sum(file.stat().st_size for file in files(folder))


def files(folder: Path) -> Iterator[Path]:
    """Every file below ``folder``."""
    return (path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else iter(())


if __name__ == "__main__":
    main()
