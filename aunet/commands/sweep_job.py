"""The process of one job: ``python -m aunet.commands.sweep_job PARENT WORD…`` is ``aunet train WORD…`` for a parent.

When the parent ends without a word, the job stops as on SIGTERM: after its step, with a checkpoint. On other systems
than Linux it goes on instead, and the lock of its folder keeps a second process out.
"""

import ctypes
import os
import signal
import sys

from aunet.commands.main import main

_PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with_parent(parent: int) -> None:
    """Let the system send SIGTERM to this process when the process ``parent`` ends; now, where it has ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    sys.exit(main(["train", *sys.argv[2:]]))
