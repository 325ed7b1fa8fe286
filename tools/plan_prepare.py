"""Prints the table of docs/preparing.md: time and cost of each full dataset, from benchmarks/prepare.json.

python tools/plan_prepare.py
"""

import json
from dataclasses import dataclass
from pathlib import Path

MEASURED = Path(__file__).parents[1] / "benchmarks" / "prepare.json"
CORES = (2, 16, 256)
PRICE = 0.04  # dollars for an hour of one core
DISK = 500e6  # bytes a second that a source is read with
SHARD = 1000  # scenes


@dataclass(frozen=True)
class Source:
    """What the default protocol takes of a dataset, in one of the ways in which it may lie."""

    name: str
    dataset: str  # in the measurements
    scenes: int
    gigabytes: float  # that must be read
    in_order: bool  # by one process, from the beginning


SOURCES = (
    Source("`clevr`, TFRecords", "clevr", 100_000, 10.5, True),
    Source("`clevrtex`, unpacked", "clevrtex", 68_000, 24, False),
    Source("`clevrtex`, archives", "clevrtex", 68_000, 36, True),
    Source("`objectsroom`, TFRecords", "objectsroom", 1_003_000, 7, True),
    Source("`shapestacks`, unpacked", "shapestacks", 311_200, 34, False),
    Source("`shapestacks`, archives", "shapestacks", 311_200, 34, True),
)


def plan(source: Source, cores: int, whole: float, alone: float) -> tuple[float, str]:
    """Seconds, and what limits them; `whole` and `alone` are seconds of a core a scene, `alone` for reading in order.

    One core reads in order and the others write; where nothing is read in order, a core writes one shard at a time.
    """
    limits = {"the disk": source.gigabytes * 1e9 / DISK}
    if source.in_order:
        limits["the one reader"] = source.scenes * alone
        limits["cores"] = source.scenes * whole / cores
    else:
        shards = -(-source.scenes // SHARD)
        limits["the number of shards" if cores > shards else "cores"] = -(-shards // cores) * SHARD * whole
    limit = max(limits, key=limits.__getitem__)
    return limits[limit], limit


def main() -> None:
    measured = json.loads(MEASURED.read_text())["cpu_milliseconds_per_scene"]
    print(f"| source | scenes | core hours | {' | '.join(f'{cores} cores' for cores in CORES)} | limited by |")
    print("| :--- | ---: | ---: |" + " ---: |" * len(CORES) + " :--- |")
    for source in SOURCES:
        whole, alone = (measured[name] / 1000 for name in (source.dataset, f"{source.dataset}, read in order"))
        found = [plan(source, cores, whole, alone) for cores in CORES]
        cells = [
            f"{seconds / 60:.0f} min, ${seconds / 3600 * cores * PRICE:.2f}"
            for (seconds, _), cores in zip(found, CORES, strict=True)
        ]
        limits = " / ".join(limit for _, limit in found)
        hours = source.scenes * whole / 3600
        print(f"| {source.name} | {source.scenes:,} | {hours:.2f} | {' | '.join(cells)} | {limits} |")


if __name__ == "__main__":
    main()
