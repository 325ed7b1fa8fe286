"""Which of a run's processes this one is: as torchrun tells it, as Slurm's srun does, or the only one."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

FIRST_PORT, PORTS = 20_000, 10_000


@dataclass(frozen=True)
class Rank:
    """One process among `world`; `local` counts those of its node."""

    rank: int = 0
    world: int = 1
    local: int = 0


def this_rank() -> Rank:
    """By the environment; under srun it also sets where torch.distributed meets, unless the user has."""
    environment = os.environ
    if "WORLD_SIZE" in environment:
        return Rank(*(int(environment.get(name, "0")) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    # Those of the step, which a batch script by itself does not have: it is one process, whatever was allotted.
    world = int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
    if world == 1:
        return Rank()
    environment.setdefault("MASTER_ADDR", first_node(environment["SLURM_STEP_NODELIST"]))
    environment.setdefault("MASTER_PORT", str(FIRST_PORT + int(environment["SLURM_JOB_ID"]) % PORTS))
    return Rank(int(environment["SLURM_PROCID"]), world, int(environment["SLURM_LOCALID"]))


def first_node(nodes: str) -> str:
    """The first host of a list in Slurm's words, such as `gpu[003-005,7],login1`."""
    inside = re.sub(r"\[(\w+)[^\]]*\]", r"\1", nodes)
    return inside.split(",")[0]
