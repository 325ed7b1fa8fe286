"""Which process this is, in the words of torchrun and of Slurm."""

from __future__ import annotations

import os

import pytest

from ocbench.launch import Rank, first_node, this_rank

SLURM = {
    "SLURM_JOB_ID": "123456", "SLURM_NTASKS": "16", "SLURM_STEP_NUM_TASKS": "16", "SLURM_PROCID": "9",
    "SLURM_LOCALID": "1", "SLURM_STEP_NODELIST": "gpu[003,5-6],fat1",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SLURM, "WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # so that what the code sets is taken back, too
        monkeypatch.delenv(name)


def setting(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert this_rank() == Rank(0, 1, 0)
    setting(monkeypatch, {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "16", "SLURM_PROCID": "0"})  # a batch script by itself
    assert this_rank() == Rank(0, 1, 0)
    setting(monkeypatch, SLURM | {"SLURM_STEP_NUM_TASKS": "1"})
    assert this_rank() == Rank(0, 1, 0)
    assert "MASTER_ADDR" not in os.environ


def test_under_srun(monkeypatch: pytest.MonkeyPatch) -> None:
    setting(monkeypatch, SLURM)
    assert this_rank() == Rank(9, 16, 1)
    assert (os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]) == ("gpu003", "23456")
    setting(monkeypatch, {"MASTER_ADDR": "head", "MASTER_PORT": "7"})
    this_rank()
    assert (os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]) == ("head", "7")


def test_torchrun_within_srun_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    setting(monkeypatch, SLURM | {"WORLD_SIZE": "8", "RANK": "5", "LOCAL_RANK": "2"})
    assert this_rank() == Rank(5, 8, 2)
    assert "MASTER_ADDR" not in os.environ


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("a1", "a1"), ("a1,b2", "a1"), ("gpu[3-5]", "gpu3"), ("r[01-02]n[7,9].x,y", "r01n7.x"), ("n-[1,2-3]-x", "n-1-x")],
)
def test_the_first_node(nodes: str, first: str) -> None:
    assert first_node(nodes) == first
