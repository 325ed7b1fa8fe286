"""Measures training steps on a GPU as the runner does them: precision, compilation, and the loader against one batch.

    python tools/bench_gpu.py [CASE…]        prints a table and writes benchmarks/gpu_steps.json

Cases and their goals stand below: the paper's presets for CLEVRTEX at 128x128 with random weights. Wall time of many
updates after warming up, the optimiser included; images are random. Rehearses on a CPU, smaller, and writes nothing.
PARALLEL=FOLDER: compiles, then waits for FOLDER/go, and measures while no other process with that folder does; its
rows go to FOLDER.
"""

import fcntl
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from ocbench import Protocol
from ocbench.cache import CachedSplit
from ocbench.loading import Batch, CachedBatches
from ocbench.runner import device, phases
from ocbench.runner.state import TrainingState
from ocbench.runner.update import update
from ocbench_models.ast_seg import AST_SEG
from ocbench_models.ast_seg.presets import CLEVRTEX

RESULT = Path(__file__).parents[1] / "benchmarks" / "gpu_steps.json"
HERE = "cuda" if torch.cuda.is_available() else "cpu"
WARM, TURN, SCENES, SIDE = (5, 1.5, 4096, 128) if HERE == "cuda" else (1, 0.0, 64, 64)  # steps, seconds, scenes, pixels
PEAK = {"fp32": 67e12, "tf32": 494e12, "bf16": 989e12}  # of an H100 or H200 SXM, dense, by its data sheet
MODES = {"bf16 compiled": ("bf16", True), "bf16": ("bf16", False), "tf32": ("tf32", False), "fp32": ("fp32", False)}
CASES = {  # map generator, phase, steps per second that are asked for (bf16, compiled)
    "background": ("segformer", "background", 38.0),
    "foreground": ("segformer", "foreground", 20.0),
    "joint": ("segformer", "joint", 16.0),
    "unet": ("unet", "foreground", None),
}


class Trial:
    """A phase of AST-Seg in one mode, ready to be measured."""

    def __init__(self, case: str, mode: str, folder: str) -> None:
        generator, name, _ = CASES[case]
        self.precision, self.compiled = MODES[mode]
        where = device.place(HERE, self.precision, self.compiled)
        config = replace(CLEVRTEX, map_generator=generator, pretrained=False)
        self.phase = next(p for p in AST_SEG.scenarios["ct"](config) if p.name == name)
        if HERE == "cpu":
            self.phase = replace(self.phase, batch_size=2)
        torch.manual_seed(0)
        model = device.settled(AST_SEG.build(config, Protocol("bench", 1, (SIDE, SIDE), 10, ())), where)
        self.state = TrainingState(model, (self.phase,), Path(folder), where)
        phases.set_learning(model, self.phase)
        self.state.optimizers = phases.optimizers(model, self.phase)
        self.step_module, self.loader = device.wrapped(model, where), batches(where, folder)
        if self.phase.precompute:
            self.loader.precomputed = self.loader.images
        began = time.perf_counter()
        self.seconds(WARM)
        self.seconds_to_warm = time.perf_counter() - began

    def step(self, fixed: Batch | None = None) -> None:
        batch = fixed or self.loader.batch(0, self.state.step, self.phase.batch_size)
        update(self.state, self.phase, self.step_module, batch)

    def seconds(self, count: int, fixed: Batch | None = None) -> float:
        """Mean seconds of a step."""
        wait = torch.cuda.synchronize if HERE == "cuda" else lambda: None
        wait()
        began = time.perf_counter()
        for _ in range(count):
            self.step(fixed)
        self.state.recent.clear()
        wait()
        return (time.perf_counter() - began) / max(1, count)

    def row(self) -> dict[str, Any]:
        """Steps per second with the loader and on one batch, operations, bytes."""
        if HERE == "cuda":
            torch.cuda.reset_peak_memory_stats()
        fixed = self.loader.batch(0, 0, self.phase.batch_size)
        count = max(2, min(100, round(TURN / self.seconds(2))))
        turns = [(self.seconds(count), self.seconds(count, fixed)) for _ in range(2)]
        mine, without = (sum(turn) / len(turns) for turn in zip(*turns, strict=True))
        found = {"batch": self.phase.batch_size, "seconds": mine, "steps_per_second": 1 / mine}
        found |= {"of_a_fixed_batch": without / mine, "seconds_to_warm": round(self.seconds_to_warm, 1)}
        if HERE == "cuda":
            found["peak_bytes"] = torch.cuda.max_memory_allocated()
        if not self.compiled:
            with FlopCounterMode(display=False) as counter:
                self.step()
            found["operations"] = counter.get_total_flops()
        if self.compiled and HERE == "cuda":
            found["kernels"] = self.kernels()
        return found

    def kernels(self, most: int = 12) -> dict[str, float]:
        """The kernels that take longest, with their share of the device's time."""
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as recorded:
            self.seconds(3)
        spent = {event.key: event.self_device_time_total for event in recorded.key_averages()}
        whole = sum(spent.values()) or 1
        longest = sorted(spent, key=lambda name: -spent[name])[:most]
        return {name[:120]: round(spent[name] / whole, 3) for name in longest}


