"""Evaluation killed again and again, on one rank and on two: the same rows and sheet, every scene once."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

HEADERS = 2000  # bytes, more than the first lines of the parts of two ranks
SCRIPT = Path(__file__).with_name("scored_scenes.py")


def started(rows: Path, scenes: int, ranks: int) -> list[subprocess.Popen]:
    return launched([str(SCRIPT), str(rows), str(scenes)], ranks)


def launched(words: list[str], ranks: int) -> list[subprocess.Popen]:
    """Python with these words, once a rank, as torchrun starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    places = {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        subprocess.Popen(
            [sys.executable, *words], env={**os.environ, **places, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True
        )
        for rank in range(ranks)
    ]


def finished(processes: list[subprocess.Popen]) -> list[dict]:
    told = [process.communicate(timeout=1200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [json.loads(text) for text in told]


def kill(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        process.communicate()


def written(rows: Path) -> int:
    """Bytes of rows that are there."""
    total = 0
    for path in rows.parent.glob(f"{rows.name}*"):
        with suppress(FileNotFoundError):  # joined by now
            total += path.stat().st_size
    return total


def storm(tmp_path: Path, scenes: int, kills: int, seconds: float) -> None:
    """Kills that come up to so many seconds after new rows are there, on one or two ranks in turn; then to the end."""
    random = np.random.default_rng(5)
    whole, rows = tmp_path / "whole" / "rows.jsonl", tmp_path / "killed" / "rows.jsonl"
    [undisturbed] = finished(started(whole, scenes, 1))
    for turn in range(kills):
        before, processes = written(rows), started(rows, scenes, 1 + turn % 2)
        while written(rows) < before + HEADERS and any(process.poll() is None for process in processes):
            time.sleep(0.01)
        time.sleep(random.uniform(0, seconds))
        kill(processes)
    for told in finished(started(rows, scenes, 2)):  # the sheet of either rank
        assert told["sheet"] == undisturbed["sheet"]
    assert rows.read_bytes() == whole.read_bytes()
    assert whole.read_bytes().count(b"\n") == scenes + 1
    assert [path.name for path in rows.parent.iterdir()] == [rows.name]


def test_a_killed_evaluation_ends_in_the_same_sheet_on_any_number_of_ranks(tmp_path: Path) -> None:
    storm(tmp_path, scenes=600, kills=2, seconds=0.1)


@pytest.mark.slow
def test_twenty_kills_of_a_long_evaluation(tmp_path: Path) -> None:
    storm(tmp_path, scenes=200_000, kills=20, seconds=4)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_scenes(tmp_path: Path) -> None:
    few, many = (finished(started(tmp_path / f"{scenes}.jsonl", scenes, 1))[0] for scenes in (2_000, 12_000))
    assert many["peak_mb"] < few["peak_mb"] + 20


def test_the_command_on_two_ranks_gives_the_sheet_of_one_and_says_it_once(workplace: Path) -> None:
    run = workplace / "runs" / "toy-curriculum-squares-s0"
    words = ["-m", "ocbench", "evaluate", str(run), "--batch-size", "5", "--device", "cpu", "--overwrite"]
    words += ["--json", "--data-dir", str(workplace / "data")]
    found = []
    for ranks in (1, 2):
        [told, *rest] = [process.communicate(timeout=300)[0] for process in launched(words, ranks)]
        assert rest == [""] * (ranks - 1)
        [sheet] = json.loads(told)["sheets"]
        found.append((sheet["results"], (run / "scores" / "squares-test@native.jsonl").read_bytes()))
    assert found[0] == found[1]
