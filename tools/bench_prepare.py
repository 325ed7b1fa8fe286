"""Measures reading and preparing of raw data as ratios to what no reader can do without, all in one run.

    python tools/bench_prepare.py [SCENES]        prints a table and writes benchmarks/prepare.json

The sources are rendered here at 240x320 in the public layouts, so their pixels are as hard to inflate as real ones. A
ratio is the time of the alternative over ours: 0.5 means that we take twice as long. CPU time, least of several, except
for the two workers (wall time). With the package `tfrecord` installed, our reader is compared with it, too. The
milliseconds a scene are what docs/preparing.md plans with.
"""

import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy: one core

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import numpy as np
import shapestacks_sources
import sources
import tfrecord_sources
from zlib_ng import gzip_ng

from ocbench import imaging, jobs, prepare, registry
from ocbench.formats import tfrecord
from ocbench.ranges import Range
from ocbench.scene import Part, Split

RESULT = ROOT / "benchmarks" / "prepare.json"
REPETITIONS = 3
IN_ORDER = ("clevr", "objectsroom")  # read from the beginning, by one process
AGAIN = 10  # times that a drawn scene stands in a source, so that starting does not count
SHARDS = 20  # of the PNG source, for workers to share
OF_PACKAGE = 20  # examples that the package `tfrecord` reads, a quarter of a second each
PEAK = """
import sys
from ocbench.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def least(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Seconds of the quickest of a few calls."""
    found = []
    for _ in range(REPETITIONS):
        began = clock()
        work()
        found.append(clock() - began)
    return min(found)


def write_sources(folder: Path, scenes: int) -> dict[str, int]:
    """Raw trees of rendered pictures, a folder for each dataset, every picture several times; how many scenes each."""
    drawn = [sources.rendered_scene("tex", index) for index in range(scenes)]
    sources.write_clevrtex(folder / "clevrtex", "full", AGAIN * scenes, draw=lambda index: drawn[index % scenes])
    write_records(
        folder / "clevr" / tfrecord_sources.CLEVR_FILE,
        (tfrecord_sources.clevr_features(image, mask, int(mask.max())) for image, mask in drawn),
    )
    write_records(
        folder / "objectsroom" / tfrecord_sources.room_file("train"),
        (
            {"image": image[:192:3, ::5], "mask": tfrecord_sources.one_hot(mask[:192:3, ::5] % 7, 7)}
            for image, mask in drawn
        ),
    )
    views = write_stacks(folder / "shapestacks", [image for image, _ in drawn])
    return {"clevr": AGAIN * scenes, "clevrtex": AGAIN * scenes, "objectsroom": AGAIN * scenes, "shapestacks": views}


def write_records(path: Path, scenes: Iterable[Mapping[str, np.ndarray]]) -> None:
    path.parent.mkdir()
    payload = AGAIN * b"".join(tfrecord_sources.frame(tfrecord_sources.example(each)) for each in scenes)
    path.write_bytes(gzip_ng.compress(payload, compresslevel=6))


def write_stacks(root: Path, images: Sequence[np.ndarray]) -> int:
    """A tree of ShapeStacks with these pictures for views; how many."""
    names, cameras = shapestacks_sources.SCENARIOS, shapestacks_sources.ALL_CAMERAS
    every = [f"{name}{again}" for name in names for again in range(AGAIN)]
    shapestacks_sources.write_tree(root, cameras=cameras, lists={"default/train": names})
    for number, path in enumerate(root.glob("recordings/*/rgb-*mono-0.png")):
        path.write_bytes(sources.png(images[number % len(images)][:224, :224]))
    for kind in ("recordings", "iseg"):
        for name in every:
            shutil.copytree(root / kind / name[:-1], root / kind / name)
    (root / "splits" / "default" / "train.txt").write_text("\n".join(every))
    return len(every) * len(cameras)


def inflate(path: Path) -> None:
    with gzip_ng.open(path) as file:
        while file.read(1 << 20):
            pass


def read_records(path: Path) -> None:
    with open(path, "rb") as file:
        for payload in tfrecord.records(file, str(path)):
            tfrecord.example(payload, "record")


def decode(tree: Path) -> None:
    for path in tree.rglob("*.png"):
        if path.stem.endswith("_flat"):
            imaging.decode_labels(path.read_bytes())
        elif "_0001" not in path.stem:
            imaging.decode_image(path.read_bytes())


