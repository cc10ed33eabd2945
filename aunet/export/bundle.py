"""A MONAI bundle: `python -m monai.bundle run` labels a folder of scans with MONAI and torch alone.

Source of the layout: MONAI's bundle specification, https://docs.monai.io/en/stable/mb_specification.html.
"""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aunet.export.exported_model import (
    ExportedModel,
    copy_standalone,
    example_window,
    installed_versions,
    patch_window,
    with_windows_alone,
)
from aunet.files import write_json
from aunet.inference.engines import quiet_exporters

STANDALONE = ("__init__.py", "processing.py", "postprocessing.py", "monai_parts.py")
# The schema of metadata.json that MONAI publishes.
_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
# MONAI evaluates texts that begin with these signs, and replaces relative references anywhere.
_EVALUATED = re.compile(r"^\s*[$@%]|[@%]#")
_PARTS = "scripts.monai_parts"
_MODALITIES = {"ct": "CT", "mr": "MR", "pet": "PT", "picture": "XC"}


def write_bundle(folder: Path, model: ExportedModel) -> None:
    """Write configurations, weights and scripts to ``folder``."""
    (folder / "models").mkdir(parents=True)
    content, model = _write_network(model)
    (folder / "models" / "model.ts").write_bytes(content)
    weights = {name: tensor.cpu().contiguous() for name, tensor in model.predictor.network.state_dict().items()}
    torch.save(weights, folder / "models" / "model.pt")
    write_json(folder / "configs" / "metadata.json", _metadata(model))
    write_json(folder / "configs" / "inference.json", _inference(model))
    copy_standalone(folder / "scripts", STANDALONE)


