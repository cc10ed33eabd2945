"""The process of one job: ``python -m aunet.commands.sweep_job PARENT WORD…`` is ``aunet train WORD…`` for a parent.

If the parent dies, the job stops as on SIGTERM: after its step, with a checkpoint. On systems other than Linux it
continues instead, and the lock of its folder keeps a second process out.
"""

import ctypes
import os
import signal
import sys

from aunet.commands.main import main

_PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with_parent(parent: int) -> None:
    """Let Linux send SIGTERM to this process when its parent, process ``parent``, ends; exit if it already has."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    sys.exit(main(["train", *sys.argv[2:]]))
