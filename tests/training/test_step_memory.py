"""The memory of a training step, scaled from small batches to those of a training."""

import pytest
import torch

from aunet.build.data import describe_cohort, fill_in_facts
from aunet.build.model import choose_hardware
from aunet.build.task import build_augmentation, build_task
from aunet.build.trainer import build_batch_shape, build_clock
from aunet.config.draft import compose_draft
from aunet.config.schema import RunConfig
from aunet.training import step_memory
from aunet.training.segmentation_task import SegmentationTask
from aunet.training.step_memory import measure_step_memory


def task_of(*words: str) -> tuple[RunConfig, SegmentationTask]:
    draft = compose_draft([*words, "trainer.accelerator=cpu", "trainer.precision=float32"])
    config = fill_in_facts(draft, describe_cohort(draft.data))
    choice = choose_hardware(config.trainer)
    labels = config.dataset.labels
    return config, build_task(config, labels, build_augmentation(config), build_clock(config.trainer), choice)


@pytest.mark.parametrize(
    "words",
    [
        ["model=attention", "data.patch_size=[48,32,32]", "data.batch_size=3"],
        ["model=unet", "data.patch_size=[64,64,1]", "data.batch_size=4"],
        ["model=unet", "data.patch_size=[32,32,32]", "data.batch_size=4", "model.network.recomputed_levels=[1]"],
        ["model=attention_deep_supervision", "data.patch_size=[32,32,48]", "data.batch_size=2", "loss=dice"],
    ],
)
def test_scaled_tensors_are_those_that_live_in_a_step_of_the_whole_batch(words: list[str]) -> None:
    """The oracle is the sum of the living tensors of one step on the training's own batch."""
    config, task = task_of(*words, "model.network.channels=[4,8,8]")
    shape = build_batch_shape(config.dataset, 1)
    memory = measure_step_memory(task, shape)
    assert memory is not None
    lived = max(step_memory.live_bytes(task, shape))
    assert memory.activations(shape) == pytest.approx(lived, rel=0.1)


def test_gradients_and_the_state_of_the_optimizer_are_counted() -> None:
    """Adam keeps two numbers for each parameter beside its gradient; processes that exchange keep a copy of it."""
    config, task = task_of(
        "model=unet", "model.network.channels=[4,8,8]", "optimizer=adam", "data.patch_size=[16,16,16]"
    )
    number = 4 * sum(parameter.numel() for parameter in task.network.parameters())
    for num_ranks, copies in ((1, 3), (2, 4)):
        memory = measure_step_memory(task, build_batch_shape(config.dataset, 1), num_ranks)
        assert memory is not None
        assert memory.fixed == copies * number


def test_weights_gradients_and_random_state_stay_as_they_are() -> None:
    config, task = task_of("model=unet", "model.network.channels=[4,8,8]", "data.patch_size=[16,16,16]")
    before = {name: value.clone() for name, value in task.state_dict().items()}
    state = torch.get_rng_state()
    measure_step_memory(task, build_batch_shape(config.dataset, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in task.state_dict().items())
    assert all(parameter.grad is None for parameter in task.network.parameters())


def test_a_network_of_one_size_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    config, task = task_of("model=unet", "model.network.channels=[4,8,8]", "data.patch_size=[32,32,32]")

    def refuse(image: torch.Tensor) -> list[torch.Tensor]:
        raise RuntimeError(f"{tuple(image.shape)}: another size was expected")

    monkeypatch.setattr(task, "_forward", refuse)
    assert measure_step_memory(task, build_batch_shape(config.dataset, 1)) is None
