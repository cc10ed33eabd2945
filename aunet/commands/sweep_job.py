"""The process of one job: ``python -m aunet.commands.sweep_job PARENT WORD…`` is ``aunet train WORD…`` for a parent.

If the parent dies, the job stops as on SIGTERM: after its step, with a checkpoint. On systems other than Linux it
continues instead, and the lock of its folder keeps a second process out.
"""

import sys

from aunet.commands.main import main
from aunet.machine import end_with_parent

if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    sys.exit(main(["train", *sys.argv[2:]]))
