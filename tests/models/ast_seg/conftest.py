"""The golden arrays of AST-Seg, the deterministic weights behind them, and small settings for quick tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import on_device
import pytest
import torch

from ocbench import Protocol
from ocbench_models.ast_seg.presets import MINI_PLAIN, AstSegConfig

FOLDER = Path(os.environ.get("OCBENCH_GOLDEN") or Path(__file__).parents[2] / "golden")


@pytest.fixture(autouse=True)
def _where_golden_arrays_are_tried(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if on_device.DEVICE == "cpu" or "golden" not in request.fixturenames:
        yield
        return
    on_device.move_tests(monkeypatch)
    with torch.device(on_device.DEVICE):
        yield


@pytest.fixture(scope="session")
def golden() -> Mapping[str, np.ndarray]:
    with np.load(FOLDER / "ast_seg.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="session")
def fill(golden: Mapping[str, np.ndarray]) -> Callable[[torch.nn.Module, int], torch.nn.Module]:
    """fill(module, offset): the module with the weights that the golden README prescribes for that seed offset."""

    def fill(module: torch.nn.Module, offset: int) -> torch.nn.Module:
        seed = int(golden["seed"][0]) + offset
        for i, (name, parameter) in enumerate(module.named_parameters()):
            normal = np.random.RandomState(seed * 1000 + i).standard_normal(parameter.numel()).reshape(parameter.shape)
            if parameter.ndim >= 2:
                values = normal / np.sqrt(np.prod(parameter.shape[1:]))
            else:
                values = (1.0 if name.endswith("weight") else 0.0) + 0.1 * normal
            parameter.data = torch.from_numpy(values.astype(np.float32))
        return module.eval()

    return fill


@pytest.fixture
def protocol() -> Protocol:
    return Protocol("tiny", 1, (32, 32), 3, ())


@pytest.fixture
def tiny() -> AstSegConfig:
    """The quick start's model, smaller still."""
    return replace(
        MINI_PLAIN, small_widths=(8, 16, 16, 16), refiner_width=16, refiner_feed_forward=16, glimpse_widths=(16, 8, 8)
    )


@pytest.fixture(scope="session")
def enlarge() -> Callable[[np.ndarray, int], torch.Tensor]:
    """enlarge(array, side): each value repeated to `side` along both last axes."""

    def enlarge(small: np.ndarray, side: int) -> torch.Tensor:
        times = side // small.shape[-1]
        return torch.from_numpy(small.repeat(times, axis=-2).repeat(times, axis=-1))

    return enlarge
