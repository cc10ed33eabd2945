"""Settings that fit a cohort, as overrides to copy, each with its reason: for grid, network and intensities.

Fixes change no file either: cases to leave out, and a value for the class that lacks one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.selection import CaseFixes
from aunet.data.patches.planning import PatchPlan, plan_patches
from aunet.data.preprocessing.image_intensities import PERCENTILES
from aunet.doctor.case_facts import CaseFacts
from aunet.doctor.examination import Examination
from aunet.doctor.finding import SAME_IMAGE, UNKNOWN_VALUES, Finding, Severity
from aunet.networks.pooling_plan import Sizes, plan_pooling

_WIDTHS = (16, 32, 64, 128, 256)
_FEWEST_LEVELS = 2
# Fewest voxels of the bottleneck along a pooled axis: with fewer, its 3-voxel kernels see mostly padding.
_SHORTEST_BOTTLENECK = 4
# A window that cuts off more than 5 % of a class at one end hides how the class looks.
_ENDS = (PERCENTILES.index(5.0), PERCENTILES.index(95.0))


@dataclass(frozen=True)
class ProposedSetting:
    """One override and its reason."""

    override: str
    reason: str


def propose_settings(cases: Sequence[Case], network: Mapping[str, object]) -> list[ProposedSetting]:
    """Propose settings for ``cases``, all of them usable; also the network's if ``network`` has their keys."""
    measured = plan_patches(cases, None, None, None)
    spacing = tuple(float(f"{side:.4g}") for side in measured.spacing)
    plan = plan_patches(cases, spacing, measured.patch_size, None)
    axes = 2 if plan.patch_size[-1] == 1 else 3
    num_levels, strides = _depth(plan, axes)
    settings = [
        ProposedSetting(f"data.spacing={_listed(spacing)}", "the median of the scans, in mm"),
        ProposedSetting(f"data.patch_size={_listed(plan.patch_size)}", _reason_of_patch(plan, axes)),
        ProposedSetting(f"data.batch_size={plan.batch_size}", "two patches, more if they are small"),
    ]
    if "channels" in network and "spacing" in network:  # only our networks; others plan their levels themselves
        smallest = "×".join(str(size) for size in _bottleneck(plan, strides))
        settings += [
            ProposedSetting(
                f"model.network.channels={_listed(_WIDTHS[:num_levels])}",
                f"{num_levels} levels: the patch is {smallest} voxels in the bottleneck",
            ),
            ProposedSetting(f"model.network.strides={_listed(strides)}", _reason_of_strides(spacing[:axes], strides)),
        ]
    return settings


def propose_intensities(
    cohort: Cohort, facts: Sequence[CaseFacts], given: object, window: tuple[float, float] | None
) -> list[ProposedSetting]:
    """Propose the modality if the files determined it, and data.window=auto if ``window`` cuts a class off.

    Args:
        cohort: the cohort, with its modalities as far as they are known.
        facts: of the usable cases.
        given: data.modality.
        window: HU to which CT is clipped; None if nothing is clipped, or if the window is measured.
    """
    known = [modality for modality in cohort.channel_modalities if modality]
    settings: list[ProposedSetting] = []
    if given is None and len(known) == cohort.num_channels:
        words = known[0] if len(set(known)) == 1 else _listed(known)
        settings.append(ProposedSetting(f"data.modality={words}", "what the dataset says or its files show"))
    if cohort.channel_modalities[0] == "ct" and window is not None and (cut := _classes_cut_off(cohort, facts, window)):
        reason = f"{list(window)} HU cuts off {', '.join(cut)}; auto measures the window on the training cases"
        settings.append(ProposedSetting("data.window=auto", reason))
    return settings


def _classes_cut_off(cohort: Cohort, facts: Sequence[CaseFacts], window: tuple[float, float]) -> list[str]:
    """Return the classes with more than 5 % of their voxels beyond an end of ``window`` in the median case."""
    names: list[str] = []
    for index, name in cohort.labels.foreground:
        found = [case.classes[index].percentiles for case in facts if index in case.classes]
        if found:
            low, high = (float(np.median([row[end] for row in found])) for end in _ENDS)
            if low < window[0] or high > window[1]:
                names.append(f"{name} ({low:.0f} to {high:.0f})")
    return names


