"""Measures how training gets its images, and what the runner adds to a step; on one thread, in one run.

    python tools/bench_loading.py [ROUNDS]        prints a table and writes benchmarks/loading.json

Scenes are the built-in mini-tex@full, 128 x 128 and textured like CLEVRTEX, prepared here. Both sides of a ratio take
turns; ratios of medians.
"""

import os
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: one core

import numpy as np
import torch
from records import keep
from taking_turns import interleaved

from ocbench import registry
from ocbench.cache import cached
from ocbench.cli import main as command_line
from ocbench.imaging import decode_image
from ocbench.loading import CachedBatches, StreamedBatches
from ocbench.prepared import PreparedSplit, split_directory
from ocbench.runner import device, phases
from ocbench.runner.state import TrainingState
from ocbench.runner.update import update

RESULT = Path(__file__).parents[1] / "benchmarks" / "loading.json"
BATCH, SCENES = 64, 640
CPU = torch.device("cpu")
STEP = 0.05  # seconds of the step that the runner's overhead is a share of


def prepared(folder: str) -> PreparedSplit:
    words = f"prepare mini-tex --protocol full --splits train --limit {SCENES} -q --data-dir {folder}"
    try:
        command_line(words.split())
    except SystemExit as stop:
        if stop.code:
            raise
    return PreparedSplit(split_directory(folder, "mini-tex", "full", "train"))


def times(count: int, work: Callable[[int], object]) -> Callable[[], None]:
    """That many calls, counted on from call to call."""
    state = {"n": 0}

    def run() -> None:
        for _ in range(count):
            work(state["n"])
            state["n"] += 1

    return run


def bare_gather(images: np.ndarray) -> Callable[[int], object]:
    """What the cache is measured against: rows of a memory map, as float tensors in [0, 1]."""
    random = np.random.default_rng(0)

    def gather(n: int) -> torch.Tensor:
        rows = random.integers(0, len(images), BATCH)
        return torch.from_numpy(images[rows]).float().div_(255)

    return gather


def decoding(data: PreparedSplit) -> Callable[[int], object]:
    """What streaming is measured against: images decoded from memory, as one batch of floats."""
    encoded: list[bytes] = []
    for shard in data.manifest.shards:
        with tarfile.open(data.checked_path(shard)) as tar:
            encoded += [tar.extractfile(m).read() for m in tar if ".image." in m.name]  # type: ignore[union-attr]

    def decode(n: int) -> torch.Tensor:
        places = [(n * BATCH + k) % len(encoded) for k in range(BATCH)]
        images = [torch.from_numpy(decode_image(encoded[k], "").transpose(2, 0, 1).copy()) for k in places]
        return torch.stack(images).float().div_(255)

    return decode


class Step:
    """An update of AST-Seg's preset mini-plain as the runner does it, or of what is left of it around a given loss."""

    def __init__(self, data: PreparedSplit, loss: Callable | None = None) -> None:
        plugin = registry.model("ast-seg")
        config = plugin.presets["mini-plain"]
        self.phase = replace(plugin.scenarios["ct"](config)[1], batch_size=16, precompute=False)
        model: Any = plugin.build(config, data.protocol)
        if loss is not None:
            model.loss = loss
        self.state = TrainingState(model, (self.phase,), Path("."), device.place("cpu"))
        phases.set_learning(model, self.phase)
        self.state.optimizers = phases.optimizers(model, self.phase)
        self.module = device.wrapped(model, self.state.where)

    def __call__(self, batch: Any) -> None:
        update(self.state, self.phase, self.module, batch)
        if self.state.step % 75 == 0:  # as often as the log
            self.state.refuse_poison()


def overhead(data: PreparedSplit, folder: str, rounds: int) -> float:
    """Seconds that the runner adds to a step: one with an empty loss, less backward and optimiser by themselves."""
    touched: list[torch.nn.Parameter] = []

    def nothing(*_: object) -> dict[str, torch.Tensor]:
        return {"total": torch.stack([parameter.flatten()[0] for parameter in touched]).sum()}

    step = Step(data, nothing)
    touched += phases.parameters_of(step.state.optimizers)
    batch = CachedBatches(cached(data, folder), CPU, 0).batch(0, 0, 16)

    def bare() -> None:
        for optimizer in step.state.optimizers:
            optimizer.zero_grad()
        nothing()["total"].backward()
        for optimizer in step.state.optimizers:
            optimizer.step()

    ours, theirs = interleaved(rounds, times(20, lambda n: step(batch)), times(20, lambda n: bare()))
    return (ours - theirs) / 20


def main(rounds: int = 15) -> None:
    torch.set_num_threads(1)
    rows: dict[str, dict[str, float]] = {}

    def add(name: str, ours: float, theirs: float, goal: float) -> None:
        rows[name] = {"ratio": round(theirs / ours, 3), "goal": goal, "seconds": ours, "other_seconds": theirs}
        print(f"{name:<48} {theirs / ours:8.3f}   goal {goal}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        data = prepared(folder)
        cache = cached(data, f"{folder}/cache")
        loader = CachedBatches(cache, CPU, 0)
        gather, bare = times(10, lambda n: loader.batch(0, n, BATCH)), times(10, bare_gather(cache.images))
        add("cached gather against a bare memmap gather", *interleaved(rounds, gather, bare), 0.8)
        streamed = StreamedBatches(data, CPU, 0)
        stream = times(10, lambda n: streamed.batch(0, n, BATCH))
        add("cached gather against streaming", *interleaved(rounds, gather, stream), 15.0)
        decode = times(10, decoding(data))
        add("streaming against decoding alone", *interleaved(rounds, stream, decode), 0.55)
        step, fixed = Step(data), loader.batch(0, 0, 16)
        with_loader = times(5, lambda n: step(loader.batch(0, n, 16)))
        on_one = times(5, lambda n: step(fixed))
        add("step with the loader against one fixed batch", *interleaved(rounds, with_loader, on_one), 0.97)
        spent = overhead(data, f"{folder}/cache", rounds)
    rows["runner per step"] = {"seconds": spent, "share": spent / STEP, "goal": 0.01}
    print(f"{'runner overhead, of a step of 50 ms':<48} {spent / STEP:8.4f}   goal below 0.01")
    keep(RESULT, f"python tools/bench_loading.py {rounds}", torch=torch.__version__, batch=BATCH, rows=rows)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
