"""ocbench: prepare, train and score unsupervised multi-object segmentation.

This file is the door: a table of public names, each loaded on first use, because every import of a module of ours runs
it and `ocbench --help` may not pay for NumPy, SciPy or torch.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "ocbench.errors": ("OcbenchError", "UsageError", "UnknownNameError", "PluginError", "DataError", "RunError"),
    "ocbench.scene": (
        "Scene", "Outcome", "Metric", "Split", "Protocol", "Part", "Download", "DatasetSpec", "check_scene",
        "contingency_table", "labels_of",
    ),
    "ocbench.plugin": (
        "Model", "ModelPlugin", "Variant", "Band", "Phase", "Optimizer", "Prediction", "Constant", "WarmupThenDrops",
    ),
    "ocbench.prepared": ("open_dataset",),
    "ocbench.runner.evaluate": ("evaluate",),
    "ocbench.runner.restore": ("load_model",),
    "ocbench.score": ("score_scene",),
    "ocbench.contract": ("check_plugin",),
    "ocbench.adapter": ("predictor",),
}  # fmt: skip
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ocbench' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
