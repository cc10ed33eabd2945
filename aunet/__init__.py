"""Attention-gated segmentation of 3D and 2D medical images: train, look, predict, score.

Importing ``aunet`` loads neither torch nor anything heavy; the first access to a function does.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aunet.build.ensemble import load_ensemble
    from aunet.build.model import load_run
    from aunet.pipeline.export import export_run
    from aunet.pipeline.prediction import predict_run

__version__ = "0.1.0"
__all__ = ["__version__", "export_run", "load_ensemble", "load_run", "predict_run"]


def __getattr__(name: str) -> Any:
    if name == "load_run":
        from aunet.build.model import load_run

        return load_run
    if name == "export_run":
        from aunet.pipeline.export import export_run

        return export_run
    if name == "predict_run":
        from aunet.pipeline.prediction import predict_run

        return predict_run
    if name == "load_ensemble":
        from aunet.build.ensemble import load_ensemble

        return load_ensemble
    raise AttributeError(f"module 'aunet' has no attribute {name!r}")
