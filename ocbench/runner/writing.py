"""Checkpoints written beside the training: one at a time, from copies, with errors that come out at the next look."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Writer:
    """At most one piece of work is under way; a process that ends waits for it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._work: Future[None] | None = None

    def put(self, work: Callable[[], None]) -> None:
        """Begins the work once the one before has ended; raises what that one raised."""
        self.wait()
        self._work = self._thread.submit(work)

    def close(self) -> None:
        """Waits, and ends."""
        self._thread.shutdown()
        self.wait()

    def wait(self) -> None:
        """Until nothing is under way; raises what the work raised."""
        work, self._work = self._work, None
        if work is not None:
            work.result()
