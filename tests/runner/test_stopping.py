"""A run that is asked to stop is saved where it is, and goes on with the same command."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

from ocbench.runner import checkpoint
from ocbench.runner.stopping import SIGNALS, Request, Stopped

STEPS = ("background_steps=3", "foreground_steps=4", "joint_steps=2")
MOMENT = 1e-9  # hours: over with the first update


def signalled(number: signal.Signals, update: int) -> Any:
    """A progress callback that sends this process a signal in that update of each phase."""
    return lambda done, total, note: os.kill(os.getpid(), number) if done == update else None


def test_after_the_hours_it_stops_with_each_update_saved(training: Any) -> None:
    for updates in range(1, 9):
        with pytest.raises(Stopped, match="1e-09 hours are over") as told:
            training("toy", *STEPS, max_hours=MOMENT)
        assert told.value.updates == updates
        assert told.value.checkpoint == checkpoint.numbered(training.runs / "run-s0")[-1]
    final = training("toy", *STEPS, max_hours=MOMENT)  # the last update ends the run: there is nothing to go on with
    assert final.name == checkpoint.FINAL
    assert training.weights(final) == training.weights(training("toy", *STEPS, name="undisturbed-s0"))


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("update", [1, 3])  # within a phase, and at the end of one
def test_a_signal_stops_it_after_the_update(number: signal.Signals, update: int, training: Any) -> None:
    with pytest.raises(Stopped, match=number.name) as told:
        training("toy", *STEPS, progress=signalled(number, update))
    assert told.value.updates == update
    final = training("toy", *STEPS)
    assert training.weights(final) == training.weights(training("toy", *STEPS, name="undisturbed-s0"))


def test_signals_are_heard_only_while_it_trains(training: Any) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    seen: list[Any] = []
    training("toy", *STEPS, progress=lambda *told: seen.append([signal.getsignal(number) for number in SIGNALS]))
    assert all(now != was for now, was in zip(seen[0], before, strict=True))
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_another_thread_than_the_main_one_trains_without_listening() -> None:
    request, seen = Request(), []

    def listen() -> None:
        with request.listening():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]
    assert request.reason() is None
