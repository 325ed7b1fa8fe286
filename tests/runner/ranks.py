"""What one of two ranks does and checks for test_device.py; RANK, WORLD_SIZE and MASTER_ADDR are set as by torchrun.

STAGE=kill ends in the middle of a run, the other stage goes on from there and does all else.

python ranks.py RUNS DATA PORT{6} SETTING...
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ocbench import UsageError, registry
from ocbench.prepared import PreparedSplit, split_directory
from ocbench.recipe import resolve, run_config
from ocbench.runner import checkpoint, device
from ocbench.runner.state import TrainingState
from ocbench.runner.stopping import Stopped
from ocbench.runner.train import Options, train

rank = int(os.environ["RANK"])
runs, data_dir = Path(sys.argv[1]), sys.argv[2]
ports = iter(sys.argv[3:])


KILLED = 9  # exit code of a rank that ends as if it were killed


def place() -> device.Place:
    os.environ["MASTER_PORT"] = next(ports)
    return device.place("cpu")


def check_messages(where: device.Place) -> None:
    assert (where.rank, where.world, where.writes) == (rank, 2, rank == 0)
    averaged = where.averaged({"total": torch.tensor(rank + 1.0), "part": torch.tensor(rank * 4.0)})
    assert {name: float(value) for name, value in averaged.items()} == {"total": 1.5, "part": 2.0}
    assert where.anywhere(rank == 0, rank == 1, False) == [True, True, False]
    assert where.gathered({"rank": rank}) == [{"rank": 0}, {"rank": 1}]


def check_batch_norm(make: Callable[[], nn.Module], shape: tuple[int, ...], where: device.Place) -> None:
    """Three batches through BatchNorm whole, and in two shares through the one over all ranks."""
    torch.manual_seed(3)
    whole = nn.Sequential(make()).double()
    shared = device.synchronised(nn.Sequential(make()).double(), where)
    assert isinstance(shared[0], device.HostBatchNorm)
    half = len(torch.empty(shape)) // 2
    mine = slice(rank * half, rank * half + half)
    for _ in range(3):
        images, direction = torch.randn(2, *shape, dtype=torch.float64) * 3 + 1
        everything, share = images.clone().requires_grad_(), images[mine].clone().requires_grad_()
        expected, found = whole(everything), shared(share)
        torch.testing.assert_close(found, expected[mine])
        (expected * direction).sum().backward()
        (found * direction[mine]).sum().backward()
        torch.testing.assert_close(share.grad, everything.grad[mine])
    for here, there in zip(shared.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(sum(where.gathered(here.grad)), there.grad)
    torch.testing.assert_close(shared.state_dict(), whole.state_dict())
    torch.testing.assert_close(shared.eval()(images), whole.eval()(images))
    assert shared.train().float()(images[mine].bfloat16()).dtype == torch.bfloat16


def trained(model: str, name: str, *settings: str, **options: Any) -> None:
    os.environ["MASTER_PORT"] = next(ports)
    plugin = registry.model(model)
    data = PreparedSplit(split_directory(data_dir, "squares", "native", "train"))
    recipe = resolve(plugin, "squares", None, None, settings)
    run = run_config(recipe, data, seed=0)
    train(plugin, recipe.config, data, run, runs / name, data_dir=data_dir, options=Options("cpu", **options))


def check_that_ranks_agree(finish: Callable[[TrainingState], Path]) -> Callable[[TrainingState], Path]:
    def checked(state: TrainingState) -> Path:
        first, second = state.where.gathered(checkpoint.weights_digest(state.model))
        assert first == second
        return finish(state)

    return checked


def killed_after(save: Callable[..., None], updates: int) -> Callable[..., None]:
    def killing(state: TrainingState, beside: bool = False) -> None:
        save(state)
        if state.updates == updates:
            os._exit(KILLED)

    return killing


torch.set_num_threads(1)
DUEL = ("duel_steps=6", "settle_steps=5")
LONG = ("background_steps=0", "foreground_steps=24", "joint_steps=0")
if os.environ["STAGE"] == "kill":
    TrainingState.save = killed_after(TrainingState.save, 8)  # type: ignore[method-assign]
    trained("toy-duel", "stopped-s0", *DUEL, save_every="2")
here = place()
check_messages(here)
check_batch_norm(lambda: nn.BatchNorm2d(3), (6, 3, 4, 5), here)
check_batch_norm(lambda: nn.BatchNorm1d(4, momentum=None), (8, 4), here)
check_batch_norm(lambda: nn.BatchNorm2d(3, affine=False, track_running_stats=False), (4, 3, 2, 2), here)
device.leave()

with pytest.raises(UsageError, match="a batch of 15 cannot be shared equally by 2 ranks"):
    trained("toy", "uneven-s0", "batch_size=15")
TrainingState.finish = check_that_ranks_agree(TrainingState.finish)  # type: ignore[method-assign]
trained("toy", "shared-s0", *sys.argv[9:])
trained("toy-duel", "undisturbed-s0", *DUEL, save_every="2")
trained("toy-duel", "stopped-s0", *DUEL, save_every="2")
with pytest.raises(Stopped, match="hours are over" if rank == 1 else "another rank was asked to stop") as told:
    trained("toy", "asked-s0", *LONG, max_hours=1e-9 if rank == 1 else None)
assert told.value.updates == 10  # where the ranks next agree
