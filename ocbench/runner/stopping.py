"""A training that is asked to stop ends after the update it is in, saved, and goes on with the same command."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)  # what clusters send some time before the end


class Stopped(Exception):
    """Not an error: the training was asked to stop, `checkpoint` holds all updates done, and the same call goes on."""

    exit_code = 75

    def __init__(self, reason: str, checkpoint: Path, updates: int) -> None:
        super().__init__(reason, checkpoint, updates)
        self.reason, self.checkpoint, self.updates = reason, checkpoint, updates

    def __str__(self) -> str:
        return f"{self.reason}: {self.updates:,} updates are saved in '{self.checkpoint}'; the same command goes on"


def hours_left(max_hours: float | None, began: float) -> float | None:
    """Of a limit on a call that `began` then, by the monotonic clock; never none: the next update is the end."""
    return None if max_hours is None else max(max_hours - (time.monotonic() - began) / 3600, 1e-9)


@dataclass
class Request:
    """Whether, and why, this process was asked to stop; hours are counted from here on."""

    max_hours: float | None = None
    began: float = field(default_factory=time.monotonic)
    signalled: str | None = None

    def reason(self) -> str | None:
        """The reason to stop now, or None."""
        hours = (time.monotonic() - self.began) / 3600
        if self.signalled is None and self.max_hours is not None and hours >= self.max_hours:
            return f"{self.max_hours:g} hours are over"
        return self.signalled

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within, the signals ask instead of killing; elsewhere than in the main thread Python cannot listen."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._hear) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.signalled = signal.Signals(number).name
