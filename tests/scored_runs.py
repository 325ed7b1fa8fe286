"""Run directories with sheets and rows, written by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from ocbench.runs import MetricResult, RunConfig, ScoreSheet

RUN = RunConfig(
    model="net", scenario="ct", preset="clevrtex", dataset="clevrtex", split="train", protocol="ast-paper",
    protocol_version=1, size=(128, 128), max_objects=10, fingerprint="f", seed=0, config={}, published="AST-Seg-B3-CT",
)  # fmt: skip
LABELS = {"miou": "mIoU", "miou_fg": "mIoU-FG", "ari_fg": "ARI-FG", "mse": "MSE"}


def result(metric: str, mean: float, scenes: int = 4) -> MetricResult:
    """A result without interval; MSE in its own unit, all else as a fraction."""
    plain = metric.partition("@")[0]
    scale = 1.0 if plain == "mse" else 100
    label = LABELS.get(metric, metric)
    return MetricResult(metric, label, mean, 0.1, scenes, 0, None, higher_is_better=plain != "mse", scale=scale)


def scored(
    root: Path, name: str, scores: dict, *, split: str = "test", protocol: str = "ast-paper", fingerprint: str = "t",
    partial: dict | None = None, nan: str = "omit", keys: list[str] | None = None, seen: int = 0, **changes,
) -> Path:  # fmt: skip
    """A run with one sheet; `scores` gives a metric's mean, or the values of its scenes, which are then written too."""
    run = replace(RUN, **changes)
    path = root / name
    run.save(path)
    lists = {metric: values for metric, values in scores.items() if isinstance(values, list)}
    scenes = len(next(iter(lists.values()))) if lists else 4
    means = {
        metric: 0.5 if isinstance(values, list) and isinstance(values[0], list)
        else sum(values) / scenes if isinstance(values, list) else values
        for metric, values in scores.items()
    }  # fmt: skip
    sheet = ScoreSheet(
        run={"name": name, "seed": run.seed}, dataset=run.dataset, split=split, protocol=protocol, protocol_version=1,
        fingerprint=fingerprint, weights_digest="w", scenes=scenes,
        results=tuple(result(metric, mean, scenes) for metric, mean in means.items()),
        special={"partial": partial, "seen_in_training": seen}, settings={"nan": nan},
    )  # fmt: skip
    sheet.save(path / "scores" / f"{sheet.name}.json")
    if lists:
        header = {"evaluation": {"weights": "w", "data": fingerprint}}
        keys = keys or [f"scene-{place}" for place in range(scenes)]
        rows = [{"key": key} | {metric: values[i] for metric, values in lists.items()} for i, key in enumerate(keys)]
        lines = "".join(json.dumps(line) + "\n" for line in [header, *rows])
        (path / "scores" / f"{sheet.name}.jsonl").write_text(lines)
    return path
