"""``python -m aunet``: the command line, in the environment of this Python."""

import sys

from aunet.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
