"""Devices and precision by name, what is put aside, and two ranks that compute what one does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from ocbench import UsageError
from ocbench.runner import device

STEPS = ("background_steps=0", "foreground_steps=5", "joint_steps=5")


@pytest.mark.parametrize("word", ["", "gpu", "cuda:x", "cuda:-1", "CPU"])
def test_an_unknown_device_is_a_usage_error(word: str) -> None:
    with pytest.raises(UsageError, match=f"no device '{word}'(?s:.*)auto, cpu, cuda, cuda:N or mps"):
        device.torch_device(word)


@pytest.mark.parametrize(("word", "named"), [("cuda", "cuda:2"), ("cuda:1", "cuda:1"), ("mps", "mps")])
def test_a_device_that_is_not_here_is_a_usage_error(word: str, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError, match=f"device '{named}' is not here"):
        device.torch_device(word)


def test_a_cuda_device_has_the_number_that_its_tensors_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device.torch_device("auto") == torch.device("cuda:0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert device.torch_device("auto") == torch.device("cuda:3")
    assert device.torch_device("cuda:1") == torch.device("cuda:1")


def test_an_unknown_precision_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"no precision 'fp16'(?s:.*)fp32, tf32, bf16"):
        device.place("cpu", "fp16")


@pytest.mark.parametrize(("precision", "expected"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_bf16_is_autocast(precision: str, expected: torch.dtype) -> None:
    with device.place("cpu", precision).autocast():
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == expected


@pytest.mark.parametrize("deterministic", [True, False])
def test_deterministic_kernels_are_asked_for(deterministic: bool) -> None:
    device.place("cpu", deterministic=deterministic)
    assert torch.are_deterministic_algorithms_enabled() is deterministic


def test_what_is_put_aside_leaves_modes_and_generators() -> None:
    net = nn.Sequential(nn.BatchNorm1d(2), nn.Sequential(nn.Dropout(), nn.Linear(2, 2)))
    net[0].eval()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with device.Place(torch.device("cpu")).aside(net):
        assert not any(module.training for module in net.modules())
        assert not net(torch.rand(4, 2)).requires_grad
        torch.manual_seed(99)
    assert torch.equal(torch.rand(3), expected)
    assert [module.training for module in net.modules()] == [True, False, True, True, True]


def free_ports(count: int) -> list[str]:
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [str(one.getsockname()[1]) for one in sockets]


@pytest.fixture(scope="module")
def two_ranks(toy_site: Path, squares_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs that two processes made together; what they check of each other is in ranks.py."""
    runs = tmp_path_factory.mktemp("ranks")
    paths = os.pathsep.join([str(toy_site), os.environ.get("PYTHONPATH", "")])
    shared = {**os.environ, "PYTHONPATH": paths, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    for stage, code in (("kill", 9), ("all", 0)):
        words = [sys.executable, str(Path(__file__).with_name("ranks.py")), str(runs), str(squares_dir), *free_ports(6)]
        ranks = [
            subprocess.Popen(
                [*words, *STEPS], env={**shared, "RANK": rank, "STAGE": stage}, stderr=subprocess.PIPE, text=True
            )
            for rank in ("0", "1")
        ]
        try:
            told = [rank.communicate(timeout=300)[1] for rank in ranks]
        finally:
            for rank in ranks:
                rank.kill()
        assert [rank.returncode for rank in ranks] == [code, code], "\n".join(told)
    return runs


def weights(final: Path) -> Mapping[str, torch.Tensor]:
    return load_file(final / "model.safetensors")


def test_two_ranks_compute_what_one_does(two_ranks: Path, training: Any) -> None:
    alone = weights(training("toy", *STEPS))
    torch.testing.assert_close(weights(two_ranks / "shared-s0/checkpoints/final"), alone, atol=1e-5, rtol=1e-5)


def test_two_ranks_go_on_bit_for_bit(two_ranks: Path) -> None:
    stopped, undisturbed = (
        (two_ranks / name / "checkpoints" / "final" / "model.safetensors").read_bytes()
        for name in ("stopped-s0", "undisturbed-s0")
    )
    assert stopped == undisturbed


def test_one_rank_writes(two_ranks: Path) -> None:
    lines = (two_ranks / "undisturbed-s0" / "log.jsonl").read_text().splitlines()
    assert len(lines) == 6 + 5 + 1  # a line an update, and the end
