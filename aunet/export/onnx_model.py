"""A network as ONNX, with its pre- and post-processing described beside it in JSON and done in a short program."""

import logging
from pathlib import Path

from aunet.export.exported_model import ExportedModel, copy_standalone, example_window, patch_window, with_windows_alone
from aunet.files import write_json
from aunet.inference.engines import write_onnx

STANDALONE = ("processing.py", "postprocessing.py", "predict.py")
_log = logging.getLogger(__name__)


def write_onnx_folder(folder: Path, model: ExportedModel) -> None:
    """Write ``model.onnx``, ``processing.json`` and ``predict.py`` to ``folder``."""
    content, model = _write_model(model)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(content)
    write_json(folder / "processing.json", model.settings())
    copy_standalone(folder, STANDALONE)


def _write_model(model: ExportedModel) -> tuple[bytes, ExportedModel]:
    """Return the network as ONNX, with the model as it is then run: in windows alone if sizes are fixed."""
    network = model.folded_network()
    try:
        return write_onnx(network, example_window(model), model.windows["size_multiple"]), model
    except Exception as error:  # noqa: BLE001 - whatever the exporter raises for networks that fix their size
        _log.debug("%s", error)
    return write_onnx(network, patch_window(model)), with_windows_alone(model, "onnx")
