"""Verb: the one training loop, for every model; phases are data.

Nothing that depends on time (log lines, timed checkpoints, probes) touches weights, optimisers, clocks or generators, so a
run that was killed and resumed ends, on CPU in fp32, with the weights of one that was not.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ocbench.cache import cached
from ocbench.errors import PluginError, RunError, UsageError
from ocbench.loading import CachedBatches, StreamedBatches
from ocbench.plugin import ModelPlugin, Phase
from ocbench.prepared import PreparedSplit
from ocbench.runner import checkpoint, device, phases
from ocbench.runner.probe import Probe
from ocbench.runs import RunConfig, append_log, is_finished

log = logging.getLogger(__name__)
KEPT = 3  # checkpoints beside those at the ends of phases
LOG_LINES = 40  # per phase, at most one every 100 updates
Progress = Callable[[int, int, str], None]
Say = Callable[[str, str], None]


@dataclass(frozen=True)
class Options:
    """What may change from call to call of the same run."""

    device: str = "auto"
    resume: str = "auto"  # auto, never, or a checkpoint folder
    save_every: str = "60s"  # updates, or seconds with an s
    eval_every: int | None = None  # updates between probes
    workers: int = 0  # loader processes when streaming


def child_seed(seed: int, purpose: str) -> int:
    """A seed of its own for the loader, the initialisation or the loop."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:6], "big")


def planned(plugin: ModelPlugin, config: Any, run: RunConfig) -> tuple[Phase, ...]:
    """The phases of the scenario, under the run's limits on steps and batch size."""
    changed = []
    for phase in plugin.scenarios[run.scenario](config):
        steps = phase.steps if run.steps is None else min(phase.steps, run.steps)
        changed.append(replace(phase, steps=steps, batch_size=run.batch_size or phase.batch_size))
    return tuple(changed)


@dataclass
class _Training:
    """The state of a run in progress."""

    model: nn.Module
    plan: tuple[Phase, ...]
    run_dir: Path
    where: device.Place
    batches: CachedBatches | StreamedBatches
    options: Options
    probe: Probe | None
    phase: int = 0
    step: int = 0  # updates done in the phase
    made: list[torch.optim.Optimizer] = field(default_factory=list)
    saved_at: float = field(default_factory=time.monotonic)
    first_bad: torch.Tensor | None = None  # int64: step of the first total that was not finite, or -1
    bad_terms: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def updates(self) -> int:
        """Updates done in all phases."""
        return sum(phase.steps for phase in self.plan[: self.phase]) + self.step


def train(
    plugin: ModelPlugin,
    config: Any,
    data: PreparedSplit,
    run: RunConfig,
    run_dir: Path,
    *,
    data_dir: str,
    options: Options = Options(),
    validation: PreparedSplit | None = None,
    progress: Progress | None = None,
    say: Say = lambda word, text: None,
) -> Path:
    """Trains, or goes on training, and returns the folder of the final checkpoint.

    RunError where the folder holds another run or the loss stops being finite; PluginError where the model breaks its
    contract. `data` is the training split, `validation` what the probe looks at.
    """
    where = device.place(options.device, run.precision, run.compile, run.deterministic)
    try:
        final = run_dir / "checkpoints" / checkpoint.FINAL
        if _claim(run, run_dir, data, options, where):
            say("finished", f"{run_dir}: nothing to do")
            return final
        training = _set_up(plugin, config, data, run, run_dir, data_dir, options, validation, where, progress)
        _resume(training, options, say)
        started = time.monotonic()
        while training.phase < len(training.plan):
            _run_phase(training, progress, say)
            training.phase, training.step = training.phase + 1, 0
        if where.writes:
            checkpoint.save(final, training.model, {"updates": training.updates})
            append_log(
                run_dir, {"event": "finished", "updates": training.updates, "seconds": time.monotonic() - started}
            )
        where.wait()
        return final
    finally:
        device.leave()


def _claim(run: RunConfig, run_dir: Path, data: PreparedSplit, options: Options, where: device.Place) -> bool:
    """Makes the folder this run's, or finds that it is; True where it is finished. RunError where it is another's."""
    where.wait()
    if (run_dir / "run.json").is_file():
        difference = RunConfig.load(run_dir).difference(run)
        free = f"{run_dir.name.rsplit('-s', 1)[0]}-2"
        if difference is not None:
            raise RunError(f"'{run_dir}' holds another run", found=difference, hint=f"choose a name: --name {free}")
        if options.resume == "never":
            raise RunError(f"'{run_dir}' holds a run already", hint=f"leave --resume never out, or --name {free}")
        if is_finished(run_dir) and options.resume == "auto":
            return True
    elif run_dir.is_dir() and any(run_dir.iterdir()):
        raise RunError(f"'{run_dir}' holds something that is no run", hint="choose a --name")
    elif where.writes:
        run_dir.mkdir(parents=True, exist_ok=True)
        (run_dir / "scenes.txt").write_text("\n".join(data.keys) + "\n")
        run.save(run_dir)
    where.wait()
    return False


