"""Pictures of a training run: drawn now and then, never in the way, and the same numbers for TensorBoard."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from ocbench import Outcome, Scene, imaging
from ocbench.panels import Panel
from ocbench.runner import pictures
from ocbench.runner.pictures import Pictures
from ocbench.runs import append_log


@pytest.fixture
def panels(random: np.random.Generator) -> list[Panel]:
    image, mask = random.integers(0, 256, (16, 16, 3), np.uint8), np.zeros((16, 16), np.uint8)
    mask[2:8, 2:8] = 1
    return [Panel(Outcome(Scene(f"scene-{n}", image, mask), mask, image / np.float32(255)), {}) for n in range(3)]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    for updates in range(1, 6):
        append_log(tmp_path, {"phase": "joint", "step": updates, "updates": updates, "total": 1 / updates})
    append_log(tmp_path, {"event": "probe", "phase": "joint", "step": 5, "updates": 5, "probe_miou": 0.5})
    return tmp_path


def drawn(run_dir: Path) -> list[Path]:
    return [path for path in (run_dir / "panels" / "training.png", run_dir / "curves.png") if path.is_file()]


def test_panels_and_curves_are_drawn(run_dir: Path, panels: list[Panel]) -> None:
    Pictures(run_dir, 0).draw(panels, "probe mIoU 50.0")
    assert len(drawn(run_dir)) == 2
    for path in drawn(run_dir):
        assert imaging.decode_image(path.read_bytes()).std() > 10


def test_they_are_drawn_now_and_then_and_when_asked(run_dir: Path, panels: list[Panel]) -> None:
    mine = Pictures(run_dir, 0)
    mine.draw(panels, "")
    for path in drawn(run_dir):
        path.unlink()
    mine.draw(panels, "")
    assert drawn(run_dir) == []
    mine.draw(panels, "", now=True)
    assert len(drawn(run_dir)) == 2


def test_a_full_disk_is_a_warning(
    run_dir: Path, panels: list[Panel], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pictures, "write_panels", full)
    with caplog.at_level(logging.WARNING, logger="ocbench"):
        Pictures(run_dir, 0).draw(panels, "")
    assert "no pictures" in caplog.text


def test_tensorboard_gets_the_numbers_and_forgets_what_comes_again(run_dir: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="the extra tensorboard is not installed"
    )
    for first, last in ((0, 6), (3, 8)):  # killed after update 6, taken up again from update 3
        mine = Pictures(run_dir, first)
        for updates in range(first + 1, last + 1):
            mine.numbers({"total": float(10 * first + updates), "note": "text"}, updates)
        mine.close()
    found = accumulator.EventAccumulator(str(run_dir / "tensorboard"))
    found.Reload()
    assert found.Tags()["scalars"] == ["total"]
    scalars = [(event.step, event.value) for event in found.Scalars("total")]
    assert scalars == [(1, 1), (2, 2), (3, 3), *((n, 30 + n) for n in range(4, 9))]


def test_without_tensorboard_nothing_is_written(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_event_writer", lambda: None)
    mine = Pictures(run_dir, 0)
    mine.numbers({"total": 1.0}, 1)
    mine.close()
    assert not (run_dir / "tensorboard").exists()
