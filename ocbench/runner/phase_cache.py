"""The outcome of a run's first phase, kept for every run in which it would be the same but for the seed.

`<cache>/phases/<digest>/` holds `model.safetensors` (parameters and buffers of what the phase trains) and `origin.json`
(whose outcome it is, and what the digest is of). The digest holds the settings that the phase `depends_on`, the data,
the precision and the code; no seed, so that seeds share a phase: run.json says so, and reports do.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ocbench import __version__, storage
from ocbench.errors import DataError
from ocbench.plugin import Phase
from ocbench.runner import checkpoint, phases
from ocbench.runner.state import TrainingState
from ocbench.runs import RunConfig

log = logging.getLogger(__name__)
ORIGIN = "origin.json"


@dataclass
class PhaseCache:
    """What one run takes from the cache, and leaves there."""

    root: Path  # its folder `phases`
    run: RunConfig
    code: str  # digest of the code of the model, see `code_digest`

    def take(self, state: TrainingState) -> str | None:
        """Ends the phase at once with the stored outcome, and returns whose it is; None where there is none."""
        folder = self._folder(state)
        origin = _whole(folder) if folder is not None else None
        if folder is None or not all(state.where.gathered(origin is not None)):
            return None
        assert origin is not None
        phase = state.plan[state.phase]
        phases.set_learning(state.model, phase)
        weights = checkpoint.read(folder / checkpoint.WEIGHTS)
        state.model.load_state_dict({**state.model.state_dict(), **weights})
        state.optimizers, state.step = phases.optimizers(state.model, phase), phase.steps
        if state.where.writes:
            self.run = replace(self.run, shared={phase.name: origin["run"]})
            self.run.save(state.run_dir)
        state.save()
        return str(origin["run"])

    def keep(self, state: TrainingState) -> None:
        """Stores the outcome of the phase that has just ended, where its phase may be shared."""
        folder = self._folder(state)
        if folder is None or not state.where.writes or _whole(folder) is not None:
            return
        trains = state.plan[state.phase].trains
        weights = {n: value for n, value in checkpoint.weights_of(state.model).items() if phases.belongs(n, trains)}
        stored = checkpoint.as_bytes(weights)
        origin = {
            "run": state.run_dir.name, "seed": self.run.seed, "seconds": state.seconds,
            "sha256": hashlib.sha256(stored).hexdigest(), "key": self._key(state.plan[state.phase]),
        }  # fmt: skip
        try:
            with storage.replacing_folder(str(folder)) as beside:
                storage.write_atomic(f"{beside}/{checkpoint.WEIGHTS}", stored)
                storage.write_atomic(f"{beside}/{ORIGIN}", json.dumps(origin, indent=1).encode())
        except DataError as wrong:  # the run itself needs it no more
            log.warning("the phase is not stored for other runs: %s", wrong)

    def _folder(self, state: TrainingState) -> Path | None:
        """Where the outcome of the phase that the state is in lies or would lie; None where it cannot be shared."""
        if not may_be_shared(state.plan, state.phase):
            return None
        key = json.dumps(self._key(state.plan[state.phase]), sort_keys=True)
        return self.root / hashlib.sha256(key.encode()).hexdigest()[:32]

    def _key(self, phase: Phase) -> dict[str, Any]:
        run = self.run
        settings = {name: run.config[name] for name in phase.depends_on or ()}
        names = ("fingerprint", "precision", "stream", "deterministic", "micro_batch", "init_from")
        data = {name: getattr(run, name) for name in names}
        plan = {"phase": phase.name, "steps": phase.steps, "batch_size": phase.batch_size, "trains": phase.trains}
        return {**plan, **data, "settings": settings, "code": self.code}


def may_be_shared(plan: Sequence[Phase], index: int) -> bool:
    """Whether nothing but its own settings decides the phase, and nothing but its weights goes on from it."""
    phase, before, after = plan[index], plan[:index], plan[index + 1 :]
    begins = not any(earlier.steps or earlier.sample for earlier in before)
    return bool(phase.depends_on is not None and phase.steps and phase.trains and begins and after and after[0].renew)


def code_digest(build: Any) -> str:
    """Of the versions of ocbench and torch, and of the source beside the function that builds the model."""
    build = getattr(build, "func", build)  # of a functools.partial
    build = build if hasattr(build, "__qualname__") else type(build)
    digest = hashlib.sha256(f"{__version__} {torch.__version__} {build.__module__} {build.__qualname__}".encode())
    module = sys.modules[build.__module__]
    source = getattr(module, "__file__", None)
    if source is not None:
        package = getattr(module, "__package__", None)
        for path in sorted(Path(source).parent.glob("*.py")) if package else [Path(source)]:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _whole(folder: Path) -> Mapping[str, Any] | None:
    """The origin of an entry, or None where there is no entry; a damaged one counts as none, with a warning."""
    if not (folder / ORIGIN).is_file():
        return None
    try:
        origin: Mapping[str, Any] = json.loads((folder / ORIGIN).read_text())
        whole = storage.sha256_of(str(folder / checkpoint.WEIGHTS)) == origin["sha256"]
    except (OSError, ValueError, KeyError) as wrong:
        log.warning("stored phase '%s' cannot be read (%s); it is trained anew", folder, wrong)
        return None
    if not whole:
        log.warning("stored phase '%s' is damaged; it is trained anew", folder)
        return None
    return origin
