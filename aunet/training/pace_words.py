"""The line with the speed of a training on this machine and its expected end."""

import torch

from aunet.messages import clock_words, counted, duration_words, rounded
from aunet.training.hardware import HardwareChoice
from aunet.training.time_plan import Remainder


def computer_words(choice: HardwareChoice) -> str:
    """Return device, precision and memory layout, as in "CPU (2 threads), bf16, channels-last"."""
    layout = "channels-last" if choice.is_channels_last else "channels-first"
    return f"{_device_words(choice.device)}, {choice.precision}, {layout}"


def _device_words(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    if device == "cpu":
        threads = torch.get_num_threads()
        return f"CPU ({counted(threads, 'thread')})"
    return device.upper()


def crowded_words(threads: int, cores: int, busy_cores: float) -> str:
    """Return the warning that others keep ``busy_cores`` of all ``cores`` busy; empty if ``threads`` have their own.

    oneDNN's threads spin while they wait for one that another process has pushed off its core. On two cores beside one
    busy process, two threads made 1.3 steps/s and one thread 4.7 (`experiments/README.md`, "Speed").
    """
    free = max(1, round(cores - busy_cores))
    if threads <= free:
        return ""
    return (
        f"Other processes keep {busy_cores:.1f} of {cores} cores busy, and {threads} threads that wait for each other"
        f" may lose more than their share of it. Try OMP_NUM_THREADS={free}, with which the same seed rounds"
        " differently."
    )


def speed_words(steps_per_second: float, share: float | None) -> str:
    """Return the speed, as in "1.6 steps/s, 48 % of this machine's matrix rate"."""
    rate = f"{rounded(steps_per_second)} steps/s"
    return rate if share is None else f"{rate}, {100 * share:.0f} % of this machine's matrix rate"


def end_words(left: Remainder, max_time: str | None = None, patience: int | None = None) -> str:
    """Return what is left and its end, as in "240 steps and 6 validations end at about 14:32 (2 min 40 s)".

    ``max_time`` and ``patience`` are the trainer's settings that may end the training earlier.
    """
    if left.steps == 0:
        return "no step is left"
    work = f"{counted(left.steps, 'step')} and {counted(left.validations, 'validation')}"
    end = f"{clock_words(left.seconds)} ({duration_words(left.seconds)})"
    if left.is_cut:
        return f"about {work} fit into trainer.max_time={max_time}, which ends at {end}"
    return f"{work} end at about {end}" + (f", or earlier by trainer.patience={patience}" if patience else "")
