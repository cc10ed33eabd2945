"""A network as ONNX, with its pre- and post-processing described beside it in JSON and done in a short program."""

import logging
from dataclasses import replace
from pathlib import Path

import torch

from aunet.export.exported_model import ExportedModel, copy_standalone, example_window
from aunet.files import write_json
from aunet.inference.engines import write_onnx

STANDALONE = ("processing.py", "predict.py")
_log = logging.getLogger(__name__)


def write_onnx_folder(folder: Path, model: ExportedModel) -> None:
    """Write ``model.onnx``, ``processing.json`` and ``predict.py`` to ``folder``."""
    content, model = _write_model(model)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(content)
    write_json(folder / "processing.json", model.settings())
    copy_standalone(folder, STANDALONE)


def _write_model(model: ExportedModel) -> tuple[bytes, ExportedModel]:
    """Return the network for any size, else for the windows alone, with the model as it is then run."""
    network = model.folded_network()
    try:
        return write_onnx(network, example_window(model), model.windows["size_multiple"]), model
    except Exception as error:  # noqa: BLE001 - whatever the exporter raises for networks that fix their size
        _log.info("onnx: the network fixes the size of its input, so that all scans are predicted in windows.")
        _log.debug("%s", error)
    windows = model.windows
    patch = torch.zeros(1, model.in_channels, *windows["patch_size"])
    fixed = replace(model, windows={**windows, "one_pass_voxels": 0})
    return write_onnx(network, patch), fixed
