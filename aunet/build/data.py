"""Construction of the cases, the network and the predictor that a configuration names.

Parts that only a training needs are in ``build_task.py``, so that a prediction imports neither Lightning nor MONAI.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from aunet.build.preprocessing import (
    build_preprocessing,
    check_lengths,
    intensity_facts,
    with_given_modality,
)
from aunet.classes import Labels
from aunet.config.composition import load_run_settings, resolve_config
from aunet.data.cohort.case import Cohort
from aunet.data.cohort.groups import groups_by_name, present_classes
from aunet.data.cohort.selection import mended_cohort, selected_cohort
from aunet.data.cohort.split_file import read_splits
from aunet.data.cohort.splits import Fold, Splits, SplitSizes, split_cases
from aunet.data.patches.planning import PatchPlan, plan_patches
from aunet.errors import UserError
from aunet.inference.predictor import Predictor
from aunet.inference.window_layout import Window
from aunet.networks import UNet
from aunet.networks.protocols import SizedNetwork
from aunet.networks.slice_by_slice import SliceBySlice
from aunet.runs.run_folder import checkpoint_of_run
from aunet.training.hardware import (
    HardwareChoice,
    check_can_be_sharded,
    choose_for_hardware,
    choose_for_prediction,
    set_tf32,
)

Settings = dict[str, Any]

# Of a network that does not state its own: five levels, each half as fine as the one before, are usual.
_USUAL_SIZE_MULTIPLE = 16


def build_cohort(config: DictConfig) -> Cohort:
    """Return the cases that ``data`` names."""
    return selected_cohort(_source_cohort(config), config.data.cases, config.data.on_error)


def build_listed_cohort(config: DictConfig) -> Cohort:
    """Return the cohort of ``build_cohort`` including the cases whose files do not open."""
    check_lengths(config.data)
    return selected_cohort(_source_cohort(config), config.data.cases, "stop")


def describe_cohort(config: DictConfig) -> Cohort:
    """Return the cohort of ``build_cohort``, making phantoms only if spacing or patch size depends on their files."""
    data = config.data
    is_phantom = data.root is None and "num_phantoms" in data.source
    if is_phantom and data.spacing is not None and data.patch_size is not None:
        return with_given_modality(build_object(data.source, are_phantoms_made=False), data)
    return build_cohort(config)


def with_facts(config: DictConfig, cohort: Cohort) -> Settings:
    """Return the whole configuration as plain values, with the facts of the data filled in."""
    data = config.data
    check_lengths(data)
    check_can_be_sharded(config.trainer)
    plan = _plan(config, cohort)
    facts = {
        **intensity_facts(config, cohort),
        "in_channels": cohort.num_channels,
        "num_classes": cohort.labels.num_classes,
        "class_names": list(cohort.labels.names),
        "spatial_dims": 2 if plan.patch_size[-1] == 1 else 3,
        "spacing": list(plan.spacing),
        "patch_size": list(plan.patch_size),
        "batch_size": plan.batch_size,
    }
    return resolve_config(config, facts)


def build_splits(settings: Settings, cohort: Cohort) -> Splits:
    """Return which cases train, validate and test."""
    split, fold, cases = settings["data"]["split"], settings["data"]["fold"], cohort.cases
    if split["file"] is not None:
        file, on_error = Path(split["file"]).expanduser(), settings["data"]["on_error"]
        return read_splits(file, cases, fold, split["val"], split["seed"], on_error)
    return split_cases(
        cases,
        SplitSizes(split["val"], split["test"], split["train"]),
        split["seed"],
        fold=None if fold is None else Fold(fold, split["folds"]),
        group_of=None if split["group"] is None else groups_by_name(cases, split["group"]),
        presence=present_classes(cohort) if split["stratify"] else None,
    )


def build_network(settings: Settings) -> nn.Module:
    """Return the network with fresh weights, a function of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings["seed"])
        network = build_object(settings["model"]["network"])
    return SliceBySlice(network) if settings["dataset"]["spatial_dims"] == 2 else network


