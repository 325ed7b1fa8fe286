"""Measures the built-in renderer: CPU milliseconds a scene on one core, material set-up apart.

    python tools/bench_render.py [SCENES] [REPETITIONS]        prints a table and writes benchmarks/render.json

Targets: 12 ms at 64 px, 30 ms at 128 px. Every repetition draws the same scenes; the least and the median over the
repetitions are reported, because whatever else the machine does can only add time.
"""

import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy: one core

import numpy as np

from ocbench.datasets.mini import SEEDS, render
from ocbench.datasets.rendering.materials import PLAIN, PLANE, TRAINING_NAMES, UNSEEN_NAMES, material

TARGETS = {"quick": 12.0, "full": 30.0}  # CPU ms
STYLES = ("plain", "texfix", "tex", "ood", "camo")
RESULT = Path(__file__).parents[1] / "benchmarks" / "render.json"


def milliseconds(style: str, layout: str, scenes: int) -> float:
    """CPU time of one scene, averaged over the first `scenes` of the training seed."""
    began = time.process_time()
    for index in range(scenes):
        render(style, layout, SEEDS["train"], index)
    return 1000 * (time.process_time() - began) / scenes


def processor() -> str:
    """The processor's name, as far as the system tells."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main(scenes: int = 40, repetitions: int = 7) -> None:
    names = (PLANE, *PLAIN, *TRAINING_NAMES, *UNSEEN_NAMES)
    began = time.process_time()
    for name in names:
        material(name)
    setup = time.process_time() - began
    print(f"{len(names)} materials: {setup:.2f} s\n\nlayout  style    least  median  target   (CPU ms a scene)")
    rows = []
    for layout, target in TARGETS.items():
        for style in STYLES:
            found = [milliseconds(style, layout, scenes) for _ in range(repetitions)]
            least, median = min(found), statistics.median(found)
            rows.append({"layout": layout, "style": style, "least_ms": least, "median_ms": median, "target_ms": target})
            print(f"{layout:<7} {style:<7} {least:6.1f}  {median:6.1f}  {target:6.1f}", flush=True)
    record = {
        "command": f"python tools/bench_render.py {scenes} {repetitions}",
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "system": platform.system(),
            "load": os.getloadavg()[0],
        },
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "scenes": scenes,
        "repetitions": repetitions,
        "material_seconds": round(setup, 2),
        "results": [{k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()} for row in rows],
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
