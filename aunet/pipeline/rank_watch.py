"""The process that starts the ranks: ``python -m aunet.pipeline.rank_watch FOLDER WORD…`` is ``torchrun WORD…``.

It also notes in the run's folder which rank the system killed, as that rank cannot.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from torch.distributed import run
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from aunet.machine import STOPS
from aunet.runs.rank_ends import note_killed


def main(words: Sequence[str]) -> int:
    """Run torchrun with all but the first of ``words`` and return the exit status."""
    try:
        run.main(list(words[1:]))
    except ChildFailedError as error:
        killed = {rank: -failure.exitcode for rank, failure in error.failures.items() if failure.exitcode < 0}
        for rank, number in killed.items():
            if number not in STOPS:
                note_killed(Path(words[0]), rank, number)
                break
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
