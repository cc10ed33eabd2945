"""A dataset named on the command line where a folder could stand, in Hydra's words: ``data=amos22 data.root=…``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aunet.errors import UserError

if TYPE_CHECKING:
    from aunet.data.case import Cohort


def names_dataset(words: Sequence[str | Path]) -> bool:
    """Whether ``words`` are settings of a dataset rather than files."""
    return any(str(word).startswith(("data=", "data.")) and "=" in str(word) for word in words)


def cohort_of_words(words: Sequence[str | Path]) -> "Cohort":
    """The labelled cases that ``words`` name; UserError for words that set something else."""
    from aunet.build import build_cohort
    from aunet.config import SOURCE_ALONE, check_config, compose_config

    texts = [str(word) for word in words]
    if others := [text for text in texts if not names_dataset([text])]:
        raise UserError(f"{others[0]}: beside a dataset only its settings may stand: data=NAME data.root=FOLDER data.…")
    config = compose_config(texts)
    check_config(config, SOURCE_ALONE)
    return build_cohort(config)