def _depth(plan: PatchPlan, axes: int) -> tuple[int, Sizes]:
    """Return the most levels whose strides divide the patch and leave the bottleneck long enough, and the strides."""
    for num_levels in range(len(_WIDTHS), _FEWEST_LEVELS, -1):
        strides, _ = plan_pooling(plan.spacing[:axes], num_levels)
        pooled = [prod(stride[axis] for stride in strides) for axis in range(axes)]
        fits = [
            unit == 1 or (length % unit == 0 and length // unit >= _SHORTEST_BOTTLENECK)
            for length, unit in zip(plan.patch_size, pooled, strict=False)
        ]
        if all(fits):
            return num_levels, strides
    return _FEWEST_LEVELS, plan_pooling(plan.spacing[:axes], _FEWEST_LEVELS)[0]


def _bottleneck(plan: PatchPlan, strides: Sizes) -> list[int]:
    return [plan.patch_size[axis] // prod(stride[axis] for stride in strides) for axis in range(len(strides[0]))]


def _reason_of_patch(plan: PatchPlan, axes: int) -> str:
    sides = "×".join(f"{length * side:.0f}" for length, side in zip(plan.patch_size, plan.spacing, strict=True))
    slices = ", one slice" if axes == 2 else ""
    return f"{sides} mm: the median scan in multiples of 16 voxels, cut to what a training step can hold{slices}"


def _reason_of_strides(spacing: Sequence[float], strides: Sizes) -> str:
    if all(length == 2 for stride in strides for length in stride):
        return "the voxels are about as long along every axis: each level halves all of them"
    ratio = max(spacing) / min(spacing)
    return f"the voxels are {ratio:.1f} times as long along one axis: it is not pooled before the others are as coarse"


def _listed(values: Sequence[float | str | tuple[float, ...]]) -> str:
    """Return the values as a list that Hydra reads, without blanks."""
    return "[" + ",".join(_listed(value) if isinstance(value, tuple) else str(value) for value in values) + "]"


def propose_fixes(examination: Examination, cohort: Cohort) -> CaseFixes:
    """Propose to leave out unusable cases and repeated images, and to map a value if only one class can be meant.

    If several values or several classes are in question, the cases are left out instead of guessing.
    """
    class_of_value = mapped_values(examination, cohort)
    values_of_case = {case.case_id: case.values for case in examination.facts}

    def is_mended(finding: Finding) -> bool:
        known = cohort.class_of_value.keys() | class_of_value.keys()
        return finding.kind is UNKNOWN_VALUES and values_of_case[finding.case_id].keys() <= known

    leave_out: dict[str, str] = {}
    for finding in examination.findings:
        is_serious = finding.kind.severity is Severity.ERROR or finding.kind is SAME_IMAGE
        if is_serious and finding.case_id and not is_mended(finding):
            leave_out.setdefault(finding.case_id, f"{finding.kind.name}: {finding.message}")
    return CaseFixes(leave_out, class_of_value)


def mapped_values(examination: Examination, cohort: Cohort) -> dict[int, str]:
    """Map the one value without a class to the one class whose values occur nowhere; otherwise map nothing."""
    if cohort.is_other_background:
        return {}
    found = {value for case in examination.facts for value in case.values}
    unknown = [value for value in found if value not in cohort.class_of_value]
    present = {cohort.class_of_value[value] for value in found if value in cohort.class_of_value}
    spoken_of = [pair for pair in cohort.labels.foreground if any(case.annotates(pair[0]) for case in cohort.cases)]
    missing = [name for index, name in spoken_of if present.isdisjoint(cohort.labels.values_of(index))]
    return {unknown[0]: missing[0]} if len(unknown) == len(missing) == 1 else {}
