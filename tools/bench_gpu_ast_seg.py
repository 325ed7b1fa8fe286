"""Measures a training step of AST-Seg (mini-gpu, both map generators) on a GPU: fp32, tf32, bf16 and compiled.

    python tools/bench_gpu_ast_seg.py [STEPS]        prints a table and writes benchmarks/gpu_ast_seg.json

Forward, backward and optimiser, the background given; random images, wall time after warming up. Without a GPU it runs
the same on the CPU, without compiling, and writes nothing: a rehearsal.
"""

import json
import os
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from torch.utils.flop_counter import FlopCounterMode

from ocbench import Protocol
from ocbench_models.ast_seg import AST_SEG
from ocbench_models.ast_seg.presets import MINI_GPU

RESULT = Path(__file__).parents[1] / "benchmarks" / "gpu_ast_seg.json"
WARM = 5  # steps
MODES = (("fp32", False), ("tf32", False), ("bf16", False), ("bf16", True))  # precision, compiled
PEAK = {"fp32": 67e12, "tf32": 494e12, "bf16": 989e12}  # of an H100 or H200 SXM, dense, by its data sheet
PROTOCOL = Protocol("bench", 1, (128, 128), 10, ())


def measured(generator: str, precision: str, compiled: bool, steps: int, device: torch.device) -> dict[str, Any]:
    """Seconds and bytes of a step, and its operations."""
    torch.manual_seed(0)
    torch._dynamo.reset()
    torch.set_float32_matmul_precision("highest" if precision == "fp32" else "high")
    torch.backends.cudnn.allow_tf32 = precision != "fp32"
    config = replace(MINI_GPU, map_generator=generator)
    batch = config.batch_size if device.type == "cuda" else 2
    model: Any = AST_SEG.build(config, PROTOCOL).to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), config.learning_rate, config.betas, config.eps, fused=True)
    images = torch.rand(batch, 3, 128, 128, device=device)
    stored, clock = (images * 255).to(torch.uint8), torch.tensor(0, device=device)
    loss = torch.compile(model.loss) if compiled else model.loss

    def step() -> None:
        mixed = torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
        with mixed:
            total = loss(images, "foreground", clock, stored)["total"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    with FlopCounterMode(display=False) if not compiled else nullcontext() as counter:
        step()
    for _ in range(WARM if device.type == "cuda" else 0):
        step()
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()  # what was measured before, and counting, took more
    began = time.perf_counter()
    for _ in range(steps):
        step()
    wait()
    seconds = (time.perf_counter() - began) / steps
    found = {"batch": batch, "seconds": seconds, "images_per_second": batch / seconds}
    found["peak_bytes"] = torch.cuda.max_memory_allocated() if device.type == "cuda" else None
    if counter is not None:
        found["operations"] = counter.get_total_flops()
        found["share_of_peak"] = found["operations"] / seconds / PEAK[precision]
    return found


def main(steps: int = 30) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = {}
    for generator in ("segformer", "unet"):
        for precision, compiled in MODES:
            if compiled and device.type != "cuda":
                continue
            name = f"{generator} {precision}{' compiled' if compiled else ''}"
            rows[name] = found = measured(generator, precision, compiled, steps, device)
            print(
                f"{name:<26} {1e3 * found['seconds']:9.1f} ms   {found['images_per_second']:9.1f} images/s", flush=True
            )
    if device.type == "cuda":
        card = torch.cuda.get_device_name()
        record = {"command": f"python tools/bench_gpu_ast_seg.py {steps}", "card": card, "torch": torch.__version__}
        RESULT.write_text(json.dumps({**record, "peak_operations_per_second": PEAK, "steps": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