def batches(where: device.Place, folder: str) -> CachedBatches:
    """Random scenes, from such a file as the cache writes."""
    path = Path(folder) / "images.npy"
    if not path.exists():
        np.save(path, np.random.default_rng(0).integers(0, 256, (SCENES, 3, SIDE, SIDE), np.uint8))
    images = np.load(path, mmap_mode="r")
    return CachedBatches(CachedSplit(images, tuple(map(str, range(SCENES)))), where.device, 0)


def measured(case: str, folder: str) -> dict[str, dict[str, Any]]:
    """A row for each mode; the compiled one comes first, so that processes which wait have compiled."""
    modes = list(MODES) if HERE == "cuda" else ["fp32"]  # a CPU takes minutes for a step in bf16
    first, shared = Trial(case, modes[0], folder), os.environ.get("PARALLEL")
    lock = None
    if shared:
        (Path(shared) / f"{case}.ready").touch()
        while not (Path(shared) / "go").exists():
            time.sleep(0.2)
        lock = open(Path(shared) / "lock", "w")  # noqa: SIM115 (held to the end of the process)
        fcntl.flock(lock, fcntl.LOCK_EX)
    rows: dict[str, dict[str, Any]] = {}
    for mode in modes:
        rows[f"{case} {mode}"] = row = (first if mode == modes[0] else Trial(case, mode, folder)).row()
        row["goal"] = CASES[case][2] if MODES[mode][1] else None
        print(shown(f"{case} {mode}", row), flush=True)
        if shared:  # what is measured is kept, whatever becomes of the rest
            (Path(shared) / f"{case}.json").write_text(json.dumps(rows))
    operations = next(row["operations"] for row in rows.values() if "operations" in row)
    for name, row in rows.items():
        peak = PEAK[MODES[name.removeprefix(case + " ")][0]]
        row |= {"operations": operations, "share_of_peak": operations / row["seconds"] / peak}
    if shared:
        (Path(shared) / f"{case}.json").write_text(json.dumps(rows))
    return rows


def shown(name: str, row: dict[str, Any]) -> str:
    goal = f"   goal {row['goal']:g}" if row["goal"] else ""
    share = f"   {row['share_of_peak']:6.1%} of the peak" if "share_of_peak" in row else ""
    speed = f"{row['steps_per_second']:8.2f} steps/s   {row['of_a_fixed_batch']:.3f} of a fixed batch"
    return f"{name:<26} {speed}{share}{goal}"


def main(*wanted: str) -> None:
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for case in wanted or CASES:
            rows |= measured(case, folder)
    if HERE == "cuda" and not os.environ.get("PARALLEL"):
        card = {"card": torch.cuda.get_device_name(), "torch": torch.__version__}
        RESULT.write_text(json.dumps({"command": "python tools/bench_gpu.py", **card, "steps": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
