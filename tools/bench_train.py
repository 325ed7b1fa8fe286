"""Measures a training step of AST-Seg against the same step written as in the paper, in one run on one thread.

    python tools/bench_train.py [ROUNDS]        prints a table and writes benchmarks/train_ast_seg.json

Forward and backward at batch 4, random weights, train mode, the background given. Both forms take turns on the same
images; CPU time, ratios of medians. The literal form (literal_ast_seg.py beside the model's tests) has transformers'
decode head, attention pooling as a broadcast product, and `grid_sample`; a test holds both equal to 1e-12 in float64.
The optimiser's update is measured by itself.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: one core
os.environ["HF_HUB_OFFLINE"] = "1"

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "models" / "ast_seg"))

import literal_ast_seg
import torch
from records import keep
from taking_turns import interleaved

from ocbench import Protocol
from ocbench_models.ast_seg import AST_SEG
from ocbench_models.ast_seg.presets import CLEVRTEX
from ocbench_models.ast_seg.slots import soft_argmax

RESULT = ROOT / "benchmarks" / "train_ast_seg.json"
BATCH = 4
CASES = {  # side, slots, settings, least ratio
    "SegFormer-B3, 64 px": (64, 3, {"pretrained": False}, 1.3),
    "SegFormer-B3, 128 px": (128, 10, {"pretrained": False}, 1.5),
    "U-Net, 64 px": (64, 3, {"map_generator": "unet"}, 0.95),
    "U-Net, 128 px": (128, 10, {"map_generator": "unet"}, 0.95),
}


def steps(side: int, slots: int, settings: dict[str, object]) -> tuple[Callable[[], object], Callable[[], object]]:
    """A training step as we compute it, and as the paper writes it."""
    torch.manual_seed(0)
    config = replace(CLEVRTEX, background="still", **settings)  # a given background costs nothing
    model = AST_SEG.build(config, Protocol("bench", 1, (side, side), slots, ()))
    images, backgrounds = torch.rand(2, BATCH, 3, side, side)
    stored = (backgrounds * 255).to(torch.uint8)

    def step(network: torch.nn.Module) -> None:
        network.zero_grad()
        network.loss(images, "foreground", torch.tensor(0), stored)["total"].backward()

    one, two = model.train(), literal_ast_seg.literal(model).train()
    return lambda: step(one), lambda: step(two)


def pooling(side: int, slots: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Soft-argmax of maps of the full image side alone, forward and backward."""
    maps = torch.randn(BATCH, slots + CLEVRTEX.feature_size, side, side, requires_grad=True)
    return (
        lambda: soft_argmax(maps, slots).sum().backward(),
        lambda: literal_ast_seg.soft_argmax(maps, slots).sum().backward(),
    )


def updates() -> tuple[Callable[[], object], Callable[[], object]]:
    """An update of Adam alone: fused, as the runner asks for it, and a tensor at a time, as torch does by default."""
    model = AST_SEG.build(replace(CLEVRTEX, pretrained=False), Protocol("bench", 1, (64, 64), 3, ()))
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    rates = {"lr": CLEVRTEX.learning_rate, "betas": CLEVRTEX.betas, "eps": CLEVRTEX.eps}
    one, two = (torch.optim.Adam(model.parameters(), fused=fused, **rates) for fused in (True, False))
    return one.step, two.step


def main(rounds: int = 15) -> None:
    torch.set_num_threads(1)
    rows = {}
    parts = {name: (steps(side, slots, settings), least) for name, (side, slots, settings, least) in CASES.items()}
    parts["U-Net, 128 px, pooling alone"] = pooling(128, 10), 4.0
    parts["Adam, SegFormer-B3, 64 px"] = updates(), 1.0
    for name, ((ours, theirs), least) in parts.items():
        fast, slow = interleaved(rounds, ours, theirs)
        rows[name] = {"ratio": round(slow / fast, 3), "target": least, "seconds": fast, "literal_seconds": slow}
        print(f"{name:<32} {1e3 * fast:8.1f} ms   literal {1e3 * slow:8.1f} ms   {slow / fast:5.2f}x   target {least}")
    keep(RESULT, f"python tools/bench_train.py {rounds}", torch=torch.__version__, batch=BATCH, steps=rows)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
