"""How far the memory that is foreseen for a training step is from the peak of a process that makes three steps.

python experiments/benchmarks/step_memory.py [WORD ...]

Without words, every setting of the table in README.md is measured, each in a process of its own.
"""

import subprocess
import sys

from aunet.process_settings import prepare_process

_SETTINGS = (
    "model=attention data.patch_size=[64,64,64] data.batch_size=2 trainer.precision=float32",
    "model=unet data.patch_size=[96,96,64] data.batch_size=2 trainer.precision=bf16",
    "model=attention data.patch_size=[128,128,1] data.batch_size=16 trainer.precision=float32",
    "model=attention_deep_supervision data.patch_size=[96,96,96] data.batch_size=1 trainer.precision=float32",
    "model=monai_unet data.patch_size=[96,96,96] data.batch_size=2 trainer.precision=bf16",
    "model=attention data.patch_size=[160,160,96] data.batch_size=2 trainer.precision=bf16",
)


def measure(words: list[str]) -> None:
    """Print the foreseen and the measured memory of the run that ``words`` describe."""
    from aunet.build.data import describe_cohort, fill_in_facts
    from aunet.build.model import choose_hardware
    from aunet.build.task import build_augmentation, build_task
    from aunet.build.trainer import build_batch_shape, build_clock
    from aunet.config.draft import compose_draft
    from aunet.training.step_memory import measure_step_memory
    from aunet.training.trial_steps import time_batch

    draft = compose_draft([*words, "trainer.accelerator=cpu"])
    config = fill_in_facts(draft, describe_cohort(draft.data))
    choice, clock = choose_hardware(config.trainer), build_clock(config.trainer)
    task = build_task(config, config.dataset.labels, build_augmentation(config), clock, choice)
    shape, before = build_batch_shape(config.dataset, 1), _resident_bytes("VmRSS")
    memory = measure_step_memory(task, shape)
    optimizer = task.new_optimizer(task.network.parameters())
    for _ in range(3):
        time_batch(task, shape)
        optimizer.step()
    measured = _resident_bytes("VmHWM") - before
    if memory is None:
        sys.exit(f"not measurable ahead: {' '.join(words)}")
    foreseen, least = memory.of(shape), memory.least(shape)
    line = (
        f"measured {measured / 1e9:.2f} GB, foreseen {foreseen / 1e9:.2f} ({foreseen / measured - 1:+.0%}),"
        f" at least {least / 1e9:.2f}: {' '.join(words)}"
    )
    sys.stdout.write(f"{line}\n")


def _resident_bytes(key: str) -> int:
    with open("/proc/self/status", encoding="utf-8") as lines:  # noqa: PTH123
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


if __name__ == "__main__":
    if sys.argv[1:]:
        prepare_process()
        measure(sys.argv[1:])
    else:
        for setting in _SETTINGS:
            subprocess.run([sys.executable, __file__, *setting.split()], check=True)
