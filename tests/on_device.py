"""The tests of golden arrays on a GPU: OCBENCH_TEST_DEVICE=cuda makes what they read from NumPy lie there."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch

DEVICE = os.environ.get("OCBENCH_TEST_DEVICE", "cpu")


def move_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the rest of a test: new tensors are made on DEVICE, in full float32, and NumPy may look at them."""
    from_numpy, as_array = torch.from_numpy, torch.Tensor.__array__

    def seen(tensor: torch.Tensor, dtype: Any = None) -> np.ndarray:
        return as_array(tensor.cpu(), dtype)

    monkeypatch.setattr(torch, "from_numpy", lambda array: from_numpy(array).to(DEVICE))
    monkeypatch.setattr(torch.Tensor, "__array__", seen)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
