"""One training run, a sweep with `-m`, or a study with `experiment=<name>`: `aunet train` under its familiar name."""

import sys

from aunet.commands.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
