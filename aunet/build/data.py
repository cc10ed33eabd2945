"""Construction of the cases that a configuration names, and the facts of the run that follow from them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from inspect import signature

from hydra.utils import get_object

from aunet.build.objects import build_object
from aunet.build.preprocessing import apply_given_modality, check_lengths, decide_intensity_facts
from aunet.config.draft import Draft, compose_draft
from aunet.config.hydra_keys import SEARCH_PATH
from aunet.config.schema import DataConfig, DatasetFacts, RunConfig
from aunet.config.trust import SOURCE_ALONE
from aunet.config.words import key_of, names_dataset, path_of
from aunet.data.cohort.case import Cohort
from aunet.data.cohort.foreign_cases import with_foreign_cases
from aunet.data.cohort.groups import groups_by_name
from aunet.data.cohort.references import present_classes
from aunet.data.cohort.selection import mended_cohort, selected_cohort
from aunet.data.cohort.split_file import read_splits
from aunet.data.cohort.splits import Fold, Splits, SplitSizes, split_cases
from aunet.data.patches.planning import PatchPlan, check_plan, plan_patches
from aunet.errors import UserError
from aunet.training.hardware import check_can_be_sharded


def build_cohort(data: DataConfig, trusted_modules: Sequence[str] = ()) -> Cohort:
    """Return the cases that ``data`` names.

    Args:
        data: the settings of the dataset.
        trusted_modules: Python packages of the user's own that the words of ``data.test_on`` may name.

    Raises:
        UserError: if there are none, or a file is missing or does not fit the others.
    """
    cohort = selected_cohort(_build_source(data), data.cases, data.on_error)
    if data.test_on is None:
        return cohort
    return with_foreign_cases(cohort, build_cohort(compose_tested(data.test_on, trusted_modules)), data.test_on)


def compose_tested(words: list[str], trusted_modules: Sequence[str] = ()) -> DataConfig:
    """Return the settings of the dataset that ``words``, those of ``data.test_on``, name as on the command line.

    Raises:
        UserError: for a word that sets something else than a dataset or the folders of its YAML files.
    """
    of_dataset = [word for word in words if key_of(word) != SEARCH_PATH]
    if not of_dataset or not all(names_dataset([word]) for word in of_dataset):
        raise UserError(
            f"data.test_on={words}: name another dataset as on the command line, by settings of data alone:"
            ' \'data.test_on=["data=NAME","data.root=FOLDER"]\'.'
        )
    data = compose_draft([*words, f"trusted_modules=[{','.join(trusted_modules)}]"], SOURCE_ALONE).data
    if data.test_on is not None:
        raise UserError(f"data.test_on={words}: the other dataset cannot have a data.test_on itself. Leave it out.")
    return data


def build_listed_cohort(data: DataConfig) -> Cohort:
    """Return the cohort of ``build_cohort`` including the cases whose files do not open."""
    check_lengths(data)
    return selected_cohort(_build_source(data), data.cases, "stop")


def describe_cohort(data: DataConfig, trusted_modules: Sequence[str] = ()) -> Cohort:
    """Return the cohort of ``build_cohort``, making phantoms only if spacing or patch size depends on their files."""
    is_phantom = data.root is None and "num_phantoms" in data.source
    if is_phantom and data.spacing is not None and data.patch_size is not None:
        return apply_given_modality(_build_listed(data, are_phantoms_made=False), data)
    return build_cohort(data, trusted_modules)


def fill_in_facts(draft: Draft, cohort: Cohort) -> RunConfig:
    """Return the whole configuration with the facts of ``cohort``; a resumed run keeps those that it began with.

    Raises:
        UserError: if a setting does not fit the cases, or cannot be combined with another.
    """
    check_lengths(draft.data)
    check_can_be_sharded(draft.trainer)
    plan = _plan_patches(draft, cohort)
    if not cohort.is_phantom and not draft.resume:
        check_plan(cohort.own.cases, plan)
    modality, modalities, intensities = decide_intensity_facts(draft, cohort.own)
    facts = DatasetFacts(
        in_channels=cohort.num_channels,
        num_classes=len(cohort.labels.outputs),
        class_names=list(cohort.labels.names),
        regions=[list(values) for values in cohort.labels.regions] or None,
        modality=modality,
        modalities=modalities,
        intensities=intensities,
        spatial_dims=2 if plan.patch_size[-1] == 1 else 3,
        spacing=list(plan.spacing),
        patch_size=list(plan.patch_size),
        batch_size=plan.batch_size,
    )
    return draft.with_facts(facts)


def build_splits(data: DataConfig, cohort: Cohort) -> Splits:
    """Return which cases train, validate and test.

    With ``data.test_on`` the cases of the other dataset are tested. Those that would be tested without it are in no
    part, so that both runs train on the same cases.
    """
    splits = _split_own(data, cohort.own)
    if not cohort.foreign:
        return splits
    return replace(splits, test=tuple(case.case_id for case in cohort.cases if case.case_id in cohort.foreign))


def _split_own(data: DataConfig, cohort: Cohort) -> Splits:
    split, cases = data.split, cohort.cases
    if split.file is not None:
        return read_splits(path_of(split.file), cases, data.fold, split.val, split.seed, data.on_error)
    return split_cases(
        cases,
        SplitSizes(split.val, split.test, split.train),
        split.seed,
        fold=None if data.fold is None else Fold(data.fold, split.folds),
        group_of=None if split.group is None else groups_by_name(cases, split.group),
        presence=present_classes(cohort) if split.stratify else None,
    )


def _plan_patches(draft: Draft, cohort: Cohort) -> PatchPlan:
    """Return spacing, patch and batch: for a resumed run those it began with, as the rules may have changed since.

    A job of a sweep resumes a folder that was written before its data was seen: it has none of them yet.
    """
    begun, wanted = draft.dataset, draft.data
    is_begun: Callable[[str], bool] = draft.is_known if draft.resume else lambda fact: False
    return plan_patches(
        cohort.own.cases,
        begun.spacing if is_begun("spacing") else wanted.spacing,
        begun.patch_size if is_begun("patch_size") else wanted.patch_size,
        begun.batch_size if is_begun("batch_size") else wanted.batch_size,
    )


def _build_listed(data: DataConfig, **arguments: bool) -> Cohort:
    """Return the cohort that ``data.source`` lists, with the regions of ``data.target_regions`` if they are set."""
    if data.target_regions is None:
        return build_object(data.source, **arguments)
    if "regions" not in signature(get_object(data.source["_target_"])).parameters:
        raise UserError(
            f"data.target_regions: {data.source['_target_']} has no argument regions. Add it and pass it on to"
            " label_map, or take data=folder or another dataset of aunet."
        )
    return build_object(data.source, **arguments, regions=data.target_regions)


def _build_source(data: DataConfig) -> Cohort:
    cohort = apply_given_modality(_build_listed(data), data)
    return cohort if data.fixes is None else mended_cohort(cohort, path_of(data.fixes))
