"""``aunet prepare``: the preprocessed cases that a training with the same overrides reads, made ahead of it."""

from argparse import ArgumentParser
from collections.abc import Sequence

from aunet.commands.shared_options import parse_words


def prepare(words: Sequence[str]) -> None:
    """Fill the store for the Hydra overrides in ``words`` and print the number and size of its cases."""
    options, overrides = parse_words(_parser(), words)
    from aunet.build.data import build_cohort, build_splits, fill_in_facts
    from aunet.build.preprocessing import fill_in_intensities
    from aunet.build.store import build_store
    from aunet.config.draft import compose_draft
    from aunet.data.cohort.faulty_cases import without_faulty
    from aunet.messages import gigabytes
    from aunet.pipeline.places import check_cache
    from aunet.reporting.tables import PaperTable
    from aunet.terminal import table_console

    draft = compose_draft(overrides)
    check_cache(draft.data)
    cohort = build_cohort(draft.data, draft.trusted_modules)
    config = fill_in_facts(draft, cohort)
    splits = build_splits(config.data, cohort)
    config = fill_in_intensities(config, cohort, splits)
    wanted = {*splits.train, *splits.val}
    store = build_store(config, cohort)
    cases = [case for case in cohort.cases if case.case_id in wanted]
    if config.data.on_error == "skip":
        cases = without_faulty(cases, store.prepare)
    stored = store.prepare(cases, is_verifying=options.verify)

    size = gigabytes(sum(case.num_bytes for case in stored))
    row = (config.data.name, str(store.folder), str(len(stored)), size)
    notes = (f"The {len(splits.test)} test cases are read from their own files: nothing of them is stored.",)
    table_console().print(PaperTable("Prepared cases", ("Data", "Where", "Cases", "Size"), ((row,),), notes))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="aunet prepare",
        description="Preprocess the training and validation cases once and keep them, so that training begins at once.",
        epilog="Settings are Hydra overrides, the same as for training: data=ct150 data.root=/scans."
        " Cases that are stored already are kept; after a stop the same command continues.",
    )
    parser.add_argument(
        "--verify", action="store_true", help="unpack everything that is stored, and make again what is damaged"
    )
    return parser
