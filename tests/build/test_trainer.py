"""Lightning's trainer as the settings and the network ask for it."""

from pathlib import Path

import pytest
from pytorch_lightning.strategies import DDPStrategy
from torch import nn

from aunet.build.trainer import build_trainer
from aunet.config.composition import compose_config, resolve_config
from aunet.networks import UNet
from aunet.networks.slice_by_slice import SliceBySlice
from aunet.training.hardware import choose_for_hardware
from tests.config.test_every_option import FACTS


@pytest.mark.parametrize(
    ("network", "may_leave_parameters_out"),
    [
        (UNet(channels=(2, 4)), False),
        (SliceBySlice(UNet(spatial_dims=2, channels=(2, 4))), False),
        (nn.Conv3d(1, 2, 1), True),
        (SliceBySlice(nn.Conv2d(1, 2, 1)), True),
    ],
)
def test_ddp_searches_for_unused_parameters_in_networks_of_others_alone(
    network: nn.Module, may_leave_parameters_out: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "TORCHELASTIC_RUN_ID"):
        monkeypatch.setenv(name, "1")
    for name in ("RANK", "LOCAL_RANK", "GROUP_RANK"):
        monkeypatch.setenv(name, "0")
    settings = resolve_config(compose_config(["trainer.accelerator=cpu"]), FACTS).trainer
    choice = choose_for_hardware("float32", False, "cpu", is_tf32=False, is_deterministic=False)
    strategy = build_trainer(settings, [], choice, tmp_path, network).strategy
    assert isinstance(strategy, DDPStrategy)
    assert strategy._ddp_kwargs["find_unused_parameters"] == may_leave_parameters_out
