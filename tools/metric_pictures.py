"""Draws docs/metrics/*.png, pairs of truth and prediction, and writes the table of their scores into docs/metrics.md.

.venv/bin/python tools/metric_pictures.py        (tests/docs/test_metric_pictures.py compares pictures and table)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import ocbench
from ocbench import imaging, panels

DOCS = Path(__file__).parents[1] / "docs"
SIDE, SCALE, GAP = 48, 3, 4  # pixels of a label map, its enlargement, and what lies between truth and prediction
METRICS = {  # name -> head of its column; all as percentages
    "miou": "mIoU", "miou_fg": "mIoU-FG", "miou_fg_gt": "mIoU-FG-GT", "ari_fg": "ARI-FG", "ari": "ARI",
    "msc_fg": "MSC-FG", "f1": "F1",
}  # fmt: skip
START, END = "<!-- written by tools/metric_pictures.py -->\n", "<!-- end -->\n"


def truth() -> np.ndarray:
    """uint8 [48, 48]: a large disc, a small square and a bar."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[np.hypot(rows - 16, columns - 15) < 10] = 1
    mask[8:17, 32:41] = 2
    mask[34:42, 12:38] = 3
    return mask


def cases() -> Iterator[tuple[str, str, np.ndarray]]:
    """(name, what is wrong, labels)."""
    mask = truth()
    rows, columns = np.mgrid[:SIDE, :SIDE]
    yield "perfect", "nothing", mask
    yield "one-label", "all is one segment", np.zeros_like(mask)
    yield "merged", "two objects are one segment", np.where(mask == 2, 1, mask)
    yield "split", "an object is two segments", np.where((mask == 3) & (columns > 24), 4, mask)
    yield "missed", "an object is left to the background", np.where(mask == 2, 0, mask)
    yield (
        "invented",
        "a segment where nothing is",
        np.where((mask == 0) & (rows > 24) & (rows < 31) & (columns > 38), 4, mask),
    )
    yield "two-grounds", "the background is two segments", np.where((mask == 0) & (rows > 27), 4, mask)
    yield "too-large", "each object with a rim of background", _grown(mask, 3)
    yield "blind-grid", "tiles, whatever the picture shows", (rows // 16 * 3 + columns // 16).astype(np.uint8)


def _grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    for _ in range(pixels):
        padded = np.pad(mask, 1)
        around = [padded[1 + r : SIDE + 1 + r, 1 + c : SIDE + 1 + c] for r, c in ((-1, 0), (1, 0), (0, -1), (0, 1))]
        mask = np.where(mask == 0, np.maximum.reduce(around), mask)
    return mask


def picture(labels: np.ndarray) -> bytes:
    """A PNG: the truth on the left, the prediction on the right."""
    gap = np.full((SIDE * SCALE, GAP, 3), 255, np.uint8)
    sides = [panels.coloured(side, {label: label - 1 for label in range(1, 10)}) for side in (truth(), labels)]
    large = [side.repeat(SCALE, axis=0).repeat(SCALE, axis=1) for side in sides]
    return imaging.encode_image(np.hstack([large[0], gap, large[1]]), "png")


def table() -> str:
    """The table of all cases, as Markdown."""
    lines = [
        "| truth, prediction | what is wrong | " + " | ".join(METRICS.values()) + " |",
        "| :--- | :--- | " + " | ".join("---:" for _ in METRICS) + " |",
    ]
    for name, wrong, labels in cases():
        scores = ocbench.score_scene(truth(), labels.astype(np.uint8), metrics=list(METRICS))
        shown = ("–" if np.isnan(scores[metric]) else f"{100 * scores[metric]:.1f}" for metric in METRICS)
        lines.append(f"| ![{name}](metrics/{name}.png) | {wrong} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    (DOCS / "metrics").mkdir(exist_ok=True)
    for name, _, labels in cases():
        (DOCS / "metrics" / f"{name}.png").write_bytes(picture(labels.astype(np.uint8)))
    page = DOCS / "metrics.md"
    text = page.read_text(encoding="utf-8")
    written = re.sub(f"({START}).*?({END})", lambda found: f"{found[1]}\n{table()}\n{found[2]}", text, flags=re.DOTALL)
    page.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
