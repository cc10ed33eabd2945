"""Construction of a configuration's network and its predictor.

Parts that only a training needs are in ``task.py``, so that a prediction imports neither Lightning nor MONAI.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import torch

from aunet.build.inferer import build_inferer
from aunet.build.network import build_network, load_checkpoint_weights
from aunet.build.objects import build_entry
from aunet.build.preprocessing import build_preprocessing
from aunet.config.draft import load_draft, load_run_config
from aunet.config.schema import DatasetFacts, InferenceConfig, RunConfig, TrainerConfig
from aunet.config.words import path_of
from aunet.errors import UserError
from aunet.inference.chosen_postprocessing import read_choice
from aunet.inference.coarse_region import CoarseRegion
from aunet.inference.engine_choice import EngineChoice
from aunet.inference.engines import EngineName, check_engine
from aunet.inference.mirror_images import Mirror
from aunet.inference.prediction import Origin
from aunet.inference.predictor import Postprocessing, Predictor
from aunet.inference.training_range import TrainingRange
from aunet.machine import local_rank
from aunet.runs.run_folder import RunFolder, checkpoint_of_run, is_run_folder
from aunet.targets import target_of
from aunet.training.hardware import HardwareChoice, choose_for_hardware, choose_for_prediction, set_tf32


def build_postprocessing(inference: InferenceConfig) -> list[Postprocessing]:
    """Return the steps that change each predicted label map, ``inference.postprocessing``.

    Raises:
        UserError: if an entry does not name a class whose objects can be called.
    """
    steps: list[Postprocessing] = []
    for number, node in enumerate(inference.postprocessing):
        built = build_entry(node)
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
    folder, run = Path(folder), RunFolder(Path(folder))
    config = _load_config(folder, trusted_modules, inference or {})
    network = build_network(config)
    checkpoint = checkpoint_of_run(folder)
    load_checkpoint_weights(network, checkpoint)
    region = build_region(config, run.region, device)
    choice = choose_for_prediction(config.trainer.precision, config.trainer.channels_last, device)
    is_chosen_left_out = inference is not None and inference.get("choose_postprocessing") is False
    chosen = [] if is_chosen_left_out else read_choice(run.postprocessing)
    settings = asdict(config.inference) | {"chosen_postprocessing": [step.as_json() for step in chosen]}
    set_tf32(config.trainer.tf32)
    facts = config.dataset
    return Predictor(
        network=network,
        preprocessing=build_preprocessing(config.data, config.dataset),
        labels=config.dataset.labels,
        inferer=build_inferer(config, network, choice.autocast_type),
        precision=choice.precision,
        channels_last=choice.is_channels_last,
        device=device or training_device(choice),
        in_channels=config.dataset.in_channels,
        region=region,
        sums=torch.float16 if config.inference.sums == "float16" else torch.float32,
        is_air_skipped=_is_air_skipped(config),
        engine=_engine_choice(config, choice, checkpoint, device or training_device(choice)),
        postprocessing=[*build_postprocessing(config.inference), *(step.build() for step in chosen)],
        mirrors=_build_mirrors(config),
        training_range=TrainingRange.of_record(
            run.read_record(), facts.modalities or [facts.modality] * facts.in_channels
        ),
        origin=Origin(folder, checkpoint, settings),
    )


def build_region(config: RunConfig, coarse: Path | None = None, device: str | None = None) -> CoarseRegion | None:
    """Return what crops the scans of a run, whose network is loaded when it is needed; None if nothing crops them.

    Args:
        config: of the run.
        coarse: folder of the coarse run, or of its copy; None for ``data.region``.
        device: where to compute; None chooses it.

    Raises:
        UserError: the coarse run cannot be used, or not on these scans.
    """
    data = config.data
    if data.region is None:
        if data.region_classes is not None:
            raise UserError(
                f"data.region_classes={data.region_classes}: has no effect without data.region=RUN. Give both or none."
            )
        return None
    coarse = coarse or path_of(data.region)
    if not is_run_folder(coarse):
        raise UserError(f"data.region={data.region}: not a run folder. Give the folder of a finished run.")
    found = load_run_config(coarse, config.trusted_modules)
    checkpoint = checkpoint_of_run(coarse)
    _check_region(data.region, config.dataset, found)
    names = found.dataset.class_names
    wanted = data.region_classes or names[1:]
    if unknown := [name for name in wanted if name not in names[1:]]:
        raise UserError(
            f"data.region_classes={unknown}: not classes of {data.region}, which has {names[1:]}. Name some."
        )
    classes = sorted(names.index(name) for name in wanted)
    run = RunFolder(coarse)
    decisive = [run.config, checkpoint, *([run.postprocessing] if run.postprocessing.is_file() else [])]
    identity = _digest(*(_state_of(path) for path in decisive))
    load = partial(load_run, coarse, device, config.trusted_modules)
    return CoarseRegion(load, classes, data.region_margin_mm, identity)


@cache
def _digest(*files: tuple[Path, int, int]) -> str:
    """Return the digest of the content of files; a start asks several times for that of a large checkpoint."""
    return hashlib.sha256(b"".join(path.read_bytes() for path, _, _ in files)).hexdigest()


def _state_of(path: Path) -> tuple[Path, int, int]:
    """Return a file with its size and time of change (ns), which tell whether a digest still holds."""
    status = path.stat()
    return path.resolve(), status.st_size, status.st_mtime_ns


def _check_region(region: str, facts: DatasetFacts, coarse: RunConfig) -> None:
    """Raise UserError unless the coarse run reads scans with the channels and modalities of ``facts``, uncropped."""
    if coarse.data.region is not None:
        raise UserError(
            f"data.region={region}: this run is cropped by a run itself (data.region={coarse.data.region}), and only"
            " one may come before. Name a run on whole scans."
        )
    for meaning, own, other in (
        ("channels", facts.in_channels, coarse.dataset.in_channels),
        ("modality", _modalities(facts), _modalities(coarse.dataset)),
    ):
        if own != other:
            raise UserError(
                f"data.region={region}: was trained on scans of {meaning} {other}, this data has {own}. Train the"
                " coarse run on the same kind of scans."
            )


def _modalities(facts: DatasetFacts) -> str:
    return ", ".join(facts.modalities or [facts.modality] * facts.in_channels)


def _engine_choice(config: RunConfig, choice: HardwareChoice, checkpoint: Path, device: str) -> EngineChoice | None:
    """Return the choice of ``inference.engine``; raise UserError for an engine that cannot run here."""
    name = config.inference.engine
    if name is None:
        return None
    if name != "auto":
        check_engine(cast(EngineName, name), torch.device(device))
    file, status = path_of(config.data.cache) / "engines.json", checkpoint.stat()
    run = f"{checkpoint.resolve()} {status.st_size} {status.st_mtime_ns}"
    has_bf16 = choose_for_prediction("auto", "auto", device).precision == "bf16"
    target = target_of(config.dataset.labels)
    return EngineChoice(cast(Any, name), choice.precision, has_bf16, file, run, target)


def _build_mirrors(config: RunConfig) -> Sequence[Mirror]:
    if not config.inference.flips:
        return ()
    from aunet.build.mirror_images import build_mirrors  # imports MONAI, which takes seconds

    return build_mirrors(config)


def _is_air_skipped(config: RunConfig) -> bool:
    """Return ``inference.skip_air``; raise UserError if the scans are not CT, whose HU alone show air."""
    facts = config.dataset
    modality = (facts.modalities or [facts.modality])[0]
    if config.inference.skip_air and modality != "ct":
        raise UserError(
            f"inference.skip_air=true: only CT shows air in HU, and the first channel of this run is {modality}."
            " Leave it out."
        )
    return config.inference.skip_air


def _load_config(folder: Path, trusted_modules: Sequence[str], inference: Mapping[str, object]) -> RunConfig:
    if not inference:
        return load_run_config(folder, trusted_modules)
    values = {f"inference.{key}": value for key, value in inference.items()}
    return load_draft(folder, trusted_modules).with_values(values).with_facts()


def training_device(choice: HardwareChoice) -> str:
    """Return the device of this process: with several GPUs, its own."""
    return f"cuda:{local_rank()}" if choice.device == "cuda" else choice.device
