"""What the frozen parts of a model make of every training scene, once, to be gathered like the images."""

from __future__ import annotations

from typing import Any

import torch

from ocbench.errors import PluginError
from ocbench.loading import CachedBatches
from ocbench.runner.device import child_seed
from ocbench.runner.state import TrainingState

AT_ONCE = 64  # scenes


def precomputed(state: TrainingState, batches: CachedBatches, seed: int) -> torch.Tensor:
    """What `precompute` makes of every training scene, uint8 [N, C, H, W], beside the images."""
    model: Any = state.model
    rows = []
    with state.where.aside(model), state.where.autocast():
        torch.manual_seed(child_seed(seed, "precompute"))
        for indices in torch.arange(batches.scenes, device=batches.images.device).split(AT_ONCE):
            made = model.precompute(batches.gather(indices).images)
            if made.dtype != torch.uint8 or made.ndim != 4 or len(made) != len(indices):
                raise PluginError(
                    "'precompute' gave something else than one row a scene",
                    expected=f"uint8 [{len(indices)}, C, H, W]",
                    found=f"{made.dtype} {list(made.shape)}",
                )
            rows.append(made.to(batches.images.device))
    return torch.cat(rows)
