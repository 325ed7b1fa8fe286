"""Scene by scene: one run less another over the same scenes, from the rows beside their sheets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ocbench import registry
from ocbench.errors import RunError, UsageError
from ocbench.report.sections import sheets_of, short
from ocbench.runs import MetricResult, RunConfig, ScoreSheet, read_log
from ocbench.statistics import PairedDifference, paired_difference, paired_pooled_difference

LEVEL = 95.0  # per cent, of the intervals


@dataclass(frozen=True)
class Allowed:
    """What is paired although the numbers are not alike; the table then says so."""

    unlike: bool = False  # protocols, dialects, fingerprints, treatment of NaN
    partial: bool = False  # trained or scored on a part of a split


@dataclass(frozen=True)
class Pair:
    """Two runs on one split."""

    first: str  # names of the run directories
    second: str
    place: str
    scenes: int  # in both
    differences: tuple[tuple[MetricResult, PairedDifference], ...]  # label, direction and scale come from the result
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Side:
    """One run's sheet and its rows."""

    run_dir: Path
    run: RunConfig
    sheet: ScoreSheet

    @property
    def place(self) -> str:
        return f"{self.sheet.dataset}:{self.sheet.split}@{self.sheet.protocol}"

    @property
    def metrics(self) -> list[str]:
        return [result.metric for result in self.sheet.results]

    @cached_property
    def rows(self) -> dict[str, Mapping[str, Any]]:
        """Scene key -> row, or RunError where they are missing, cut or of another evaluation than the sheet."""
        path = self.run_dir / "scores" / f"{self.sheet.name}.jsonl"
        hint = f"ocbench evaluate {self.run_dir} --split {self.sheet.split} --overwrite"
        if not path.is_file():
            raise RunError(f"no rows at '{path}': a paired difference needs the score of every scene", hint=hint)
        header, *rows = read_log(path) or [{}]
        told = header.get("evaluation", {})
        if (told.get("weights"), told.get("data")) != (self.sheet.weights_digest, self.sheet.fingerprint):
            raise RunError(f"the rows '{path}' are of another evaluation than the sheet beside them", hint=hint)
        if len(rows) != self.sheet.scenes:
            raise RunError(
                f"the rows '{path}' are not whole", expected=f"{self.sheet.scenes:,}", found=f"{len(rows):,}", hint=hint
            )
        return {row["key"]: row for row in rows}


def pairs(run_dirs: Sequence[Path], allowed: Allowed = Allowed()) -> tuple[Pair, ...]:
    """Every run but the first, less the first, on every split that both were scored on."""
    run_dirs = list({path.resolve(): path for path in run_dirs}.values())
    if len(run_dirs) < 2:
        raise UsageError("a paired difference is of two runs", found=f"{len(run_dirs)}", hint="name two: RUN RUN")
    first, *others = [
        [_Side(path, RunConfig.load(path), sheet) for sheet in sheets_of(path)] for path in run_dirs
    ]  # fmt: skip
    return tuple(pair for other in others for pair in _pairs(first, other, allowed))


def _pairs(first: Sequence[_Side], second: Sequence[_Side], allowed: Allowed) -> list[Pair]:
    found = []
    for one in first:
        splits = [two for two in second if (two.sheet.dataset, two.sheet.split) == (one.sheet.dataset, one.sheet.split)]
        same = [two for two in splits if two.place == one.place] or splits
        found += [_pair(one, two, allowed) for two in same]
    if not found:
        raise RunError(
            f"'{first[0].run_dir}' and '{second[0].run_dir}' have no split in common",
            expected=", ".join(one.place for one in first),
            found=", ".join(two.place for two in second),
            hint=f"ocbench evaluate {second[0].run_dir} --data {first[0].place}",
        )
    return found


