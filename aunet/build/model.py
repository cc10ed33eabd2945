"""Construction of a configuration's network, its sliding window and its predictor.

Parts that only a training needs are in ``task.py``, so that a prediction imports neither Lightning nor MONAI.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from aunet.build.data import build_object
from aunet.build.preprocessing import build_preprocessing
from aunet.classes import Labels
from aunet.config.draft import load_draft, load_run_config
from aunet.config.schema import DatasetFacts, InferenceConfig, ModelConfig, RunConfig, Target, TrainerConfig
from aunet.errors import UserError
from aunet.inference.predictor import Postprocessing, Predictor
from aunet.inference.window_layout import Window
from aunet.networks import UNet
from aunet.networks.protocols import SizedNetwork
from aunet.networks.slice_by_slice import SliceBySlice
from aunet.runs.run_folder import checkpoint_of_run
from aunet.training.hardware import HardwareChoice, choose_for_hardware, choose_for_prediction, set_tf32

# Of a network that does not state its own: five levels, each half as fine as the one before, are usual.
_USUAL_SIZE_MULTIPLE = 16


def build_network(config: RunConfig) -> nn.Module:
    """Return the network with fresh weights, a function of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = build_object(config.model.network)
    return SliceBySlice(network) if config.dataset.spatial_dims == 2 else network


def build_window(inference: InferenceConfig, dataset: DatasetFacts, model: ModelConfig, network: nn.Module) -> Window:
    """Return the sliding window with which validation, test and ``aunet predict`` predict whole cases.

    Raises:
        UserError: if the patch size is not a multiple that ``network`` accepts, with the next larger one that is.
    """
    patch_size = tuple(dataset.patch_size)
    stated = model.size_multiple or _USUAL_SIZE_MULTIPLE
    multiple = network.size_multiple if isinstance(network, SizedNetwork) else (stated,) * len(patch_size)
    if dataset.spatial_dims == 2:
        multiple = (*multiple[:2], 1)
    if any(length % unit for length, unit in zip(patch_size, multiple, strict=True)):
        rounded = [-(-length // unit) * unit for length, unit in zip(patch_size, multiple, strict=True)]
        raise UserError(
            f"data.patch_size={list(patch_size)}: model={model.name} takes multiples of {list(multiple)}."
            f" Set data.patch_size={rounded}."
        )
    one_pass = inference.one_pass_voxels if isinstance(network, UNet) and network.is_local else 0
    return Window(patch_size, inference.overlap, multiple, inference.window_batch, one_pass)


def build_postprocessing(inference: InferenceConfig) -> list[Postprocessing]:
    """Return the steps that change each predicted label map, ``inference.postprocessing``.

    Raises:
        UserError: if an entry does not name a class whose objects can be called.
    """
    steps: list[Postprocessing] = []
    for number, node in enumerate(inference.postprocessing):
        built: object = build_object(cast(Target, node)) if isinstance(node, Mapping) and "_target_" in node else None
        if not callable(built):
            raise UserError(
                f"inference.postprocessing[{number}]={node}: not a step. Write {{_target_: my_package.MyStep}}, a class"
                " whose objects map a Prediction to its new label map, and its arguments."
            )
        steps.append(cast(Postprocessing, built))
    return steps


def choose_hardware(trainer: TrainerConfig) -> HardwareChoice:
    """Choose precision and memory layout of the run."""
    return choose_for_hardware(
        trainer.precision,
        trainer.channels_last,
        trainer.accelerator,
        is_tf32=trainer.tf32,
        is_deterministic=trainer.deterministic,
    )


def load_run(
    folder: str | Path,
    device: str | None = None,
    trusted_modules: Sequence[str] = (),
    inference: Mapping[str, object] | None = None,
) -> Predictor:
    """Load a trained run for prediction: its best checkpoint (else its last) and its own preprocessing.

    Args:
        folder: the run's folder.
        device: where to compute; None chooses it.
        trusted_modules: Python packages of your own that its configuration may name.
        inference: settings of ``inference`` that replace the run's, such as ``{"overlap": 0.25}``.

    Raises:
        UserError: if the folder is not one of a run, its configuration or checkpoint cannot be used, or ``inference``
            has an unknown key or a value that breaks its rule.
    """
    folder = Path(folder)
    config = _load_config(folder, trusted_modules, inference or {})
    network = build_network(config)
    load_checkpoint_weights(network, checkpoint_of_run(folder))
    choice = choose_for_prediction(config.trainer.precision, config.trainer.channels_last, device)
    set_tf32(config.trainer.tf32)
    return Predictor(
        network=network,
        preprocessing=build_preprocessing(config.data, config.dataset),
        labels=Labels(tuple(config.dataset.class_names)),
        window=build_window(config.inference, config.dataset, config.model, network),
        precision=choice.precision,
        channels_last=choice.is_channels_last,
        device=device or training_device(choice),
        in_channels=config.dataset.in_channels,
        postprocessing=build_postprocessing(config.inference),
    )


def _load_config(folder: Path, trusted_modules: Sequence[str], inference: Mapping[str, object]) -> RunConfig:
    if not inference:
        return load_run_config(folder, trusted_modules)
    values = {f"inference.{key}": value for key, value in inference.items()}
    return load_draft(folder, trusted_modules).with_values(values).with_facts()


def load_checkpoint_weights(network: nn.Module, checkpoint: Path) -> None:
    """Load the network's weights from a checkpoint, reading tensors only.

    Raises:
        UserError: if the file is damaged or holds the weights of another network.
    """
    try:
        state: Mapping[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        weights = {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}
        network.load_state_dict(weights)
    except (OSError, EOFError, RuntimeError, KeyError, ValueError) as error:
        raise UserError(
            f"{checkpoint}: does not hold the weights of this run's network ({str(error).splitlines()[0]}). It may be"
            " damaged, or config.yaml was changed; use another checkpoint or another run."
        ) from None


def training_device(choice: HardwareChoice) -> str:
    """Return the device of this process: with several GPUs, its own."""
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if choice.device == "cuda" else choice.device
