"""Processes that train together do what one does, go on where one of them was killed, and go on in another number."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ocbench.runner import checkpoint

TOY = ("toy", "background_steps=20", "foreground_steps=15", "joint_steps=15")
DUEL = ("toy-duel", "duel_steps=12", "settle_steps=8")  # it draws random numbers
KILLED = -9


def free_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exact")


@pytest.fixture
def together(toy: Path, squares_dir: Path, runs: Path) -> Callable[..., list[tuple[int, str]]]:
    """together(ranks, name, words, kills): exit code and messages of each rank; `kills` is rank -> updates."""

    def start(world: int, name: str, words: Sequence[str], kills: dict[int, int] = {}) -> list[tuple[int, str]]:  # noqa: B006
        script = str(Path(__file__).with_name("exact_rank.py"))
        command = [sys.executable, script, str(runs), str(squares_dir), words[0], name, *words[1:]]
        shared = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
        ranks = [
            subprocess.Popen(
                command, env=os.environ | shared | {"RANK": str(rank), "KILL": str(kills.get(rank, 0))},
                stderr=subprocess.PIPE, text=True,
            )
            for rank in range(world)
        ]  # fmt: skip
        try:
            told = [rank.communicate(timeout=240)[1] for rank in ranks]
        finally:
            for rank in ranks:
                rank.kill()
        return [(rank.returncode, text) for rank, text in zip(ranks, told, strict=True)]

    return start


@pytest.fixture
def weights(runs: Path, together: Callable) -> Callable[..., dict[str, torch.Tensor]]:
    """The final weights of a run on so many ranks, trained once."""

    def read(world: int, name: str, words: Sequence[str] = TOY) -> dict[str, torch.Tensor]:
        final = runs / name / "checkpoints" / "final" / "model.safetensors"
        if not final.exists():
            ended = together(world, name, words)
            assert [code for code, _ in ended] == [0] * world, ended
        return load_file(final)

    return read


@pytest.mark.parametrize("world", [2, 4])
def test_several_ranks_compute_what_one_does(weights: Callable, world: int) -> None:
    found, alone = weights(world, f"shared-{world}"), weights(1, "alone")
    assert found["masks.layers.0.weight"].dtype == torch.float64
    torch.testing.assert_close(found, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("killed", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_when_one_rank_is_killed_the_others_end_and_the_same_command_goes_on(
    runs: Path, together: Callable, weights: Callable, killed: int
) -> None:
    ended = together(2, f"killed-{killed}", DUEL, {killed: 9})
    assert ended[killed][0] == KILLED
    code, told = ended[1 - killed]
    assert code == 1
    assert "another rank has ended" in told
    newest = checkpoint.numbered(runs / f"killed-{killed}")[-1].name
    assert newest in ("0000006", "0000008")  # the last one may have been under way
    found, undisturbed = weights(2, f"killed-{killed}", DUEL), weights(2, "undisturbed", DUEL)
    assert all(torch.equal(found[name], undisturbed[name]) for name in undisturbed)


def test_a_run_of_two_ranks_goes_on_on_one(together: Callable, weights: Callable) -> None:
    assert [code for code, _ in together(2, "fewer", TOY, {0: 28, 1: 28})] == [KILLED, KILLED]
    torch.testing.assert_close(weights(1, "fewer"), weights(1, "alone"), atol=1e-5, rtol=0)
