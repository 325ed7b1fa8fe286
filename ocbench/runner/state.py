"""The state of a run in progress: saved, taken up again, and never saved poisoned."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ocbench import storage
from ocbench.errors import RunError
from ocbench.plugin import Phase
from ocbench.runner import checkpoint, phases
from ocbench.runner.device import Place
from ocbench.runner.writing import Writer
from ocbench.runs import append_log, read_log

KEPT = 3  # checkpoints beside those at the ends of phases


@dataclass
class TrainingState:
    """A model, how far it is in its plan, and with which optimisers."""

    model: nn.Module
    plan: tuple[Phase, ...]
    run_dir: Path
    where: Place
    phase: int = 0  # index in the plan
    step: int = 0  # updates done in the phase
    optimizers: list[torch.optim.Optimizer] = field(default_factory=list)
    recent: list[Mapping[str, torch.Tensor]] = field(default_factory=list)  # terms of the updates not yet looked at
    began: float = field(default_factory=time.monotonic)  # moved back by what earlier calls took
    saved_at: float = field(default_factory=time.monotonic)
    writer: Writer = field(default_factory=Writer)

    @property
    def updates(self) -> int:
        """Updates done in all phases."""
        return sum(phase.steps for phase in self.plan[: self.phase]) + self.step

    @property
    def planned(self) -> int:
        """Updates in all phases, done or not."""
        return sum(phase.steps for phase in self.plan)

    @property
    def is_done(self) -> bool:
        """Whether no update is left."""
        return self.updates == self.planned

    @property
    def checkpoint(self) -> Path:
        """The folder of the updates done."""
        return self.run_dir / "checkpoints" / f"{self.updates:07d}"

    @property
    def seconds(self) -> float:
        """Time spent on the updates done, over all calls."""
        return time.monotonic() - self.began

    def save(self, beside: bool = False) -> None:
        """Writes a checkpoint named by the updates done; RunError where the state is poisoned.

        `beside`: the training goes on while a copy is written; what goes wrong there is raised at the next save.
        """
        self.refuse_poison()
        self._refuse_poisoned_weights()
        generators = self.where.gathered(self.where.generators())
        if self.where.writes:
            moments = checkpoint.copied([optimizer.state_dict() for optimizer in self.optimizers])
            record = {
                "phase": self.phase, "step": self.step, "seconds": self.seconds, "generators": generators,
                "optimizers": moments,
            }  # fmt: skip
            self.writer.put(partial(self._write, self.checkpoint, checkpoint.weights_of(self.model), record))
            if not beside:
                self.writer.wait()
        self.saved_at = time.monotonic()

    def _write(self, folder: Path, weights: Mapping[str, torch.Tensor], record: Mapping[str, Any]) -> None:
        checkpoint.write(folder, weights, record)
        checkpoint.prune(self.run_dir, KEPT, set(accumulate(phase.steps for phase in self.plan)))

    def finish(self) -> Path:
        """Writes the weights after the last update, and returns their folder."""
        folder = self.run_dir / "checkpoints" / checkpoint.FINAL
        self.writer.wait()
        if self.where.writes:
            checkpoint.save(folder, self.model, {"updates": self.updates})
        self.tell("finished")
        self.where.wait()
        return folder

    def tell(self, event: str, **more: Any) -> None:
        """A line of the log about the run itself."""
        if self.where.writes:
            append_log(self.run_dir, {"event": event, "updates": self.updates, "seconds": self.seconds, **more})

    def resume(self, folder: Path) -> None:
        """Takes up a checkpoint; RunError where it is damaged or not of this plan."""
        checkpoint.load_weights(folder, self.model)
        record = checkpoint.load_state(folder)
        if "phase" not in record:
            raise RunError(f"'{folder}' is the end of a run, from which nothing goes on")
        self.phase, self.step = record["phase"], record["step"]
        if self.phase >= len(self.plan) or self.step > self.plan[self.phase].steps:
            raise RunError(f"'{folder}' is of another plan", found=f"step {self.step} of phase {self.phase + 1}")
        self.began = time.monotonic() - record["seconds"]
        self._load_optimizers(folder, record["optimizers"])
        if len(record["generators"]) == self.where.world:  # on another number of ranks, random draws begin anew
            self.where.set_generators(record["generators"][self.where.rank])

    def _load_optimizers(self, folder: Path, saved: list[dict[str, Any]]) -> None:
        phase = replace(self.plan[self.phase], renew=True)
        phases.set_learning(self.model, phase)
        self.optimizers = phases.optimizers(self.model, phase)
        try:
            for optimizer, moments in zip(self.optimizers, saved, strict=True):
                optimizer.load_state_dict(moments)
        except ValueError as mismatch:
            raise RunError(f"'{folder}' has other optimisers than the plan", found=str(mismatch)) from None

    def rewind_log(self) -> None:
        """Drops what was logged after the updates done: it comes again."""
        path = self.run_dir / "log.jsonl"
        if self.where.writes and path.is_file():
            kept = [line for line in read_log(path) if line.get("updates", 0) <= self.updates]
            storage.write_atomic(str(path), "".join(json.dumps(line) + "\n" for line in kept).encode())

    def refuse_poison(self) -> None:
        """Reads the totals since the last look; RunError with the phase, step and terms of one that is not finite."""
        if not self.recent:
            return
        found = [rank for rank in self.where.gathered(self._first_poisoned()) if rank is not None]
        self.recent.clear()
        if found:
            raise self._poisoned("loss", *min(found))

    def _first_poisoned(self) -> tuple[int, str] | None:
        totals = torch.stack([terms["total"] for terms in self.recent])
        bad = (~totals.isfinite()).nonzero()
        if len(bad) == 0:
            return None
        first = int(bad[0])
        terms = ", ".join(f"{name} {float(value):.4g}" for name, value in self.recent[first].items())
        return self.step - len(self.recent) + first + 1, terms

    def _refuse_poisoned_weights(self) -> None:
        """A gradient may overflow under a finite total: then the next total, too late, would be the first to tell."""
        named = dict(self.model.named_parameters())
        whole = torch.stack([parameter.isfinite().all() for parameter in named.values()])
        bad = [name for name, fine in zip(named, whole.tolist(), strict=True) if not fine]  # read at once
        if bad:
            raise self._poisoned("weights", self.step, ", ".join(bad[:5]))

    def _poisoned(self, what: str, step: int, found: str) -> RunError:
        return RunError(
            f"not finite: the {what} in phase '{self.plan[self.phase].name}', step {step:,}",
            found=found,
            hint="a lower learning rate (--set), or --precision fp32; the checkpoints before are whole",
        )
