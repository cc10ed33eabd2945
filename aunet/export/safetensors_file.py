"""Weights as safetensors, with the settings of the network and of the preprocessing in the file's metadata."""

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from aunet.config.schema import TargetNode
from aunet.export.exported_model import ExportedModel
from aunet.networks.slice_by_slice import unwrap

NAME = "model.safetensors"


def write_safetensors(folder: Path, model: ExportedModel) -> None:
    """Write ``model.safetensors`` to ``folder``; every metadata value is JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = model.settings() | {"network": model.network, "spatial_dims": model.spatial_dims}
    metadata = {key: json.dumps(value) for key, value in settings.items()}
    tensors = unwrap(model.predictor.network).state_dict()
    weights = {name: tensor.cpu().clone().contiguous() for name, tensor in tensors.items()}
    save_file(weights, folder / NAME, metadata)


def read_safetensors(folder: Path) -> tuple[TargetNode, dict[str, Tensor]]:
    """Return the settings of the network and its weights."""
    with safe_open(folder / NAME, framework="pt") as file:
        network: TargetNode = json.loads(file.metadata()["network"])
    return network, load_file(folder / NAME)
