"""``aunet info``: cost and receptive field of a run's network, part by part, and the expected end of its training."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from aunet.commands.shared_options import parse_words


def info(words: Sequence[str]) -> None:
    """Print the table for the run that the Hydra overrides in ``words`` describe, as ``aunet train --info`` does."""
    options, overrides = parse_words(_parser(), words)
    from aunet.pipeline.configuration import configure_for_costs
    from aunet.pipeline.costs import measure_run, print_costs

    draft = configure_for_costs(overrides)
    if options.json:
        sys.stdout.write(json.dumps(measure_run(draft).as_json(), indent=2) + "\n")
        return
    print_costs(draft)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="aunet info",
        allow_abbrev=False,
        description="Parameters, GFLOP, activation memory and receptive field of a run's network, part by part, for"
        " its patch and batch; then the speed of its training on this machine and its expected end."
        " Nothing is written, and no phantom is made.",
        epilog="Settings are Hydra overrides, as for aunet train:"
        " model=attention data.patch_size=[160,160,96] data.batch_size=2.",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object instead, for scripts")
    return parser
