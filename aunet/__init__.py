"""Attention-gated segmentation of 3D and 2D medical images: train, look, predict, score.

Trained runs: ``load_run`` and ``load_ensemble`` return a predictor of scan files and of arrays, ``predict_run`` labels
folders of scans as ``aunet predict`` does, ``export_run`` writes a run for other programs. Networks, gates and blocks
are in ``aunet.networks``, losses in ``aunet.losses``. docs/prediction.md shows all of them.

Importing ``aunet`` loads neither torch nor anything heavy; the first access to a function does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aunet.build.ensemble import load_ensemble
    from aunet.build.model import load_run
    from aunet.pipeline.export import export_run
    from aunet.pipeline.prediction import predict_run

__version__ = "0.1.0"
__all__ = ["__version__", "export_run", "load_ensemble", "load_run", "predict_run"]

_MODULES = {
    "export_run": "aunet.pipeline.export",
    "load_ensemble": "aunet.build.ensemble",
    "load_run": "aunet.build.model",
    "predict_run": "aunet.pipeline.prediction",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'aunet' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__doc__", "__path__"]
