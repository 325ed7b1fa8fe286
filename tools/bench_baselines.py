"""Measures a training step of each baseline against the same step written as in its specification, on one thread.

    python tools/bench_baselines.py [ROUNDS]        prints a table and writes benchmarks/train_baselines.json

Forward and backward at batch 2 with the published settings, random weights, train mode. Both forms take turns on the
same images; CPU time, ratios of medians. The literal form (literal_baselines.py beside the models' tests) goes slot by
slot; a test holds both equal to 1e-10 in float64. The last columns are relative to Slot Attention's step: our time, and
the arithmetic that the specification counts (of convolutions, linear layers and matrix products).
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: one core

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import torch
from models.literal_baselines import LOSSES
from records import keep
from taking_turns import interleaved

from ocbench import Protocol
from ocbench.runner.memory import keep_freed
from ocbench_models.genesis_v2 import GENESIS_V2
from ocbench_models.gnm import GNM
from ocbench_models.monet import MONET_G_PLUGIN, MONET_PLUGIN
from ocbench_models.slot_attention import SLOT_ATTENTION

RESULT = ROOT / "benchmarks" / "train_baselines.json"
BATCH = 2
MOST = 1.1  # times the literal step
SIZES = {64: 5, 128: 11}  # side: slots
PLUGINS = SLOT_ATTENTION, MONET_PLUGIN, MONET_G_PLUGIN, GENESIS_V2, GNM  # the first is the measure of the others
ARITHMETIC = {"slot-attention": 1.0, "monet": 1.7, "monet-g": 0.37, "genesis-v2": 0.55, "gnm": 0.01}  # 128 px, 11 slots


def steps(name: str, model: torch.nn.Module, side: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """A training step as we compute it, and as the specification writes it."""
    images, clock = torch.rand(BATCH, 3, side, side), torch.tensor(10_000.0)

    def step(loss: Callable[[], dict[str, torch.Tensor]]) -> None:
        model.zero_grad()
        loss()["total"].backward()

    return (
        lambda: step(lambda: model.loss(images, "all", clock)),
        lambda: step(lambda: LOSSES[name](model, images, clock)),
    )


def main(rounds: int = 3) -> None:
    torch.set_num_threads(1)
    keep_freed()  # as in training
    rows: dict[str, dict[str, float]] = {}
    for side, slots in SIZES.items():
        measure = 0.0
        for plugin in PLUGINS:
            torch.manual_seed(0)
            model = plugin.build(plugin.presets["clevrtex"], Protocol("bench", 1, (side, side), slots - 1, ())).train()
            ours, literal = interleaved(rounds, *steps(plugin.name, model, side))
            measure = measure or ours
            ratio, relative = round(ours / literal, 3), round(ours / measure, 3)
            row = {"ratio": ratio, "target": MOST, "seconds": ours, "literal_seconds": literal, "relative": relative}
            counted = {"relative_arithmetic": ARITHMETIC[plugin.name]} if side == 128 else {}
            rows[f"{plugin.name}, {side} px"] = row | counted
            print(
                f"{plugin.name:<16}{side:4} px {1e3 * ours:8.0f} ms   literal {1e3 * literal:8.0f} ms   {ratio:5.2f}x",
                f"  at most {MOST}   relative {relative:5.2f}  ",
                *(f"arithmetic {value}" for value in counted.values()),
                flush=True,
            )
    keep(RESULT, f"python tools/bench_baselines.py {rounds}", torch=torch.__version__, batch=BATCH, steps=rows)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
