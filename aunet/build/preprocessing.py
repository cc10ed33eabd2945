"""Preparation of a run's scans: their modality, and the numbers that standardise CT, measured once and then kept."""

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from aunet.data.cohort.case import Cohort
from aunet.data.cohort.content_digest import ContentDigests
from aunet.data.cohort.modality_names import with_modalities
from aunet.data.cohort.splits import Splits
from aunet.data.preprocessing.foreground_intensities import measure_foreground
from aunet.data.preprocessing.intensity_scale import IntensityScale
from aunet.data.preprocessing.modality_evidence import check_modalities, decide_modalities
from aunet.data.preprocessing.steps import Preprocessing
from aunet.data.store.case_store import CaseStore
from aunet.errors import UserError
from aunet.runs.ranks import first_rank_first, of_first_rank, rank

_log = logging.getLogger(__name__)

Settings = dict[str, Any]


def check_lengths(data: DictConfig) -> None:
    """Raise UserError for a list of the wrong length, or a window whose lowest HU is not below its highest."""
    for key, length, meaning in (
        ("spacing", 3, "mm along right, anterior, superior"),
        ("patch_size", 3, "voxels along right, anterior, superior"),
        ("window", 2, "lowest and highest HU"),
    ):
        values = data[key]
        if OmegaConf.is_list(values) and len(values) != length:
            raise UserError(f"data.{key}={list(values)}: it must hold {length} numbers, {meaning}.")
    if not OmegaConf.is_list(data.window):
        return
    low, high = data.window
    if low >= high:
        raise UserError(f"data.window={[low, high]}: the lowest HU must be below the highest; exchange them.")


def with_given_modality(cohort: Cohort, data: DictConfig) -> Cohort:
    """Return ``cohort`` with the modality of data.modality, if given."""
    given: Any = data.modality
    if given is None:
        return cohort
    named = with_modalities(cohort, given if isinstance(given, str) else list(given), "data.modality")
    for channel, (said, before) in enumerate(zip(named.channel_modalities, cohort.channel_modalities, strict=True)):
        if before not in (None, said):
            _log.warning("data.modality: channel %d is %s, although the dataset calls it %s.", channel, said, before)
    return named


def intensity_facts(config: DictConfig, cohort: Cohort) -> Settings:
    """Return the modality of each channel and the numbers that standardise it; a resumed run keeps its own."""
    recorded = config.dataset
    if not OmegaConf.is_missing(recorded, "modality"):
        return {key: recorded[key] for key in ("modality", "modalities", "intensities")}
    modalities = decide_modalities(cohort, config.data.on_error).channel_modalities
    return {
        "modality": modalities[0] if len(set(modalities)) == 1 else "mixed",
        "modalities": list(modalities),
        "intensities": None,
    }


def with_intensities(settings: Settings, cohort: Cohort, splits: Splits, *, is_begun: bool = False) -> Settings:
    """Return ``settings`` with ``dataset.intensities`` filled in according to data.window; equal on every rank.

    Only the training cases of ``splits`` are read. Numbers that its config.yaml holds already are kept. If the run
    ``is_begun``, its modalities are not checked again.

    Raises:
        UserError: if channels are declared CT but are not, or if data.window=auto finds no labelled voxel.
    """
    data, facts = settings["data"], settings["dataset"]
    if facts["intensities"] is not None:
        return settings
    by_id = {case.case_id: case for case in cohort.cases}
    training = [by_id[case_id] for case_id in splits.train]
    modalities = facts["modalities"] or [facts["modality"]] * facts["in_channels"]
    if not cohort.is_phantom and not is_begun and rank() == 0:
        check_modalities(cohort, modalities, training, data["window"], data["on_error"])
    channels = [channel for channel, modality in enumerate(modalities) if modality == "ct"]
    if data["window"] != "auto" or not channels:
        return settings
    folder = Path(data["cache"]).expanduser() / "intensities"
    with first_rank_first():
        scales = measure_foreground(training, cohort, channels, build_digests(settings), folder, data["on_error"])
    of_channel = dict(zip(channels, of_first_rank(scales), strict=True))
    for channel, scale in of_channel.items():
        _log.info("Intensities of channel %d: %s", channel, _told(scale, len(training)))
    intensities = [of_channel[n].as_facts() if n in of_channel else None for n in range(len(modalities))]
    return settings | {"dataset": facts | {"intensities": intensities}}


def build_preprocessing(settings: Settings) -> Preprocessing:
    """Return the preprocessing of every case; with data.window=auto call ``with_intensities`` first."""
    facts, data = settings["dataset"], settings["data"]
    window = data["window"]
    modalities = tuple(facts["modalities"] or [facts["modality"]])
    scales = tuple(None if scale is None else IntensityScale.of_facts(scale) for scale in facts["intensities"] or ())
    if "ct" not in modalities:
        window = None
    elif window == "auto" and not any(scales):
        raise UserError(
            "dataset.intensities: has no value, but data.window=auto needs the numbers that were measured when the run"
            " began. Restore the run's config.yaml, or train again."
        )
    return Preprocessing(
        tuple(facts["spacing"]),
        modalities[0] if len(set(modalities)) == 1 else modalities,
        None if window in (None, "auto") else (float(window[0]), float(window[1])),
        data["resampling"],
        scales,
    )


def build_digests(settings: Settings) -> ContentDigests:
    """Return the cached digests of the files' content."""
    return ContentDigests(Path(settings["data"]["cache"]).expanduser() / "digests.json")


def build_store(settings: Settings, cohort: Cohort) -> CaseStore:
    """Return the store of the preprocessed cases."""
    return CaseStore(
        root=Path(settings["data"]["cache"]).expanduser() / "cases",
        cohort=cohort,
        preprocessing=build_preprocessing(settings),
        digests=build_digests(settings),
        budget=settings["store_budget"],
    )


def _told(scale: IntensityScale, num_cases: int) -> str:
    low, high = scale.window
    return (
        f"window {low:.0f} to {high:.0f} HU, mean {scale.mean:.0f}, standard deviation {scale.sd:.0f}, of the labelled"
        f" voxels of {num_cases} training cases"
    )
