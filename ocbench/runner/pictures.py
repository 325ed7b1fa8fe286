"""What a training run draws while it goes on: panels of a few scenes, its curves, and TensorBoard's event files.

They decide nothing: a picture that cannot be drawn is a warning.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ocbench.panels import Panel, write_curves, write_panels
from ocbench.runs import read_log

log = logging.getLogger(__name__)
EVERY = 120  # seconds between pictures, at least


class Pictures:
    """The pictures of one run; `panels/training.png` and `curves.png` always show the newest state."""

    def __init__(self, run_dir: Path, updates: int) -> None:
        self.run_dir, self.drawn_at = run_dir, 0.0
        self._first = updates + 1
        self._events: Any = None

    def numbers(self, record: Mapping[str, Any], updates: int) -> None:
        """Hands a line of the log to TensorBoard, where that is installed; what an earlier call wrote later goes."""
        if self._events is None and (writer := _event_writer()) is not None:
            self._events = writer(str(self.run_dir / "tensorboard"), purge_step=self._first)
        if self._events is not None:
            for name, value in record.items():
                if isinstance(value, float):
                    self._events.add_scalar(name, value, updates)

    def draw(self, panels: Sequence[Panel], note: str, *, now: bool = False) -> None:
        """Draws both pictures, unless it has just done so."""
        if not now and time.monotonic() - self.drawn_at < EVERY:
            return
        try:
            write_panels(self.run_dir / "panels" / "training.png", panels)
            write_curves(self.run_dir / "curves.png", self.run_dir.name, read_log(self.run_dir / "log.jsonl"), note)
        except OSError as wrong:  # a full disk must not end a training that could still save
            log.warning("no pictures: %s", wrong)
        self.drawn_at = time.monotonic()

    def close(self) -> None:
        """Writes out what TensorBoard still holds back."""
        if self._events is not None:
            self._events.close()


@cache
def _event_writer() -> Any:
    """TensorBoard's writer, which takes long to import; None where the extra is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter
