"""What the page's script reads: runs, scores of every scene, galleries. JSON that no scene's key can break out of."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ocbench.gallery import NOT_SCORES
from ocbench.html.collect import Found, Scored
from ocbench.html.pictures import Shown
from ocbench.runs import MetricResult

ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
DIGITS = 5  # significant ones, of a score


def embedded(value: Any) -> str:
    """JSON that is safe inside <script type="application/json">: no `<`, `>`, `&`, U+2028 or U+2029 in it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character, escape in ESCAPES.items():
        text = text.replace(character, escape)
    return text


def payload(found: Found, shown: Sequence[Shown]) -> dict[str, Any]:
    """The record: `keys` are shared by all runs on the same scenes, and everything else points into it."""
    keys: dict[tuple[str, ...], int] = {}
    sets = [_set(each, keys) for each in found.scored if each.rows]
    places = {(each.run.run_dir, each.section): place for place, each in enumerate(e for e in found.scored if e.rows)}
    return {
        "runs": [{"name": run.name, "colour": run.colour % 8} for run in found.runs],
        "metrics": {result.metric: _metric(result) for each in found.scored for result in each.sheet.results},
        "keys": [list(each) for each in keys],
        "sets": sets,
        "gallery": [_shown(each, places.get((each.scored.run.run_dir, each.scored.section)), found) for each in shown],
    }


def _metric(result: MetricResult) -> dict[str, Any]:
    return {"label": result.label, "higher": result.higher_is_better, "scale": result.scale}


def _set(scored: Scored, keys: dict[tuple[str, ...], int]) -> dict[str, Any]:
    """One run on one split, column by column."""
    rows = scored.rows
    scores = [
        result.metric for result in scored.sheet.results
        if any(isinstance(row.get(result.metric), int | float) for row in rows)
    ]  # fmt: skip
    return {
        "place": scored.place,
        "run": scored.run.name,
        "colour": scored.run.colour % 8,
        "keys": keys.setdefault(tuple(str(row["key"]) for row in rows), len(keys)),
        "scores": {name: [number(row.get(name)) for row in rows] for name in scores},
        "objects": [row.get("objects") for row in rows],
        "segments": [row.get("segments") for row in rows],
        "size": [_mean_size(row) for row in rows],
    }


def _mean_size(row: Mapping[str, Any]) -> float | None:
    """Pixels of the mean object, None where there is none."""
    pixels = [one["pixels"] for one in row.get("per_object") or ()]
    return round(sum(pixels) / len(pixels), 1) if pixels else None


def number(value: Any) -> float | None:
    """A score with as many digits as a screen has use for; None where it is undefined."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(f"{value:.{DIGITS}g}")


def _shown(each: Shown, place: int | None, found: Found) -> dict[str, Any]:
    entry, (height, width) = each.entry, each.gallery.size
    return {
        "set": place,
        "place": each.scored.place,
        "run": each.scored.run.name,
        "colour": each.scored.run.colour % 8,
        "key": entry.key,
        "kind": entry.kind,
        "scores": {name: number(value) for name, value in entry.scores.items() if name not in NOT_SCORES},
        "objects": [dict(one) for one in entry.objects],
        "slots": [
            {"slot": one.slot, "pixels": one.pixels, "centre": one.centre, "object": one.object, "iou": number(one.iou)}
            for one in entry.slots
        ],
        "background": each.scored.run.config.has_background,
        "height": height,
        "width": width,
        "columns": each.gallery.columns,
        "pictures": each.pictures,
    }
