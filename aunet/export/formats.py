"""The formats of `aunet export`: how each is written, and how it labels a scan without aunet."""

import copy
import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from torch import nn

from aunet.config.schema import TargetNode
from aunet.errors import UserError
from aunet.export.bundle import write_bundle
from aunet.export.exported_model import ExportedModel
from aunet.export.onnx_model import write_onnx_folder
from aunet.export.safetensors_file import read_safetensors, write_safetensors
from aunet.networks.slice_by_slice import unwrap

# The line of a traceback that names the error, or of a bundle that names a scan's; the first one is the cause.
_ERROR = re.compile(r"[\w.]*(Error|Exception)\b|.*: not labelled: ")
BuildNetwork = Callable[[TargetNode], nn.Module]
Label = NDArray[np.uint8]


@dataclass(frozen=True)
class ExportFormat:
    """A format of an exported model.

    Attributes:
        name: of the format, and of its folder.
        extra: of aunet, with which its packages are installed.
        packages: without which it is neither written nor checked.
        write: writes a model to a folder.
        label: labels a scan, given as files in one folder, with the written folder; the last argument is an empty
            folder to work in.
        card: place of the model card in the folder.
        usage: how the folder is used, for its model card.
    """

    name: str
    extra: str
    packages: tuple[str, ...]
    write: Callable[[Path, ExportedModel], None]
    label: Callable[[Path, Sequence[Path], ExportedModel, BuildNetwork, Path], Label]
    card: str
    usage: str

    def check_installed(self) -> None:
        """Raise UserError, naming the extra, if a package is missing."""
        missing = [package for package in self.packages if importlib.util.find_spec(package) is None]
        if missing:
            raise UserError(
                f"--formats {self.name}: needs {', '.join(missing)}. Run pip install 'aunet[{self.extra}]', or name"
                " other formats."
            )


def _label_with_bundle(
    folder: Path, scan: Sequence[Path], model: ExportedModel, build: BuildNetwork, work: Path
) -> Label:
    options = {"bundle_root": ".", "dataset_dir": str(scan[0].parent.resolve()), "output_dir": str(work.resolve())}
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    _run(["-m", "monai.bundle", "run", "--config_file", "configs/inference.json", *words], folder, "bundle")
    [written] = work.glob("*.nii.gz")
    return _read_label(written)


def _label_with_onnx(
    folder: Path, scan: Sequence[Path], model: ExportedModel, build: BuildNetwork, work: Path
) -> Label:
    written = work.resolve() / "label.nii.gz"
    _run(["predict.py", *(str(path.resolve()) for path in scan), str(written)], folder, "onnx")
    return _read_label(written)


def _label_with_safetensors(
    folder: Path, scan: Sequence[Path], model: ExportedModel, build: BuildNetwork, work: Path
) -> Label:
    settings, weights = read_safetensors(folder)
    network = build(settings)
    unwrap(network).load_state_dict(weights)
    predictor = copy.copy(model.predictor)
    predictor.network = network.eval()
    return predictor.predict(list(scan)).label


def _run(words: Sequence[str], folder: Path, name: str) -> None:
    """Run a Python program in ``folder``; raise UserError with its last line if it fails."""
    process = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)
    if process.returncode:
        lines = [line for line in process.stderr.splitlines() if _ERROR.match(line)]
        reason = (lines or process.stderr.split("\n")[-2:] or ["no message"])[0]
        raise UserError(f"{name}: the exported files do not run here ({reason}). Leave the format out by --formats.")


def _read_label(path: Path) -> Label:
    return np.asarray(nibabel.load(path).dataobj).astype(np.uint8)  # type: ignore[attr-defined]


_BUNDLE_USAGE = """```sh
pip install "monai[fire,nibabel]"
python -m monai.bundle run --config_file configs/inference.json --dataset_dir FOLDER --output_dir LABELS
```

Run it in this folder. FOLDER holds NIfTI files; the label map of `scan.nii.gz` is `LABELS/scan_seg.nii.gz`. A scan of
several channels is one 4D file, or one file per channel: `scan_0000.nii.gz`, `scan_0001.nii.gz`, in the order of
`channel_def` in `configs/metadata.json`.

| file | content |
|---|---|
| `configs/inference.json` | preprocessing, windows and post-processing; any key can be set on the command line |
| `configs/metadata.json` | what the network takes and returns |
| `models/model.ts` | the network as TorchScript, batch norms folded into the convolutions |
| `models/model.pt` | its weights as tensors: `torch.load("models/model.pt", weights_only=True)` |
| `scripts/` | the steps that MONAI lacks, in NumPy |"""
_ONNX_USAGE = """```sh
pip install numpy nibabel onnxruntime
python predict.py scan.nii.gz label.nii.gz
```

| file | content |
|---|---|
| `model.onnx` | the network; `image` (1, channels, right, anterior, superior) -> `logits` (1, classes, ...) |
| `processing.json` | everything before and after it: the steps in words and their numbers |
| `processing.py`, `postprocessing.py` | the same steps in NumPy and SciPy |
| `predict.py` | a scan (NIfTI) to a label map |"""
_SAFETENSORS_USAGE = """```python
import json

from safetensors import safe_open
from safetensors.torch import load_file

with safe_open("model.safetensors", framework="pt") as file:
    settings = {key: json.loads(value) for key, value in file.metadata().items()}
weights = load_file("model.safetensors")  # the state dict of settings["network"]
```

`settings` holds the network, the preprocessing, the windows and the classes. `init=model.safetensors` starts a training
of aunet from these weights."""

FORMATS: dict[str, ExportFormat] = {
    form.name: form
    for form in (
        ExportFormat("bundle", "bundle", ("fire",), write_bundle, _label_with_bundle, "docs/README.md", _BUNDLE_USAGE),
        ExportFormat(
            "onnx",
            "onnx",
            ("onnx", "onnxscript", "onnxruntime"),
            write_onnx_folder,
            _label_with_onnx,
            "README.md",
            _ONNX_USAGE,
        ),
        ExportFormat(
            "safetensors", "", (), write_safetensors, _label_with_safetensors, "README.md", _SAFETENSORS_USAGE
        ),
    )
}
