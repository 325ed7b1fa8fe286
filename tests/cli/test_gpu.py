"""Training and scoring on a GPU from the command line; OCBENCH_TEST_DEVICE=cpu tries the same on the CPU."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from ocbench.cli import main

DEVICE = os.environ.get("OCBENCH_TEST_DEVICE", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA device"),
]
TINY = [
    word
    for setting in ("small_widths=8,8,16,16", "refiner_width=16", "refiner_feed_forward=16", "glimpse_widths=16,8,8")
    for word in ("--set", setting)
]


def called(*words: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main([*words, "-q"])
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few scenes of the built-in set."""
    folder = tmp_path_factory.mktemp("data")
    words = ("--limit", "48", "--executor", "local:2", "--data-dir", str(folder))
    assert called("prepare", "mini-plain", *words) == 0
    return folder


@pytest.fixture
def train(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Trains a tiny AST-Seg under a name; its exit code."""
    monkeypatch.setenv("OCBENCH_DATA", str(prepared))
    monkeypatch.setenv("OCBENCH_RUNS", str(tmp_path))
    words = ["train", "ast-seg", "--data", "mini-plain", "--steps", "6", "--device", DEVICE, *TINY]
    return lambda name, *more: called(*words, "--name", name, *more)


def test_what_was_stopped_ends_with_the_same_weights(train, tmp_path: Path) -> None:
    assert train("whole", "--deterministic") == 0
    assert train("parts", "--deterministic", "--max-hours", "1e-9") == 75
    assert train("parts", "--deterministic") == 0
    finals = [tmp_path / f"{name}-s0" / "checkpoints" / "final" for name in ("whole", "parts")]
    one, two = ((final / "model.safetensors").read_bytes() for final in finals)
    assert one == two


def test_a_compiled_bf16_run_scores_alike_on_both_devices(train, tmp_path: Path) -> None:
    assert train("fast", "--precision", "bf16", "--compile") == 0
    run, found = tmp_path / "fast-s0", []
    for device in ("cpu", DEVICE):
        assert called("evaluate", str(run), "--split", "test", "--device", device, "--overwrite") == 0
        sheet = json.loads(next((run / "scores").glob("*.json")).read_text())
        found.append({result["metric"]: result["mean"] for result in sheet["results"]})
    assert found[1] == pytest.approx(found[0], rel=1e-3, abs=1e-3)
