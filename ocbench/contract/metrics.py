"""The rules for metrics, tried on drawn scenes whose answers are known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ocbench.contract import Rule, source
from ocbench.errors import PluginError
from ocbench.scene import Metric, Outcome, Scene

SIDE = 24  # pixels
OUTCOMES = 30
SLACK = 1e-9


@dataclass
class Subject:
    """A metric under test, with its dialects."""

    metric: Metric

    def all(self) -> Iterator[Metric]:
        yield self.metric
        for dialect, score in self.metric.dialects.items():
            yield replace(self.metric, name=f"{self.metric.name}@{dialect}", score=score, dialects={})


def value_of(metric: Metric, outcomes: list[Outcome]) -> float:
    """The value over scenes: the pooled one, or the mean of those that are defined."""
    rows = [metric.score(outcome) for outcome in outcomes]
    if metric.pool is not None:
        arrays = [np.asarray(row) for row in rows]
        wrong = next((each for each in arrays if each.dtype != np.float64 or each.ndim != 2), None)
        if wrong is not None:
            raise PluginError(
                f"'{metric.name}' is pooled, but its score is {wrong.dtype} {list(wrong.shape)}, not float64 [n, c]"
            )
        return float(metric.pool(np.concatenate(arrays)))
    for row in rows:
        if not isinstance(row, float | np.floating):
            raise PluginError(f"'{metric.name}' gave a {type(row).__name__}, not a float")
    defined = [row for row in rows if not math.isnan(row)]
    return float(np.mean(defined)) if defined else math.nan


def drawn(seed: int, segments: int = 4) -> Outcome:
    """A scene of up to four blobs, and labels that shift and blur it."""
    random = np.random.default_rng([11, seed])
    mask = _blobs(random, 1 + seed % 4)
    labels = np.roll(mask, random.integers(-3, 4, 2), (0, 1))
    swapped = random.random(mask.shape) < 0.1
    labels = np.where(swapped, random.integers(0, segments + 1, mask.shape), labels).astype(np.uint8)
    return outcome(mask, labels, random)


def outcome(mask: np.ndarray, labels: np.ndarray, random: np.random.Generator) -> Outcome:
    image = random.integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
    noisy = (image / 255 + random.normal(0, 0.1, image.shape)).astype(np.float32)
    confidences = random.random(int(labels.max()) + 1).astype(np.float32)
    return Outcome(Scene("drawn-000000", image, mask), labels, noisy, confidences)


def _blobs(random: np.random.Generator, count: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for label in range(1, count + 1):
        top, left = random.integers(2, SIDE - 9, 2)
        mask[top : top + 4 + label, left : left + 6] = label
    return mask


def in_range(subject: Subject) -> str:
    """A number or NaN; per cent between -100 and 100."""
    values = []
    for metric in subject.all():
        for seed in range(OUTCOMES):
            value = value_of(metric, [drawn(seed)])
            if math.isinf(value) or (metric.scale == 100 and abs(value) > 1 + SLACK):
                raise PluginError(
                    f"'{metric.name}' is {value:.4g} for a drawn scene", expected="a fraction of at most 1"
                )
            values.append(value)
    if all(math.isnan(value) for value in values):
        raise PluginError("the metric is undefined for every drawn scene")
    return f"{np.nanmin(values):.3g} to {np.nanmax(values):.3g}"


def names_do_not_count(subject: Subject) -> str:
    """Other numbers for the same segments and the same objects give the same value."""
    if subject.metric.numbers_break_ties:
        return "left out: the record says that they break ties"
    for metric in subject.all():
        for seed in range(OUTCOMES):
            plain = drawn(seed)
            random = np.random.default_rng([13, seed])
            slots = random.permutation(8).astype(np.uint8)
            objects = np.concatenate([[0], 1 + random.permutation(6)]).astype(np.uint8)
            confidences = np.zeros(len(slots), np.float32)
            assert plain.confidences is not None
            confidences[slots[: len(plain.confidences)]] = plain.confidences
            other = replace(
                plain, scene=replace(plain.scene, mask=objects[plain.scene.mask]), labels=slots[plain.labels],
                confidences=confidences, derived={},
            )  # fmt: skip
            first, second = value_of(metric, [plain]), value_of(metric, [other])
            if not math.isclose(first, second, abs_tol=SLACK) and not (math.isnan(first) and math.isnan(second)):
                raise PluginError(
                    f"'{metric.name}' changes from {first:.6g} to {second:.6g} with the numbers of segments"
                )
    return f"{OUTCOMES} scenes renamed"


def degenerate(subject: Subject) -> str:
    """No object, no background, one segment, more segments than objects: a number or NaN, never an exception."""
    random, empty = np.random.default_rng(17), np.zeros((SIDE, SIDE), np.uint8)
    blobs = _blobs(random, 2)
    many = np.arange(SIDE * SIDE, dtype=np.int64).reshape(SIDE, SIDE) % 40
    cases = {
        "no object": (empty, blobs), "neither objects nor segments": (empty, empty), "one segment": (blobs, empty),
        "no background": (blobs + np.uint8(1), blobs), "one object everywhere": (empty + np.uint8(1), blobs),
        "40 segments": (blobs, many.astype(np.uint8)),
    }  # fmt: skip
    for metric in subject.all():
        for name, (mask, labels) in cases.items():
            try:
                value = value_of(metric, [outcome(mask, labels, random)])
            except Exception as wrong:
                raise PluginError(f"'{metric.name}', {name}: {type(wrong).__name__}: {wrong}") from wrong
            if math.isinf(value):
                raise PluginError(f"'{metric.name}', {name}: {value}")
    return ", ".join(cases)


def best_when_perfect(subject: Subject) -> str:
    """The truth itself as the answer scores at least as well as any drawn answer."""
    found = []
    for metric in subject.all():
        sign = 1 if metric.higher_is_better else -1
        drawn_ones = [drawn(seed) for seed in range(OUTCOMES)]
        perfect = [
            replace(
                each, labels=each.scene.mask.copy(), reconstruction=(each.scene.image / 255).astype(np.float32),
                confidences=np.ones(int(each.scene.mask.max()) + 1, np.float32), derived={},
            )
            for each in drawn_ones
        ]  # fmt: skip
        best, other = value_of(metric, perfect), value_of(metric, drawn_ones)
        if sign * best < sign * other - SLACK:
            raise PluginError(f"'{metric.name}' is {best:.4g} for the truth itself and {other:.4g} for drawn answers")
        found.append(f"{best:.3g}")
    return ", ".join(found)


def asks_for_what_it_uses(subject: Subject) -> str:
    """What a metric does not say that it needs may be missing."""
    for metric in subject.all():
        plain = drawn(1)
        bare = replace(
            plain, reconstruction=plain.reconstruction if metric.needs_reconstruction else None,
            confidences=plain.confidences if metric.needs_confidences else None, derived={},
        )  # fmt: skip
        value_of(metric, [bare])
    needs = (("reconstruction", subject.metric.needs_reconstruction), ("confidences", subject.metric.needs_confidences))
    return "needs " + (" and ".join(word for word, needed in needs if needed) or "labels alone")


def told(subject: Subject) -> str:
    lacking = [word for word in ("summary", "label") if not getattr(subject.metric, word)]
    if lacking:
        raise PluginError(f"the record has no {' and no '.join(lacking)}")
    return subject.metric.label


RULES = (
    Rule("record", "a label and a definition in one line", told),
    Rule("imports", "public names of ocbench alone", lambda subject: source.public_imports_only(subject.metric.score)),
    Rule("needs", "to say whether reconstruction or confidences are used", asks_for_what_it_uses),
    Rule("range", "a number or NaN, fractions of at most 1", in_range),
    Rule("names", "the same value whatever the numbers of segments and objects", names_do_not_count),
    Rule("degenerate", "a number or NaN for scenes without objects, without background, …", degenerate),
    Rule("perfect", "the best value for the truth itself", best_when_perfect),
)
