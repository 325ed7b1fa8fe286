"""`ocbench reproduce`: killed twice on the way, the small table is that of an undisturbed call; plans and scripts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ocbench.runs import read_log

WORDS = ("reproduce", "mini", "--seeds", "0", "--steps", "12", "--limit", "24", "--device", "cpu")


def started(data: Path, runs: Path) -> subprocess.Popen:
    words = [sys.executable, "-m", "ocbench", *WORDS, "--data-dir", str(data), "--runs-dir", str(runs)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kills", [(("ast-seg-ct", 15), ("ast-seg-bt", 6))])
def test_killed_twice_it_goes_on_to_the_same_table(tmp_path: Path, kills: tuple[tuple[str, int], ...]) -> None:
    runs = tmp_path / "runs"
    for name, updates in kills:
        process = started(tmp_path / "data", runs)
        log = runs / f"{name}-mini-plain-trial-s0" / "log.jsonl"
        while process.poll() is None and not any(line.get("updates", 0) >= updates for line in read_log(log)):
            time.sleep(0.005)
        process.kill()
        process.communicate()
        assert process.returncode == -9
    table, told = started(tmp_path / "data", runs).communicate()
    assert "ast-seg frozen" in table, told
    undisturbed, _ = started(tmp_path / "data", tmp_path / "others").communicate()
    assert table == undisturbed


def test_a_plan_is_printed_and_an_unknown_run_refused(ocbench) -> None:
    ended = ocbench("reproduce", "1", "-n", "--seeds", "0", "--pace", "25", "--price", "2")
    assert ended.code == 0, ended.err
    assert "ast-seg-ct-clevrtex-s0" in ended.out
    assert "6.9" in ended.out  # hours of 625,000 updates
    assert "which cost" in ended.out
    wrong = ocbench("reproduce", "1", "--only", "ast-seg-ct-clevrtex-s9")
    assert wrong.code == 3
    assert "ast-seg-ct-clevrtex-s0" in wrong.err
    script = ocbench("reproduce", "1", "--seeds", "0", "--slurm", "12", "--precision", "bf16")
    assert script.out.startswith("#!/bin/bash\n#SBATCH --array=0-")
    assert "ocbench reproduce 1 --seeds 0 --precision bf16 --data-dir " in script.out