def _write_network(model: ExportedModel) -> tuple[bytes, ExportedModel]:
    """Return the network as TorchScript, with the model as it is then run: in windows alone if sizes are fixed."""
    network, smallest = model.folded_network(), example_window(model)
    content = write_torchscript(network, smallest)
    larger = torch.randn(1, model.in_channels, *(3 * side // 2 for side in smallest.shape[2:]))
    if _is_same(network, content, larger):
        return content, model
    return write_torchscript(network, patch_window(model)), with_windows_alone(model, "bundle")


def _is_same(network: nn.Module, content: bytes, image: Tensor) -> bool:
    """Return whether TorchScript computes what ``network`` does, on an image of another size than its example's."""
    try:
        with quiet_exporters(), torch.no_grad():
            traced: Tensor = torch.jit.load(io.BytesIO(content))(image)
            return torch.allclose(traced, network(image), atol=1e-4, rtol=1e-4)
    except RuntimeError:
        return False


def write_torchscript(network: nn.Module, example: Tensor) -> bytes:
    """Return ``network`` traced on ``example`` (1, C, h, w, d), without the paths of this machine's Python files."""
    buffer, cleaned = io.BytesIO(), io.BytesIO()
    # torch warns that it prefers torch.export; MONAI's tools read TorchScript.
    with quiet_exporters(), torch.inference_mode(False), torch.no_grad():
        torch.jit.save(torch.jit.trace(network, example, check_trace=False, _store_inputs=False), buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(cleaned, "w", zipfile.ZIP_STORED) as target:
        for entry in source.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                target.writestr(zipfile.ZipInfo(entry.filename), source.read(entry))
    return cleaned.getvalue()


def _inference(model: ExportedModel) -> dict[str, object]:
    return {
        "imports": ["$import torch", f"$from {_PARTS} import scans_in"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/scans'",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "datalist": f"$scans_in(@dataset_dir, {model.in_channels})",
        "network_def": "$torch.jit.load(@bundle_root + '/models/model.ts', map_location=@device)",
        "preprocessing": {"_target_": "Compose", "transforms": _preprocessing(model)},
        "dataset": {"_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing"},
        "inferer": {"_target_": f"{_PARTS}.WindowInferer", **model.windows},
        "postprocessing": {"_target_": "Compose", "transforms": _postprocessing(model)},
        "evaluator": {
            "_target_": f"{_PARTS}.Evaluator",
            "dataset": "@dataset",
            "network": "@network_def",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "device": "@device",
        },
        "run": ["$@evaluator.run()"],
    }


def _preprocessing(model: ExportedModel) -> list[dict[str, object]]:
    preprocessing = model.predictor.preprocessing
    return [
        {"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None},
        {
            "_target_": f"{_PARTS}.Respaced",
            "keys": "image",
            "spacing": list(preprocessing.spacing or ()),
            "resampling": preprocessing.resampling,
        },
        *_standardising(model),
    ]


def _standardising(model: ExportedModel) -> list[dict[str, object]]:
    """Return MONAI's transforms if they do the same; they cannot leave zeros out, or clip channels differently."""
    first, *others = intensities = model.intensities()
    if first["measured_on"] != "all" or any(other != first for other in others):
        return [{"_target_": f"{_PARTS}.Standardised", "keys": "image", "intensities": intensities}]
    low, high = first["window"] or (None, None)
    clipping: list[dict[str, object]] = [
        {"_target_": "ThresholdIntensityd", "keys": "image", "threshold": bound, "above": is_low, "cval": bound}
        for bound, is_low in ((low, True), (high, False))
        if bound is not None
    ]
    normalising: dict[str, object] = {"_target_": "NormalizeIntensityd", "keys": "image"}
    if first["mean"] is None:
        return [*clipping, normalising | {"channel_wise": True}]
    return [*clipping, normalising | {"subtrahend": first["mean"], "divisor": first["sd"]}]


def _postprocessing(model: ExportedModel) -> list[dict[str, object]]:
    """Return the way back to the scan, the label map, and the steps of the run on it."""
    saving = {
        "output_dir": "@output_dir",
        "output_postfix": "seg",
        "output_ext": ".nii.gz",
        "writer": f"{_PARTS}.VolumeWriter",
        "output_dtype": "$torch.uint8",
        "resample": False,
        "separate_folder": False,
        "print_log": False,
    }
    plain = dict(zip(model.predictor.labels.names, _plain_names(model), strict=True))
    changed = [{**step, "class_name": plain.get(step["class_name"] or "")} for step in model.postprocessing]
    regions = model.regions
    steps: dict[str, object] = {"steps": changed, "class_names": list(plain.values())}
    steps |= {"regions": regions} if regions else {}
    inverting = {"transform": "@preprocessing", "orig_keys": "image", "nearest_interp": False}
    return [
        {"_target_": "Invertd", "keys": "pred", **inverting},
        {"_target_": f"{_PARTS}.Painted", "keys": "pred"}
        if regions
        else {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        *([{"_target_": f"{_PARTS}.Postprocessed", "keys": "pred", **steps}] if model.postprocessing else []),
        {"_target_": "SaveImaged", "keys": "pred", **saving},
    ]


def _plain_names(model: ExportedModel) -> list[str]:
    """Return the class names; "class N" for one that MONAI's parser would evaluate as Python or as a reference."""
    names = model.predictor.labels.names
    return [f"class {index}" if _EVALUATED.search(name) else name for index, name in enumerate(names)]


def _metadata(model: ExportedModel) -> dict[str, object]:
    labels, versions = model.predictor.labels, installed_versions("monai", "torch", "numpy", "nibabel", "scipy")
    common: dict[str, Any] = {
        "spatial_shape": [f"{unit}*n" if unit > 1 else "*" for unit in model.windows["size_multiple"]],
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": True,
    }
    kinds = sorted({_MODALITIES[modality] for modality in model.modalities})
    image: dict[str, Any] = {
        "type": "image",
        "format": "hounsfield" if kinds == ["CT"] else "magnitude",
        "modality": ", ".join(kinds),
        "num_channels": model.in_channels,
        "channel_def": {str(number): modality for number, modality in enumerate(model.modalities)},
    }
    prediction: dict[str, Any] = {
        "type": "image",
        "format": "segmentation",
        "num_channels": len(labels.outputs),
        "channel_def": {str(at): name for at, name in enumerate(_plain_names(model)[labels.first_output :])},
    }
    return {
        "schema": _SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": "exported by aunet"},
        "monai_version": versions["monai"],
        "pytorch_version": versions["torch"],
        "numpy_version": versions["numpy"],
        "required_packages_version": {name: versions[name] for name in ("nibabel", "scipy")},
        "name": f"aunet {model.name}",
        "task": f"Segmentation of {', '.join(name for _, name in labels.foreground)}",
        "description": f"{model.name}, trained and exported by aunet. docs/README.md is its model card.",
        "authors": "to be stated by the authors",
        "copyright": "to be stated by the authors",
        "intended_use": "Research. It is not a medical device: no clinical use.",
        "network_data_format": {
            "inputs": {"image": image | common},
            "outputs": {"pred": prediction | common},
        },
    }
