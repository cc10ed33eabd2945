"""`aunet probe`: replace the coefficients of a finished run's gates, to see whether they matter; nothing is trained."""

import argparse
from typing import TYPE_CHECKING

from aunet.commands.shared_options import add_output, add_trust, check_output, path_argument
from aunet.errors import UserError

if TYPE_CHECKING:
    from aunet.pipeline.gate_probe import ProbeOptions

INTERVENTIONS = ("open", "mean", "shuffled", "other-case", "inverted", "blurred")
_TARGETS = ("all", "level", "gate")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``aunet probe``."""
    parser.add_argument("run", type=path_argument, metavar="RUN", help="folder of a finished run of an attention model")
    add_output(parser, "folder for tables and pictures; one in RUN joins its report")
    add_trust(parser)
    parser.add_argument("--cases", choices=("validation", "test"), default="test", help="which cases; test by default")
    parser.add_argument("--max-cases", type=int, metavar="N", help="only the first N of these cases")
    parser.add_argument(
        "--interventions",
        nargs="+",
        choices=INTERVENTIONS,
        default=INTERVENTIONS,
        metavar="NAME",
        help=f"which of {', '.join(INTERVENTIONS)}; all by default. The verdict needs mean",
    )
    parser.add_argument(
        "--targets",
        nargs="+",
        choices=_TARGETS,
        default=_TARGETS,
        metavar="WHICH",
        help="change all gates at once (all), those of one level (level), each alone (gate); by default all three",
    )
    parser.add_argument("--blur", type=float, default=10.0, metavar="MM", help="sigma of the blur; 10 mm by default")
    parser.add_argument("--seed", type=int, default=0, help="of shuffling and of newly drawn weights; 0 by default")
    parser.add_argument(
        "--margin", type=float, default=0.01, metavar="DICE", help="largest change of Dice that counts as none; 0.01"
    )
    parser.add_argument(
        "--against",
        type=path_argument,
        metavar="RUN",
        help="run of the same model on permuted labels, whose maps must differ",
    )
    parser.add_argument(
        "--unet", type=path_argument, metavar="RUN", help="run of a U-Net (any network) whose Grad-CAM is scored too"
    )
    parser.add_argument("--pictures", type=int, default=3, metavar="N", help="cases to picture; 3 by default")
    parser.add_argument(
        "--grad-cam-only", action="store_true", help="score Grad-CAM alone, for a network without gates"
    )
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda or cuda:N; without it a GPU if there is one")


def probe(arguments: argparse.Namespace) -> None:
    """Probe the run, print the tables, and write them with pictures, probe.json and probe.html."""
    _check(arguments)
    from aunet.commands.predict import check_device
    from aunet.pipeline.gate_probe import GateProbing
    from aunet.pipeline.probe_files import write_findings
    from aunet.pipeline.probed_run import read_probed_run
    from aunet.terminal import run_progress, table_console

    device = check_device(arguments.device)
    run = read_probed_run(arguments.run, arguments.cases, arguments.max_cases, device, arguments.trust)
    probing = GateProbing(run, _options(arguments), arguments.output)
    with run_progress() as progress:
        bar = progress.add_task(f"Probing {len(run.cases)} cases", total=probing.num_steps)
        findings = probing.run(lambda: progress.update(bar, advance=1))
        tables = write_findings(arguments.output, run, findings, probing, arguments.margin, progress)
    if arguments.output.resolve().parent == arguments.run.resolve():
        from aunet.reporting.report import build_report

        build_report(arguments.run)  # which includes the findings
    console = table_console()
    for table in tables:
        console.print(table, "")
    for note in findings.notes:
        console.print(f"Note: {note}", soft_wrap=True, markup=False)
    console.print(f"Tables, pictures and probe.html written to {arguments.output}", soft_wrap=True, markup=False)


def _check(arguments: argparse.Namespace) -> None:
    """Raise UserError for values out of range, and for an output folder that cannot be one."""
    for name, lowest in (("max_cases", 1), ("pictures", 0), ("seed", 0)):
        value = getattr(arguments, name)
        if value is not None and value < lowest:
            raise UserError(f"--{name.replace('_', '-')} {value}: give a whole number from {lowest}.")
    for name in ("blur", "margin"):
        value = getattr(arguments, name)
        if not 0 < value < float("inf"):
            raise UserError(f"--{name} {value:g}: give a number above 0.")
    check_output(arguments.output)


def _options(arguments: argparse.Namespace) -> "ProbeOptions":
    from aunet.pipeline.gate_probe import ProbeOptions

    chosen = (name for name in INTERVENTIONS if name in arguments.interventions)
    return ProbeOptions(
        interventions=[name.replace("-", " ") for name in chosen],
        targets=arguments.targets,
        sigma_mm=arguments.blur,
        seed=arguments.seed,
        against=arguments.against,
        unet=arguments.unet,
        pictures=arguments.pictures,
        is_grad_cam_alone=arguments.grad_cam_only,
    )
