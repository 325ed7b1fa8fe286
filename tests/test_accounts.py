"""How far a run has come, in words."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from ocbench.accounts import state_of
from ocbench.runs import append_log


def trained(updates: int, seconds: int, phase: str = "one", **more: Any) -> dict[str, Any]:
    return {"phase": phase, "updates": updates, "of": 100, "seconds": seconds, "scenes_per_second": 64.4, **more}


STOPPED = {"event": "stopped", "updates": 12, "reason": "SIGTERM"}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], "not begun"),
        ([trained(10, 5)], "10 of 100 updates, 64 scenes/s, written 0:01:30 ago"),
        ([trained(10, 5), trained(20, 25)], "20 of 100 updates, 64 scenes/s, 0:02:40 left, written 0:01:30 ago"),
        (  # each phase has a pace of its own
            [trained(10, 5), trained(20, 1000, "two"), trained(30, 1010, "two")],
            "30 of 100 updates, 64 scenes/s, 0:01:10 left, written 0:01:30 ago",
        ),
        ([trained(10, 5), {"event": "probe", "updates": 11}], "11 of 100 updates, 64 scenes/s, written 0:01:30 ago"),
        ([trained(10, 5), STOPPED], "stopped (SIGTERM) at 12 of 100 updates"),
        ([STOPPED | {"of": 50}], "stopped (SIGTERM) at 12 of 50 updates"),
        (
            [trained(10, 5), STOPPED | {"of": 100}, trained(14, 9)],
            "14 of 100 updates, 64 scenes/s, 0:01:26 left, written 0:01:30 ago",
        ),
        ([{"updates": 7}], "7 updates, not finished, written 0:01:30 ago"),  # before logs said of how many
    ],
)
def test_a_run_that_is_not_finished(lines: list[dict[str, Any]], expected: str, tmp_path: Path) -> None:
    for line in lines:
        append_log(tmp_path, line)
    if lines:
        os.utime(tmp_path / "log.jsonl", (time.time() - 90.2,) * 2)
    assert state_of(tmp_path) == expected


def test_a_finished_run(tmp_path: Path) -> None:
    append_log(tmp_path, trained(100, 60))
    append_log(tmp_path, {"event": "finished", "updates": 100, "seconds": 61.5})
    final = tmp_path / "checkpoints" / "final"
    final.mkdir(parents=True)
    (final / "model.safetensors").write_bytes(b"")
    assert state_of(tmp_path) == "finished, 100 updates"
