"""A dataset given on the command line instead of a folder, as Hydra overrides: ``data=amos22 data.root=…``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aunet.errors import UserError

if TYPE_CHECKING:
    from aunet.data.cohort.case import Cohort


def names_dataset(words: Sequence[str | Path]) -> bool:
    """Return whether any of ``words`` is a setting of a dataset rather than a file."""
    return any(str(word).startswith(("data=", "data.")) and "=" in str(word) for word in words)


def cohort_of_words(words: Sequence[str | Path]) -> "Cohort":
    """Return the labelled cases that ``words`` name; raise UserError for words that set something else."""
    from aunet.build.data import build_cohort
    from aunet.config.composition import SOURCE_ALONE, check_config, compose_config

    texts = [str(word) for word in words]
    if others := [text for text in texts if not names_dataset([text])]:
        raise UserError(
            f"{others[0]}: beside a dataset only its settings are accepted: data=NAME data.root=FOLDER data.…"
        )
    config = compose_config(texts)
    check_config(config, SOURCE_ALONE)
    return build_cohort(config)
