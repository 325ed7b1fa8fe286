"""Measures reading and preparing of raw data as ratios to what no reader can do without, all in one run.

    python tools/bench_prepare.py [SCENES]        prints a table and writes benchmarks/prepare.json

The sources are rendered here at 240x320 in the public layouts, so their pixels are as hard to inflate as real ones. A
ratio is the time of the alternative over ours: 0.5 means that we take twice as long. CPU time, least of several, except
for the two workers (wall time). With the package `tfrecord` installed, our reader is compared with it, too.
"""

import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy: one core

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import sources
import tfrecord_sources
from zlib_ng import gzip_ng

from ocbench import imaging, jobs, prepare, registry
from ocbench.formats import tfrecord
from ocbench.ranges import Range
from ocbench.scene import Part, Split

RESULT = ROOT / "benchmarks" / "prepare.json"
REPETITIONS = 3
AGAIN = 10  # times that a drawn scene stands in a source, so that starting does not count
SHARDS = 20  # of the PNG source, for workers to share
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


def write_sources(folder: Path, scenes: int) -> Path:
    """The path of a CLEVR file; beside it, under clevrtex/, a tree of `full`; each scene is there several times."""
    drawn = [sources.rendered_scene("tex", index) for index in range(scenes)]
    features = (tfrecord_sources.clevr_features(image, mask, int(mask.max())) for image, mask in drawn)
    payload = AGAIN * b"".join(tfrecord_sources.frame(tfrecord_sources.example(each)) for each in features)
    path = folder / "clevr" / tfrecord_sources.CLEVR_FILE
    path.parent.mkdir()
    path.write_bytes(gzip_ng.compress(payload, compresslevel=6))
    sources.write_clevrtex(folder / "clevrtex", "full", AGAIN * scenes, draw=lambda index: drawn[index % scenes])
    return path


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


def prepared(dataset: str, raw: Path, scenes: int, workers: int = 1) -> None:
    """One split of so many scenes, written to a folder that is then removed."""
    spec = registry.dataset(dataset)
    part = {"clevr": "clevr", "clevrtex": "full"}[dataset]
    everything = replace(spec.protocol(), splits=(Split("train", part, 0, scenes, scenes=scenes),))
    with tempfile.TemporaryDirectory() as data:
        options = jobs.Options(executor=f"local:{workers}")
        jobs.SCENES_PER_SHARD = max(1, scenes // SHARDS)
        found = Range(everything.splits[0], Part(scenes, seekable=part == "full"), 0, scenes)
        prepare.prepare(jobs.Plan(spec, everything, str(raw), data, options, (found,), ()))


def peak_memory(scenes: int) -> int:
    """MB that a prepare of so many rendered scenes takes at most, in a process of its own."""
    with tempfile.TemporaryDirectory() as data:
        words = ["prepare", "mini-plain", "--splits", "train", "--limit", str(scenes), "--executor", "local:1", "-q"]
        run = [sys.executable, "-c", PEAK, *words, "--data-dir", data]
        return int(subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()[-1]) // 1024


def against_tfrecord(path: Path) -> float | None:
    """Our speed over that of the package `tfrecord`, where that is installed."""
    with contextlib.suppress(ImportError):
        from tfrecord.reader import tfrecord_loader

        theirs = least(lambda: list(tfrecord_loader(str(path), None, compression_type="gzip")))
        return theirs / least(lambda: read_records(path))
    return None


def main(scenes: int = 100) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file, clevrtex, many = write_sources(Path(folder), scenes), Path(folder) / "clevrtex", AGAIN * scenes
        inflating, decoding = least(lambda: inflate(file)), least(lambda: decode(clevrtex))
        one, two = (
            least(lambda n=n: prepared("clevrtex", clevrtex, many, n), time.monotonic) for n in (1, 2)
        )  # fmt: skip
        rows = {
            "TFRecord reader with CRCs, against inflating": (inflating / least(lambda: read_records(file)), 0.55),
            "CLEVR prepare, against inflating": (
                inflating / least(lambda: prepared("clevr", file.parent, many)), 0.25,
            ),
            "CLEVRTEX prepare, against decoding its PNGs": (
                decoding / least(lambda: prepared("clevrtex", clevrtex, many)), 0.6,
            ),
            "two workers against one, PNG source, wall time": (one / two, 1.7),
        }  # fmt: skip
        if (ratio := against_tfrecord(file)) is not None:
            rows["TFRecord reader, against the package tfrecord"] = ratio, 25
    peaks = {count: peak_memory(count) for count in (200, 2000)}
    for name, (ratio, target) in rows.items():
        print(f"{name:<50} {ratio:6.2f}   target {target}")
    print(f"peak memory in MB at scenes: {peaks}")
    record = {
        "command": f"python tools/bench_prepare.py {scenes}",
        "machine": {"cores": os.cpu_count(), "system": platform.system(), "load": os.getloadavg()[0]},
        "python": platform.python_version(),
        "ratios": {name: {"ratio": round(ratio, 3), "target": target} for name, (ratio, target) in rows.items()},
        "inflate_ms_per_clevr_record": round(1000 * inflating / many, 2),
        "peak_memory_mb": peaks,
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