def _pair(one: _Side, two: _Side, allowed: Allowed) -> Pair:
    names = f"'{one.run_dir.name}' and '{two.run_dir.name}'"
    unlike, partial = _unlike(one, two), [*_partial(one), *_partial(two)]
    if unlike and not allowed.unlike:
        raise RunError(
            f"{names} were not scored alike on {one.sheet.dataset}:{one.sheet.split}",
            found="; ".join(unlike),
            hint="score both the same way, or --allow-unlike",
        )
    if partial and not allowed.partial:
        raise RunError(
            f"{names} were not trained and scored on whole splits", found="; ".join(partial), hint="--allow-partial"
        )
    keys = [key for key in one.rows if key in two.rows]
    if not keys:
        raise RunError(f"{names} have no scene of {one.place} in common")
    if len(keys) < max(len(one.rows), len(two.rows)):
        unlike.append(f"{len(keys):,} scenes in common, of {len(one.rows):,} and {len(two.rows):,}")
    together = _together(one, two)
    paired = {name for both in together for name in both}
    alone = sorted({*one.metrics, *two.metrics} - paired)
    notes = [*(f"NOT ALIKE: {why}." for why in unlike), *(f"NOT WHOLE: {why}." for why in partial)]
    notes += [f"In one of the two only: {', '.join(alone)}."] if alone else []
    differences = tuple(_difference(one, two, both, keys) for both in together)
    place = one.place if one.place == two.place else f"{one.place} and {two.place}"
    return Pair(one.run_dir.name, two.run_dir.name, place, len(keys), differences, tuple(notes))


def _unlike(one: _Side, two: _Side) -> list[str]:
    """Whatever makes the same name mean two things."""
    a, b = one.sheet, two.sheet
    compared = [
        ("protocol", f"{a.protocol}/{a.protocol_version}", f"{b.protocol}/{b.protocol_version}"),
        ("fingerprint", a.fingerprint[:8], b.fingerprint[:8]),
        ("NaN", a.settings.get("nan", "omit"), b.settings.get("nan", "omit")),
        *(("dialect", x, y) for x, y in _together(one, two) if x != y),
    ]
    return [f"{what} {x}, and {y}" for what, x, y in compared if x != y]


def _partial(side: _Side) -> list[str]:
    trained, scored = side.run.partial, side.sheet.special.get("partial")
    found = [
        f"{verb} on a part of its split ({short(part)})" for verb, part in (("trained", trained), ("scored", scored))
        if part
    ]  # fmt: skip
    return [f"'{side.run_dir.name}' was {' and '.join(found)}"] if found else []


def _together(one: _Side, two: _Side) -> list[tuple[str, str]]:
    """The metrics to lay side by side: of one name, else two dialects of one."""
    found = [(name, name) for name in one.metrics if name in two.metrics]
    taken = {name for name, _ in found}
    for name in one.metrics:
        plain = name.partition("@")[0]
        others = [other for other in two.metrics if other.partition("@")[0] == plain and other not in taken]
        if name not in taken and others:
            found.append((name, others[0]))
            taken |= {name, others[0]}
    return found


def _difference(
    one: _Side, two: _Side, both: tuple[str, str], keys: Sequence[str]
) -> tuple[MetricResult, PairedDifference]:
    result = one.sheet[both[0]]
    if both[0] != both[1]:
        label = f"{result.label} and {two.sheet[both[1]].label}"
        result = dataclasses.replace(result, metric=f"{both[0]} and {both[1]}", label=label)
    first, second = ([side.rows[key][name] for key in keys] for side, name in zip((one, two), both, strict=True))
    if isinstance(first[0], list):
        pool = registry.metric(both[0]).pool
        if pool is None:
            raise RunError(f"'{both[0]}' was pooled over scenes when it was scored, and is no longer")
        sides = [[np.array(rows, np.float64) for rows in side] for side in (first, second)]
        return result, paired_pooled_difference(sides[0], sides[1], pool, level=LEVEL)
    policy = one.sheet.settings.get("nan", "omit")
    a, b = (_defined(np.array(side, np.float64), policy) for side in (first, second))
    return result, _propagated(
        paired_difference(a, b, higher_is_better=result.higher_is_better, level=LEVEL), policy
    )  # fmt: skip


def _defined(values: np.ndarray, policy: str) -> np.ndarray:
    return np.where(np.isnan(values), 0.0, values) if policy == "zero" else values


def _propagated(found: PairedDifference, policy: str) -> PairedDifference:
    """As the sheets treat NaN: one scene without a value leaves the mean without one."""
    if policy != "propagate" or not found.undefined:
        return found
    return dataclasses.replace(found, first=np.nan, second=np.nan, difference=np.nan, interval=None)