def plan(dataset: str, raw: Path, scenes: int, data: str, shards: int = 1, workers: int = 1) -> jobs.Plan:
    """One split of so many scenes, in so many shards."""
    spec = registry.dataset(dataset)
    part = {"clevr": "clevr", "clevrtex": "full", "objectsroom": "train", "shapestacks": "default-train"}[dataset]
    everything = replace(spec.protocol(), splits=(Split("train", part, 0, scenes, scenes=scenes),))
    jobs.SCENES_PER_SHARD = -(-scenes // shards)
    found = Range(everything.splits[0], Part(scenes, seekable=dataset not in IN_ORDER), 0, scenes)
    return jobs.Plan(spec, everything, str(raw), data, jobs.Options(executor=f"local:{workers}"), (found,), ())


def prepared(*what: Any, **how: int) -> None:
    """Writes the shards of a plan to a folder that is then removed."""
    with tempfile.TemporaryDirectory() as data:
        prepare.prepare(plan(*what, data, **how))


def passed(*what: Any) -> None:
    """Reads and fits what one process must read in order, and writes nothing."""
    whole = plan(*what, os.devnull)
    for _ in jobs.stream(whole.jobs(whole.ranges[0])):
        pass


def peak_memory(scenes: int) -> int:
    """MB that a prepare of so many rendered scenes takes at most, in a process of its own."""
    with tempfile.TemporaryDirectory() as data:
        words = ["prepare", "mini-plain", "--splits", "train", "--limit", str(scenes), "--executor", "local:1", "-q"]
        run = [sys.executable, "-c", PEAK, *words, "--data-dir", data]
        return int(subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()[-1]) // 1024


def against_tfrecord(path: Path, ours: float) -> float | None:
    """Seconds an example of the package `tfrecord`, where that is installed, over ours."""
    with contextlib.suppress(ImportError):
        from tfrecord.reader import tfrecord_loader

        began = time.process_time()
        some = len(list(islice(tfrecord_loader(str(path), None, compression_type="gzip"), OF_PACKAGE)))
        return (time.process_time() - began) / some / ours
    return None


def measured(folder: Path, scenes: int) -> tuple[dict[str, tuple[float, float]], dict[str, float]]:
    """Ratio and target by name, and milliseconds of one core a scene by name."""
    counts = write_sources(folder, scenes)
    file = folder / "clevr" / tfrecord_sources.CLEVR_FILE
    what = {dataset: (dataset, folder / dataset, count) for dataset, count in counts.items()}
    inflating, decoding = least(lambda: inflate(file)), least(lambda: decode(folder / "clevrtex"))
    reading = least(lambda: read_records(file))
    whole = {dataset: least(lambda d=dataset: prepared(*what[d])) for dataset in what}
    alone = {dataset: least(lambda d=dataset: passed(*what[d])) for dataset in what}
    one, two = (
        least(lambda n=n: prepared(*what["clevrtex"], shards=SHARDS, workers=n), time.monotonic) for n in (1, 2)
    )
    ratios = {
        "TFRecord reader with CRCs, against inflating": (inflating / reading, 0.55),
        "CLEVR prepare, against inflating": (inflating / whole["clevr"], 0.25),
        "CLEVRTEX prepare, against decoding its PNGs": (decoding / whole["clevrtex"], 0.6),
        "two workers against one, PNG source, wall time": (one / two, 1.7),
    }
    if (ratio := against_tfrecord(file, reading / counts["clevr"])) is not None:
        ratios["TFRecord reader, against the package tfrecord"] = ratio, 25
    seconds = {dataset: (seconds, counts[dataset]) for dataset, seconds in whole.items()}
    seconds |= {f"{dataset}, read in order": (seconds, counts[dataset]) for dataset, seconds in alone.items()}
    seconds["clevr, inflating alone"] = inflating, counts["clevr"]
    return ratios, {name: round(1000 * spent / count, 2) for name, (spent, count) in seconds.items()}


def main(scenes: int = 100) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ratios, milliseconds = measured(Path(folder), scenes)
    peaks = {count: peak_memory(count) for count in (200, 2000)}
    for name, (ratio, target) in ratios.items():
        print(f"{name:<50} {ratio:6.2f}   target {target}")
    for name, value in milliseconds.items():
        print(f"{name:<50} {value:6.2f} ms a scene")
    print(f"peak memory in MB at scenes: {peaks}")
    record = {
        "command": f"python tools/bench_prepare.py {scenes}",
        "machine": {"cores": os.cpu_count(), "system": platform.system(), "load": os.getloadavg()[0]},
        "python": platform.python_version(),
        "ratios": {name: {"ratio": round(ratio, 3), "target": target} for name, (ratio, target) in ratios.items()},
        "cpu_milliseconds_per_scene": milliseconds,
        "peak_memory_mb": peaks,
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
