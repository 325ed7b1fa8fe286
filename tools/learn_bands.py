"""Prints the bands that healthy runs of a preset give, to be put beside it: half the least to one and a half the most.

    python tools/learn_bands.py RUN...        of every figure of the probe in the second half of the updates

Which runs are healthy is for the caller to say: those whose scores are as they should be.
"""

import sys
from pathlib import Path

from ocbench.runs import read_log

FIGURES = ("foreground", "live_slots", "background_error")
AFTER = 0.5  # share of the updates


def main(*runs: str) -> None:
    seen: dict[str, list[float]] = {figure: [] for figure in FIGURES}
    for run in runs:
        log = read_log(Path(run) / "log.jsonl")
        planned = max(line.get("of", 0) for line in log)
        for line in log:
            if line.get("event") == "probe" and line["updates"] >= AFTER * planned:
                for figure in FIGURES:
                    seen[figure] += [line[figure]] if figure in line else []
    for figure, values in seen.items():
        if values:
            low, high = min(values), max(values)
            print(f'Band("{figure}", {low / 2:.3g}, {high * 1.5:.3g}),  # {low:.3g} to {high:.3g}')


if __name__ == "__main__":
    main(*sys.argv[1:])