def _set_up(
    plugin: ModelPlugin, config: Any, data: PreparedSplit, run: RunConfig, run_dir: Path, data_dir: str, options: Options,
    validation: PreparedSplit | None, where: device.Place, progress: Progress | None,
) -> _Training:  # fmt: skip
    torch.manual_seed(child_seed(run.seed, "initialisation"))
    model = plugin.build(config, data.protocol)
    model = device.synchronised(model.to(where.device), where)
    plan = planned(plugin, config, run)
    for phase in plan:
        if phase.batch_size % where.world:
            raise UsageError(f"a batch of {phase.batch_size} cannot be shared by {where.world} ranks equally")
        if run.stream and phase.precompute:
            raise UsageError(f"phase '{phase.name}' stores what it precomputes", hint="leave --stream out")
    seed = child_seed(run.seed, "loader")
    batches: CachedBatches | StreamedBatches
    if run.stream:
        batches = StreamedBatches(data, where.device, seed, where.rank, where.world, options.workers)
    else:
        cache_dir = os.path.join(data_dir, "cache")
        if int(os.environ.get("LOCAL_RANK", "0")) == 0:  # one process a node builds the cache, the others wait
            cached(data, cache_dir, progress)
        where.wait()
        batches = CachedBatches(cached(data, cache_dir), where.device, seed, where.rank, where.world)
    torch.manual_seed(child_seed(run.seed, "loop") + where.rank)
    probe = Probe(validation, plugin.has_background) if validation is not None and options.eval_every else None
    return _Training(model, plan, run_dir, where, batches, options, probe)


