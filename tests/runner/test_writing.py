"""Work beside the training: one at a time, in order, and no error is lost."""

from __future__ import annotations

import threading

import pytest

from ocbench.runner.writing import Writer


def test_work_is_done_in_order_one_at_a_time() -> None:
    writer, gate, done = Writer(), threading.Event(), []
    writer.put(lambda: (gate.wait(10), done.append(1))[1])
    assert done == []  # put does not wait for its own work
    threading.Timer(0.05, gate.set).start()
    writer.put(lambda: done.append(2))  # but for the one before
    assert done[0] == 1
    writer.close()
    assert done == [1, 2]


def test_an_error_comes_out_at_the_next_look_and_only_once() -> None:
    def fail() -> None:
        raise OSError("disk full")

    writer, done = Writer(), []
    writer.put(fail)
    with pytest.raises(OSError, match="disk full"):
        writer.put(lambda: done.append(1))
    assert done == []
    writer.put(lambda: done.append(2))
    writer.wait()
    assert done == [2]
    writer.put(fail)
    with pytest.raises(OSError, match="disk full"):
        writer.close()
