"""The loop called in this process, on the toy dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from ocbench import ModelPlugin, registry
from ocbench.prepared import PreparedSplit, split_directory
from ocbench.recipe import resolve, run_config
from ocbench.runner import checkpoint
from ocbench.runner.train import Options, train


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def squares_dir(finished_toy: Path) -> Path:
    """A data folder in which the toy package's dataset is prepared."""
    return finished_toy / "data"


@pytest.fixture
def squares(toy: Path, squares_dir: Path) -> Callable[[str], PreparedSplit]:
    """A prepared split of the toy dataset by its name: train, val, test."""
    return lambda split: PreparedSplit(split_directory(str(squares_dir), "squares", "native", split))


@dataclass(frozen=True)
class Training:
    """Trains on the toy dataset on the CPU, and returns the final checkpoint's folder."""

    squares: Callable[[str], PreparedSplit]
    squares_dir: Path
    runs: Path

    def __call__(
        self, model: str | ModelPlugin, *settings: str, name: str = "run-s0", seed: int = 0,
        fields: Mapping[str, Any] | None = None, progress: Any = None, say: Any = lambda word, text: None,
        **options: Any,
    ) -> Path:  # fmt: skip
        plugin = registry.model(model) if isinstance(model, str) else model
        recipe = resolve(plugin, "squares", None, None, settings)
        data = self.squares("train")
        return train(
            plugin, recipe.config, data, run_config(recipe, data, seed=seed, **(fields or {})), self.runs / name,
            data_dir=str(self.squares_dir), options=Options("cpu", **options), validation=self.squares("val"),
            progress=progress, say=say,
        )  # fmt: skip

    @staticmethod
    def weights(folder: Path) -> bytes:
        """The bytes that two equal models have in common."""
        return (folder / checkpoint.WEIGHTS).read_bytes()


@pytest.fixture
def training(squares: Callable[[str], PreparedSplit], squares_dir: Path, tmp_path: Path) -> Training:
    return Training(squares, squares_dir, tmp_path / "runs")