def _resume(t: _Training, options: Options, say: Say) -> None:
    """Takes up the newest whole checkpoint, or the one that was named."""
    named = options.resume not in ("auto", "never")
    folder = Path(options.resume) if named else checkpoint.newest_whole(t.run_dir)
    if folder is None:
        return
    checkpoint.load_weights(folder, t.model)
    state = checkpoint.load_state(folder)
    if "phase" not in state:
        raise RunError(f"'{folder}' is the end of a run and nothing can go on from it")
    t.phase, t.step = int(state["phase"]), int(state["step"])
    phases.set_learning(t.model, t.plan[t.phase])
    t.made = phases.optimizers(t.model, replace(t.plan[t.phase], renew=True))
    for optimizer, saved in zip(t.made, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    generators = state["generators"]
    if len(generators) == t.where.world:  # on another number of ranks, random draws begin anew
        torch.set_rng_state(generators[t.where.rank]["cpu"])
        if t.where.device.type == "cuda":
            torch.cuda.set_rng_state(generators[t.where.rank]["cuda"])
    say("resume", f"{folder.name} updates done, phase {t.plan[t.phase].name}")


def _save(t: _Training) -> None:
    """Writes a checkpoint named by the updates done; the generators of every rank go into it."""
    _refuse_poison(t)
    generators = {"cpu": torch.get_rng_state()}
    if t.where.device.type == "cuda":
        generators["cuda"] = torch.cuda.get_rng_state()
    gathered = t.where.gathered(generators)
    if t.where.writes:
        state = {
            "phase": t.phase, "step": t.step, "updates": t.updates, "generators": gathered,
            "optimizers": [optimizer.state_dict() for optimizer in t.made],
        }  # fmt: skip
        checkpoint.save(t.run_dir / "checkpoints" / f"{t.updates:07d}", t.model, state)
        ends = np.cumsum([phase.steps for phase in t.plan])
        checkpoint.prune(t.run_dir, KEPT, {int(end) for end in ends})
    t.saved_at = time.monotonic()


def _run_phase(t: _Training, progress: Progress | None, say: Say) -> None:
    phase = t.plan[t.phase]
    fresh = t.step == 0
    model: Any = t.model
    if fresh and phase.sample:
        model.eval()
        with torch.no_grad():
            model.start(phase.name, t.batches.sample(phase.sample))
    if phase.steps == 0:
        return
    phases.set_learning(t.model, phase)
    if fresh:
        t.made = phases.optimizers(t.model, phase, t.made)
    if isinstance(t.batches, CachedBatches):
        t.batches.precomputed = _precomputed(t, phase) if phase.precompute else None
    step_module = device.wrapped(t.model, t.where)
    t.first_bad = torch.full((), -1, dtype=torch.int64, device=t.where.device)
    began, first = time.monotonic(), t.step
    log_every = max(1, min(100, phase.steps // LOG_LINES))
    say(phase.name, f"{phase.steps:,} steps, batch {phase.batch_size}" + (f", from step {first:,}" if first else ""))
    while t.step < phase.steps:
        terms, rates = _update(t, phase, step_module)
        if t.step % log_every == 0 or t.step == phase.steps:
            _log(t, phase, terms, rates, (t.step - first) * phase.batch_size / (time.monotonic() - began), progress)
        if t.probe is not None and t.options.eval_every and t.step % t.options.eval_every == 0:
            _probe(t, phase)
        if _is_time_to_save(t) or t.step == phase.steps:
            _save(t)


def _update(t: _Training, phase: Phase, step_module: nn.Module) -> tuple[dict[str, torch.Tensor], list[float]]:
    """One update; returns this rank's terms and the learning rates."""
    done = phase.clock_start + t.step
    batch = t.batches.batch(t.phase, t.step, phase.batch_size)
    clock = torch.tensor(done, dtype=torch.int64, device=t.where.device)
    rates = phases.set_rates(phase, t.made, done + 1)
    arguments = (batch.images, phase.name, clock)
    with t.where.autocast():
        terms = step_module(*arguments) if batch.precomputed is None else step_module(*arguments, batch.precomputed)
    if "total" not in terms:
        raise PluginError("the model's loss has no 'total'", found=", ".join(terms))
    for optimizer in t.made:
        optimizer.zero_grad(set_to_none=True)
    terms["total"].backward()
    if phase.clip_norm is not None:
        learning = [p for optimizer in t.made for group in optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(learning, phase.clip_norm)
    for optimizer in t.made:
        optimizer.step()
    t.step += 1
    _watch(t, terms)
    model: Any = t.model
    if hasattr(model, "after_step"):
        with torch.no_grad():
            model.after_step(t.where.averaged(terms), phase.name, done + 1, t.made)
    return terms, rates


def _watch(t: _Training, terms: Mapping[str, torch.Tensor]) -> None:
    """Notes on the device, without waiting for it, the first step whose total was not finite, and its terms."""
    assert t.first_bad is not None
    new = (t.first_bad < 0) & ~torch.isfinite(terms["total"].detach())
    t.first_bad = torch.where(new, torch.full_like(t.first_bad, t.step), t.first_bad)
    for name, value in terms.items():
        before = t.bad_terms.get(name, torch.zeros_like(value.detach()))
        t.bad_terms[name] = torch.where(new, value.detach(), before)


def _refuse_poison(t: _Training) -> None:
    assert t.first_bad is not None
    steps = [step for step in t.where.gathered(int(t.first_bad)) if step >= 0]
    if steps:
        terms = ", ".join(f"{name} {float(value):.4g}" for name, value in t.bad_terms.items())
        raise RunError(
            f"the loss is not finite: phase '{t.plan[t.phase].name}', step {min(steps)}",
            found=terms,
            hint="a lower learning rate (--set), or --precision fp32; the checkpoints before are whole",
        )


def _is_time_to_save(t: _Training) -> bool:
    every = t.options.save_every
    if not every.endswith("s"):
        return t.step % max(1, int(every)) == 0
    if t.where.world > 1 and t.step % 10:  # the ranks must agree, which costs a message
        return False
    return t.where.agreed(time.monotonic() - t.saved_at >= float(every[:-1]))


def _log(
    t: _Training, phase: Phase, terms: Mapping[str, torch.Tensor], rates: Sequence[float], speed: float,
    progress: Progress | None,
) -> None:  # fmt: skip
    _refuse_poison(t)
    averaged = {name: float(value) for name, value in t.where.averaged(terms).items()}
    if not t.where.writes:
        return
    record = {
        "phase": phase.name,
        "step": t.step,
        "updates": t.updates,
        **averaged,
        "rate": rates[0],
        "scenes_per_second": speed,
    }
    append_log(t.run_dir, record)
    if progress is not None:
        probed = f"   {t.probe.note}" if t.probe is not None and t.probe.note else ""
        progress(t.step, phase.steps, f"total {averaged['total']:.4g}{probed}   {speed:,.0f} scenes/s")


def _probe(t: _Training, phase: Phase) -> None:
    assert t.probe is not None
    learning = [module for module in t.model.modules() if module.training]
    found = t.probe.look(t.model, t.where.device)
    for module in learning:
        module.training = True
    if t.where.writes:
        append_log(t.run_dir, {"event": "probe", "phase": phase.name, "step": t.step, "updates": t.updates, **found})


def _precomputed(t: _Training, phase: Phase) -> torch.Tensor:
    """What `precompute` makes of every training scene, uint8 [N, C, H, W], beside the images."""
    assert isinstance(t.batches, CachedBatches)
    model: Any = t.model
    learning = [module for module in t.model.modules() if module.training]
    t.model.eval()
    rows = []
    with torch.no_grad(), t.where.autocast():
        for start in range(0, t.batches.scenes, 64):
            images = t.batches.gather(np.arange(start, min(start + 64, t.batches.scenes))).images
            made = model.precompute(images)
            if made.dtype != torch.uint8 or len(made) != len(images):
                raise PluginError(
                    "precompute must give uint8 rows, one a scene", found=f"{made.dtype} {list(made.shape)}"
                )
            rows.append(made.to(t.batches.images.device))
    for module in learning:
        module.training = True
    return torch.cat(rows)