def build_window(settings: Settings, network: nn.Module) -> Window:
    """Return the sliding window of validation and prediction."""
    inference, patch_size = settings["inference"], tuple(settings["dataset"]["patch_size"])
    told = settings["model"]["size_multiple"] or _USUAL_SIZE_MULTIPLE
    multiple = network.size_multiple if isinstance(network, SizedNetwork) else (told,) * len(patch_size)
    if settings["dataset"]["spatial_dims"] == 2:
        multiple = (*multiple[:2], 1)
    if any(length % unit for length, unit in zip(patch_size, multiple, strict=True)):
        rounded = [-(-length // unit) * unit for length, unit in zip(patch_size, multiple, strict=True)]
        raise UserError(
            f"data.patch_size={list(patch_size)}: model={settings['model']['name']} takes multiples of"
            f" {list(multiple)}. Set data.patch_size={rounded}."
        )
    one_pass = inference["one_pass_voxels"] if isinstance(network, UNet) and network.is_local else 0
    return Window(patch_size, inference["overlap"], multiple, inference["window_batch"], one_pass)


def choose_hardware(settings: Settings) -> HardwareChoice:
    """Choose precision and memory layout of the run."""
    trainer = settings["trainer"]
    return choose_for_hardware(
        trainer["precision"],
        trainer["channels_last"],
        trainer["accelerator"],
        is_tf32=trainer["tf32"],
        is_deterministic=trainer["deterministic"],
    )


def load_run(folder: str | Path, device: str | None = None, trusted_modules: Sequence[str] = ()) -> Predictor:
    """Load a trained run for prediction: its best checkpoint (else its last) and its own preprocessing.

    Args:
        folder: the run's folder.
        device: where to compute; None chooses it.
        trusted_modules: Python packages of your own that its configuration may name.
    """
    settings = load_run_settings(Path(folder), trusted_modules)
    network = build_network(settings)
    load_checkpoint_weights(network, checkpoint_of_run(Path(folder)))
    trainer = settings["trainer"]
    choice = choose_for_prediction(trainer["precision"], trainer["channels_last"], device)
    set_tf32(trainer["tf32"])
    window = build_window(settings, network)
    return Predictor(
        network=network,
        preprocessing=build_preprocessing(settings),
        labels=Labels(tuple(settings["dataset"]["class_names"])),
        patch_size=window.patch_size,
        overlap=window.overlap,
        size_multiple=window.size_multiple,
        window_batch=window.window_batch,
        one_pass_voxels=window.one_pass_voxels,
        precision=choice.precision,
        channels_last=choice.is_channels_last,
        device=device or training_device(choice),
        in_channels=settings["dataset"]["in_channels"],
    )


def load_checkpoint_weights(network: nn.Module, checkpoint: Path) -> None:
    """Load the network's weights from a checkpoint, reading tensors only."""
    try:
        state: Mapping[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        weights = {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}
        network.load_state_dict(weights)
    except (OSError, EOFError, RuntimeError, KeyError, ValueError) as error:
        raise UserError(
            f"{checkpoint}: does not hold the weights of this run's network ({str(error).splitlines()[0]}). It may be"
            " damaged, or config.yaml was changed; use another checkpoint or another run."
        ) from None


def _plan(config: DictConfig, cohort: Cohort) -> PatchPlan:
    """Return spacing, patch and batch: for a resumed run those it began with, as the rules may have changed since.

    A job of a sweep resumes a folder that was written before its data was seen: it has none of them yet.
    """
    spacing, patch_size, batch_size = (_begun_or_wanted(config, key) for key in ("spacing", "patch_size", "batch_size"))
    return plan_patches(cohort.cases, spacing, patch_size, batch_size)


def _begun_or_wanted(config: DictConfig, key: str) -> Any:
    begun = OmegaConf.select(config, f"dataset.{key}") if config.resume else None
    return config.data[key] if begun is None else begun


def _source_cohort(config: DictConfig) -> Cohort:
    cohort = with_given_modality(build_object(config.data.source), config.data)
    fixes = config.data.fixes
    return cohort if fixes is None else mended_cohort(cohort, Path(fixes).expanduser())


def build_object(node: Any, **arguments: Any) -> Any:
    """Return the object that ``node`` names, built with ``arguments`` too; a UserError passes through unchanged."""
    try:
        return instantiate(node, _convert_="all", **arguments)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        # A source also reads files, and an error there is not caused by an argument of the user.
        if isinstance(error.__cause__, TypeError | ValueError) and not node["_target_"].startswith("aunet.data."):
            raise UserError(
                f"{node['_target_']} refuses its arguments: {error.__cause__}. Compare their values and types with"
                " its documentation."
            ) from error
        raise


def training_device(choice: HardwareChoice) -> str:
    """Return the device of this process: with several GPUs, its own."""
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if choice.device == "cuda" else choice.device
