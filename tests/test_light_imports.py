"""Lightning and MONAI load what a training uses; all else is there for whoever asks for it."""

import subprocess
import sys
from pathlib import Path

_LIGHTLY = "from aunet.light_imports import import_lightly; import_lightly(); import_lightly()\n"
_STEPS = """
import torch, pytorch_lightning
torch.manual_seed(0)
weight = torch.nn.Parameter(torch.randn(5))
for name in ("SGD", "Adam", "AdamW"):
    optimizer = getattr(torch.optim, name)([weight], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (weight**3).sum().backward()
        optimizer.step()
    assert torch.is_grad_enabled()
    optimizer.load_state_dict(optimizer.state_dict())
print(weight.tolist())
"""


def _run(program: str, repository: Path) -> str:
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_training_step_loads_no_compiler_nor_what_other_tasks_need(repository: Path) -> None:
    program = """
import sys
from aunet.process_settings import prepare_process
prepare_process()
from aunet.pipeline import run, steps
from aunet.training.pace import measure_pace
sys.path.insert(0, "tests/training")
from aunet.networks import AttentionUNet
from test_pace import SHAPE, task_of
network = AttentionUNet(spatial_dims=3, in_channels=1, num_classes=3, channels=(4, 8, 8), gated_levels=(2,))
assert measure_pace(task_of(network), SHAPE).gflop > 0
absent = {"torch._dynamo", "sympy", "torch.distributed.tensor", "scipy.signal", "scipy.optimize", "ignite.engine"}
print(sorted(absent & set(sys.modules)))
"""
    assert _run(program, repository) == "[]\n"


def test_what_was_left_out_can_be_imported(repository: Path) -> None:
    program = (
        _LIGHTLY
        + """
import monai.data, pytorch_lightning, torch
import scipy.signal, scipy.optimize
assert scipy.signal.get_window("hann", 4).shape == (4,)
assert scipy.optimize.minimize_scalar(lambda x: (x - 2) ** 2).x > 1.9
assert monai.networks.nets.BasicUNet and monai.losses.DiceLoss and monai.metrics.DiceMetric
assert not hasattr(monai, "no_such_module")
from torch._dynamo import OptimizedModule
assert torch._dynamo.graph_break() is None
assert isinstance(torch.compile(torch.nn.Linear(1, 1)), OptimizedModule)
import pkgutil
assert any(pkgutil.walk_packages(monai.__path__))
"""
    )
    assert _run(program, repository) == ""


def test_optimizers_step_as_they_do_in_torch(repository: Path) -> None:
    assert _run(_LIGHTLY + _STEPS, repository) == _run(_STEPS, repository)


def test_a_differentiable_step_has_a_gradient(repository: Path) -> None:
    program = (
        _LIGHTLY
        + """
import torch, pytorch_lightning
rate = torch.tensor(0.5, requires_grad=True)
weight = torch.ones(1, requires_grad=True).clone()
weight.grad = torch.full((1,), 3.0)
torch.optim.SGD([weight], lr=rate, differentiable=True).step()
print(torch.autograd.grad(weight.sum(), rate)[0].item())
"""
    )
    assert _run(program, repository) == "-3.0\n"
