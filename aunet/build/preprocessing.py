"""Preparation of a run's scans: their modality, and the numbers that standardise CT, measured once and then kept."""

import logging
from dataclasses import replace
from typing import cast

from aunet.config.draft import Draft
from aunet.config.schema import DataConfig, DatasetFacts, Plain, RunConfig
from aunet.config.words import path_of
from aunet.data.cohort.case import Cohort, Modality
from aunet.data.cohort.content_digest import ContentDigests
from aunet.data.cohort.modality_names import with_modalities
from aunet.data.cohort.splits import Splits
from aunet.data.preprocessing.foreground_intensities import measure_foreground
from aunet.data.preprocessing.intensity_scale import IntensityScale
from aunet.data.preprocessing.modality_evidence import check_modalities, decide_modalities
from aunet.data.preprocessing.resampling import Resampling
from aunet.data.preprocessing.steps import Preprocessing
from aunet.errors import UserError
from aunet.runs.ranks import first_rank_first, of_first_rank, rank

_log = logging.getLogger(__name__)


def check_lengths(data: DataConfig) -> None:
    """Raise UserError for a list of the wrong length, or a window whose lowest HU is not below its highest."""
    for key, values, length, meaning in (
        ("spacing", data.spacing, 3, "mm along right, anterior, superior; that of pictures is [1, 1, 1]"),
        ("patch_size", data.patch_size, 3, "voxels along right, anterior, superior; slices and pictures end in 1"),
        ("window", data.window, 2, "lowest and highest HU"),
    ):
        if isinstance(values, list) and len(values) != length:
            raise UserError(f"data.{key}={values}: it must hold {length} numbers, {meaning}.")
    if not isinstance(data.window, list):
        return
    low, high = data.window
    if low >= high:
        raise UserError(f"data.window={[low, high]}: the lowest HU must be below the highest; exchange them.")


def apply_given_modality(cohort: Cohort, data: DataConfig) -> Cohort:
    """Return ``cohort`` with the modality of data.modality, if given."""
    if data.modality is None:
        return cohort
    named = with_modalities(cohort, data.modality, "data.modality")
    for channel, (said, before) in enumerate(zip(named.channel_modalities, cohort.channel_modalities, strict=True)):
        if before not in (None, said):
            _log.warning("data.modality: channel %d is %s, although the dataset calls it %s.", channel, said, before)
    return named


def decide_intensity_facts(draft: Draft, cohort: Cohort) -> tuple[str, list[str] | None, list[Plain | None] | None]:
    """Return ``modality``, ``modalities`` and ``intensities`` of ``DatasetFacts``; a resumed run keeps its own."""
    recorded = draft.dataset
    if draft.is_known("modality"):
        return recorded.modality, recorded.modalities, recorded.intensities
    decided = decide_modalities(cohort, draft.data.on_error).channel_modalities
    modalities = [modality for modality in decided if modality is not None]
    return modalities[0] if len(set(modalities)) == 1 else "mixed", [*modalities], None


def fill_in_intensities(config: RunConfig, cohort: Cohort, splits: Splits, *, is_begun: bool = False) -> RunConfig:
    """Return ``config`` with ``dataset.intensities`` filled in according to data.window; equal on every rank.

    Only the training cases of ``splits`` are read. Numbers that its config.yaml holds already are kept. If the run
    ``is_begun``, its modalities are not checked again.

    Raises:
        UserError: if channels are declared CT but are not, or if data.window=auto finds no labelled voxel.
    """
    data, facts = config.data, config.dataset
    if facts.intensities is not None:
        return config
    by_id = {case.case_id: case for case in cohort.cases}
    training = [by_id[case_id] for case_id in splits.train]
    modalities = facts.modalities or [facts.modality] * facts.in_channels
    if not cohort.is_phantom and not is_begun and rank() == 0:
        check_modalities(cohort, modalities, training, data.window, data.on_error)
    channels = [channel for channel, modality in enumerate(modalities) if modality == "ct"]
    if data.window != "auto" or not channels:
        return config
    folder = path_of(data.cache) / "intensities"
    with first_rank_first():
        scales = measure_foreground(training, cohort, channels, build_digests(data), folder, data.on_error)
    of_channel = dict(zip(channels, of_first_rank(scales), strict=True))
    for channel, scale in of_channel.items():
        _log.info("Intensities of channel %d: %s", channel, _describe(scale, len(training)))
    intensities = [of_channel[n].as_facts() if n in of_channel else None for n in range(len(modalities))]
    return replace(config, dataset=replace(facts, intensities=intensities))


def build_preprocessing(data: DataConfig, facts: DatasetFacts) -> Preprocessing:
    """Return the preprocessing of every case; with data.window=auto call ``fill_in_intensities`` first.

    Raises:
        UserError: if data.window=auto and the numbers that it measured are missing.
    """
    window = data.window
    modalities = cast(tuple[Modality, ...], tuple(facts.modalities or [facts.modality]))
    scales = tuple(None if scale is None else IntensityScale.of_facts(scale) for scale in facts.intensities or ())
    if "ct" not in modalities:
        window = None
    elif window == "auto" and not any(scales):
        raise UserError(
            "dataset.intensities: has no value, but data.window=auto needs the numbers that were measured when the run"
            " began. Restore the run's config.yaml, or train again."
        )
    first, second, third = facts.spacing
    return Preprocessing(
        (first, second, third),
        modalities[0] if len(set(modalities)) == 1 else modalities,
        None if window in (None, "auto") else (float(window[0]), float(window[1])),
        cast(Resampling, data.resampling),
        scales,
    )


def build_digests(data: DataConfig) -> ContentDigests:
    """Return the cached digests of the files' content."""
    return ContentDigests(path_of(data.cache) / "digests.json")


def _describe(scale: IntensityScale, num_cases: int) -> str:
    low, high = scale.window
    return (
        f"window {low:.0f} to {high:.0f} HU, mean {scale.mean:.0f}, standard deviation {scale.sd:.0f}, of the labelled"
        f" voxels of {num_cases} training cases"
    )
