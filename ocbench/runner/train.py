"""Verb: the one training loop, for every model; phases are data.

Nothing that depends on time (log lines, timed checkpoints, probes) touches weights, optimisers, clocks or generators,
so a run that was killed and resumed ends, on CPU in fp32, with the weights of one that was not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ocbench.cache import cache_folder, cached
from ocbench.errors import RunError, UsageError
from ocbench.launch import this_rank
from ocbench.loading import CachedBatches, StreamedBatches
from ocbench.plugin import ModelPlugin, Phase
from ocbench.prepared import PreparedSplit
from ocbench.runner import checkpoint, claim, device, ledger, phases
from ocbench.runner.phase_cache import PhaseCache, code_digest
from ocbench.runner.pictures import Pictures
from ocbench.runner.precompute import precomputed
from ocbench.runner.probe import Probe
from ocbench.runner.state import TrainingState
from ocbench.runner.stopping import Request, Stopped
from ocbench.runner.update import update
from ocbench.runner.watch import Watch
from ocbench.runs import RunConfig, append_log

log = logging.getLogger(__name__)
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
    max_hours: float | None = None  # of this call
    init_from: Path | None = None  # the checkpoint whose weights the first update begins with
    stop_on_collapse: bool = False  # else a collapse is only warned of
    phase_cache: bool = True  # take the first phase from another run where it would be the same, and leave it there

    def save_interval(self) -> tuple[float, float]:
        """Updates and seconds between checkpoints, one of them infinite."""
        number = self.save_every.removesuffix("s")
        if not number.isdecimal() or int(number) == 0:
            raise UsageError(f"cannot save every '{self.save_every}'", expected="updates (500) or seconds (60s)")
        return (inf, int(number)) if self.save_every.endswith("s") else (int(number), inf)


def _silent(word: str, text: str) -> None:
    """Says nothing."""


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
    say: Say = _silent,
) -> Path:
    """Trains, or goes on training, and returns the folder of the final checkpoint.

    RunError where the folder holds another run or the loss stops being finite; PluginError where the model breaks its
    contract; Stopped, with all saved, on SIGTERM, SIGUSR1 or after `max_hours`. `data` is the training split,
    `validation` what the probe looks at.
    """
    request = Request(options.max_hours)
    where = device.place(options.device, run.precision, run.compile, run.deterministic)
    options.save_interval()  # a wrong word is told now, not after the first update
    if not where.writes:  # one rank speaks for all
        progress, say = None, _silent
    with device.together():
        if claim.is_done(run, run_dir, options.resume):
            say("finished", f"{run_dir}: nothing to do")
            return run_dir / "checkpoints" / checkpoint.FINAL
        state = _prepared(plugin, config, data, run, run_dir, where)
        batches = _batches(data, run, cache_folder(data_dir), where, options.workers, progress, say)
        _take_up(state, data, run, options, say)
        probe = Probe(validation, plugin.has_background) if validation is not None and options.eval_every else None
        shared = PhaseCache(Path(cache_folder(data_dir)) / "phases", run, code_digest(plugin.build))
        watch = Watch(plugin.healthy.get(run.preset, ()), plugin.has_background)
        with closing(state.writer), closing(Pictures(run_dir, state.updates)) as pictures, request.listening():
            _Loop(state, batches, run, options, request, shared, probe, pictures, progress, say, watch).run()
            final = state.finish()
            ledger.enter(state)
            return final


def _prepared(
    plugin: ModelPlugin, config: Any, data: PreparedSplit, run: RunConfig, run_dir: Path, where: device.Place
) -> TrainingState:
    """The model as it begins, with a plan that it can carry out."""
    plan = phases.planned(plugin, config, run)
    phases.check_batches(plan, len(data), run.stream, where.world)
    torch.manual_seed(device.child_seed(run.seed, "initialisation"))
    model = device.settled(plugin.build(config, data.protocol), where)
    phases.check(model, plan)
    return TrainingState(model, plan, run_dir, where)


def _batches(
    data: PreparedSplit, run: RunConfig, cache_dir: str, where: device.Place, workers: int, progress: Progress | None,
    say: Say,
) -> CachedBatches | StreamedBatches:  # fmt: skip
    seed = device.child_seed(run.seed, "loader")
    if run.stream:
        return StreamedBatches(data, where.device, seed, where.rank, where.world, workers)
    say("cache", f"{cache_dir}/{data.fingerprint}")
    if this_rank().local == 0:  # one process a node builds the cache, the others wait
        cached(data, cache_dir, progress)
    where.wait()
    return CachedBatches(cached(data, cache_dir), where.device, seed, where.rank, where.world)


def _take_up(state: TrainingState, data: PreparedSplit, run: RunConfig, options: Options, say: Say) -> None:
    """Claims the run directory, and puts the state where the run stopped, or at its beginning."""
    state.where.wait()  # until every rank has seen whose the folder was
    if state.where.writes:
        claim.claim(run, state.run_dir, data.keys)
    state.where.wait()
    torch.manual_seed(device.child_seed(run.seed, "loop") + state.where.rank)
    folder = claim.checkpoint_to_resume(run, state.run_dir, options.resume)
    if folder is not None:
        state.resume(folder)
        say("resume", f"{folder.name} updates done, phase {state.plan[state.phase].name}")
    elif options.init_from is not None:
        checkpoint.load_weights(options.init_from, state.model)
    state.rewind_log()


@dataclass
class _Loop:
    """The phases that are left, one update after the other."""

    state: TrainingState
    batches: CachedBatches | StreamedBatches
    config: RunConfig
    options: Options
    request: Request
    shared: PhaseCache
    probe: Probe | None
    pictures: Pictures
    progress: Progress | None
    say: Say
    watch: Watch
    collapsed: str | None = None  # what was seen, where that is to end the run

    def run(self) -> None:
        state = self.state
        while state.phase < len(state.plan):
            self._phase(state.plan[state.phase])
            state.phase, state.step = state.phase + 1, 0

    def _phase(self, phase: Phase) -> None:
        state = self.state
        first = state.step
        if first == 0 and self.options.phase_cache and (origin := self.shared.take(state)):
            self.say(phase.name, f"{phase.steps:,} steps found in the phase cache, of run {origin}")
            return
        if first == 0 and phase.sample:
            self._start(phase)
        if first == phase.steps:  # there are none, or all were done before a kill
            return
        phases.set_learning(state.model, phase)
        if first == 0:
            state.optimizers = phases.optimizers(state.model, phase, state.optimizers)
        # Every rank takes rank 0's weights here, whatever `start` drew.
        step_module = device.wrapped(state.model, state.where, self.config.micro_batch is None)
        if isinstance(self.batches, CachedBatches):
            self.batches.precomputed = precomputed(state, self.batches, self.config.seed) if phase.precompute else None
        onward = f", from {first:,}" if first else ""
        self.say(phase.name, f"{phase.steps:,} steps, batch {phase.batch_size}{self._in_pieces(phase)}{onward}")
        began, log_every = time.monotonic(), max(1, min(100, phase.steps // LOG_LINES))
        while state.step < phase.steps:
            batch = self.batches.batch(state.phase, state.step, phase.batch_size)
            terms, rates = update(state, phase, step_module, batch, self.config.micro_batch)
            last = state.step == phase.steps
            if state.step % log_every == 0 or last:
                speed = (state.step - first) * phase.batch_size / (time.monotonic() - began)
                self._log(phase, terms, rates, speed)
            if self.probe is not None and self.options.eval_every and state.step % self.options.eval_every == 0:
                self._look(self.probe, phase)
            is_due, reason = self._asked()
            if last or is_due or reason:
                state.save(beside=not (last or reason))
            if last and self.options.phase_cache:
                self.shared.keep(state)
            if reason and not state.is_done:
                state.tell("stopped", reason=reason, of=state.planned)
                ledger.enter(state)
                if self.collapsed:
                    hint = f"without --stop-on-collapse the same command goes on; it is saved in '{state.checkpoint}'"
                    raise RunError(f"stopped at update {state.updates:,}: {self.collapsed}", hint=hint)
                raise Stopped(reason, state.checkpoint, state.updates)

    def _in_pieces(self, phase: Phase) -> str:
        """What a micro-batch changes, in words."""
        at_once, share = self.config.micro_batch, phase.batch_size // self.state.where.world
        if at_once is None or at_once >= share:
            return ""
        counts = any(isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training for m in self.state.model.modules())
        told = f"; BatchNorm normalises over {at_once * self.state.where.world}" if counts else ""
        return f" in pieces of {at_once} on each rank{told}"

    def _start(self, phase: Phase) -> None:
        model: Any = self.state.model
        model.eval()
        with torch.no_grad():
            model.start(phase.name, self.batches.sample(phase.sample))

    def _asked(self) -> tuple[bool, str | None]:
        """Whether a checkpoint is due, and why to stop after it; the same on every rank."""
        state, (updates, seconds) = self.state, self.options.save_interval()
        by_count = state.step % updates == 0
        if state.where.world > 1 and state.step % 10:  # the ranks must agree on the rest, which costs a message
            return by_count, None
        reason = self.collapsed or self.request.reason()
        by_time, stop = state.where.anywhere(time.monotonic() - state.saved_at >= seconds, reason is not None)
        return by_count or by_time, (reason or "another rank was asked to stop") if stop else None

    def _log(self, phase: Phase, terms: Mapping[str, torch.Tensor], rates: Sequence[float], speed: float) -> None:
        state = self.state
        state.refuse_poison()
        averaged = {name: float(value) for name, value in state.where.averaged(terms).items()}
        if state.where.writes:
            place = {"phase": phase.name, "step": state.step, "updates": state.updates, "of": state.planned}
            place["seconds"] = round(state.seconds)
            line = {**averaged, "rate": rates[0], "scenes_per_second": speed}
            append_log(state.run_dir, place | line)
            self.pictures.numbers(line, state.updates)
        if self.progress is not None:
            probed = f"   {self.probe.note}" if self.probe is not None and self.probe.note else ""
            self.progress(state.step, phase.steps, f"total {averaged['total']:.4g}{probed}   {speed:,.0f} scenes/s")

    def _look(self, probe: Probe, phase: Phase) -> None:
        state = self.state
        state.refuse_poison()
        if not state.where.writes:
            return
        with state.where.aside(state.model):
            try:
                found = probe.look(state.model, state.where.device)
            except RunError as wrong:  # a look decides nothing
                log.warning("the probe at update %d came to nothing: %s", state.updates, wrong)
                return
        place = {"event": "probe", "phase": phase.name, "step": state.step, "updates": state.updates}
        append_log(state.run_dir, {**place, **found})
        for text in self.watch.look(found, state.updates / state.planned):
            log.warning("update %s: %s", f"{state.updates:,}", text)
            append_log(state.run_dir, {"event": "collapse", "updates": state.updates, "told": text})
            self.collapsed = text if self.options.stop_on_collapse else None
        self.pictures.numbers(found, state.updates)
        self.pictures.draw(probe.shown, probe.note, now=state.step == phase.steps)
