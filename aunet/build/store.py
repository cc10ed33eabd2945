"""Construction of the store of a run's cases, cropped by a coarse run if the configuration names one."""

import shutil
from dataclasses import replace
from pathlib import Path

from aunet.build.model import build_region
from aunet.build.preprocessing import build_digests, build_preprocessing
from aunet.config.schema import RunConfig
from aunet.config.words import path_of
from aunet.data.cohort.case import Cohort
from aunet.data.store.case_store import CaseStore
from aunet.files import replaced_atomically
from aunet.runs.run_folder import RunFolder, checkpoint_of_run, is_run_folder


def build_store(config: RunConfig, cohort: Cohort) -> CaseStore:
    """Return the store of the preprocessed cases; raise UserError if ``data.region`` does not fit them."""
    device = "cpu" if config.trainer.accelerator == "cpu" else None
    return CaseStore(
        root=path_of(config.data.cache) / "cases",
        cohort=cohort,
        preprocessing=build_preprocessing(config.data, config.dataset),
        digests=build_digests(config.data),
        budget=config.store_budget,
        region=build_region(config, device=device),
    )


def use_own_region(config: RunConfig, folder: Path) -> RunConfig:
    """Return ``config`` with the copy of the coarse run in the run's ``folder`` as ``data.region``, if there is one."""
    own = RunFolder(folder).region
    if config.data.region is None or not is_run_folder(own):
        return config
    return replace(config, data=replace(config.data, region=str(own)))


def keep_region(config: RunConfig, folder: Path) -> RunConfig:
    """Copy configuration and weights of the coarse run into the run's ``folder``, unless done, and use them.

    Raises:
        UserError: ``data.region`` does not fit the run; nothing is copied then.
    """
    own = RunFolder(RunFolder(folder).region)
    if config.data.region is not None and not is_run_folder(own.path):
        build_region(config)
        source = path_of(config.data.region)
        chosen = RunFolder(source).postprocessing
        files = {
            own.checkpoints.best: checkpoint_of_run(source),
            **({own.postprocessing: chosen} if chosen.is_file() else {}),
            own.config: RunFolder(source).config,
        }
        for copy, file in files.items():  # the configuration last: a folder with it is complete
            with replaced_atomically(copy) as temporary:
                shutil.copyfile(file, temporary)
    return use_own_region(config, folder)
