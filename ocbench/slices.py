"""Slices of a test set: facts of every object, and how well objects are found by size, count, border, contact, ...

An object's score is its best IoU: the largest overlap of any predicted segment with it. Objects of one scene depend on
each other, so that intervals resample scenes, never objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ocbench.scene import Scene
from ocbench.statistics import bootstrap_interval

WORDS = ("shape", "material", "size", "color")  # facts of the source that are words
SIZES = (0.01, 0.02, 0.04, 0.08)  # shares of the picture
SHARES = (0.0, 0.25)  # of an outline: none, up to a quarter, more
NO, YES = "no", "yes"


@dataclass(frozen=True)
class Slice:
    """The objects that have one fact in common."""

    label: str
    objects: int
    scenes: int  # that have such an object
    mean: float  # best IoU, a fraction
    interval: tuple[float, float] | None  # bootstrap over scenes


@dataclass(frozen=True)
class Slicing:
    """All objects, cut up by one fact; those that lack it are left out."""

    name: str
    title: str
    note: str
    slices: tuple[Slice, ...]


def object_facts(scene: Scene) -> dict[int, dict[str, Any]]:
    """What is known of each object, by its id in the mask; JSON-able.

    border    whether it touches the edge of the picture
    contact   share of its outline that it has in common with other objects
    occluded  share of its outline that it has in common with objects nearer to the camera, where depths are known
    shape, material, size, color   the source's words, where it has them
    """
    edges = _shared_edges(scene.mask)
    outline, shared = edges.sum(axis=1), edges[:, 1:].sum(axis=1)
    counts = np.bincount(scene.mask.ravel(), minlength=len(edges))
    rim = set(np.concatenate([scene.mask[[0, -1]].ravel(), scene.mask[:, [0, -1]].ravel()]).tolist())
    source = _source_facts(scene.meta)
    depths = {label: depth for label, facts in source.items() if (depth := _depth(facts)) is not None}
    found: dict[int, dict[str, Any]] = {}
    for i in (int(i) for i in np.flatnonzero(counts) if i):
        facts = {"border": i in rim, "contact": _share(shared[i], outline[i])}
        touching = [int(j) for j in np.flatnonzero(edges[i]) if j]
        if i in depths and all(j in depths for j in touching):
            nearer = sum(edges[i, j] for j in touching if depths[j] < depths[i])
            facts["occluded"] = _share(nearer, outline[i])
        found[i] = facts | {name: word for name in WORDS if (word := _word(source.get(i, {}), name)) is not None}
    return found


def _shared_edges(mask: np.ndarray) -> np.ndarray:
    """int64 [n, n], symmetric: sides of pixels (four neighbours) between two labels of uint8 [H, W]."""
    labels = int(mask.max(initial=0)) + 1
    codes = []
    for one, other in ((mask[:-1], mask[1:]), (mask[:, :-1], mask[:, 1:])):
        places = np.nonzero(one != other)
        codes.append(one[places].astype(np.int64) * labels + other[places])
    edges = np.bincount(np.concatenate(codes), minlength=labels * labels).reshape(labels, labels)
    return edges + edges.T


def _share(part: int, whole: int) -> float:
    return round(float(part) / float(whole), 4) if whole else 0.0


def _source_facts(meta: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """The entries of meta["objects"] by label; an entry without one has its place in the list, from 1."""
    entries = meta.get("objects")
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        return {}
    found = {}
    for place, entry in enumerate(entries, 1):
        if isinstance(entry, Mapping):
            label = entry.get("label", place)
            if isinstance(label, int):
                found[label] = entry
    return found


def _depth(facts: Mapping[str, Any]) -> float | None:
    """The distance from the camera: the third of `pixel_coords`, as CLEVR and CLEVRTEX have it."""
    place = facts.get("pixel_coords")
    if isinstance(place, Sequence) and len(place) == 3 and isinstance(place[2], int | float):
        return float(place[2])
    return None


def _word(facts: Mapping[str, Any], name: str) -> str | None:
    word = facts.get(f"{name}_corrected", facts.get(name))
    return word if isinstance(word, str) else None


Fact = Callable[[Mapping[str, Any], Mapping[str, Any]], tuple[float, str] | None]  # (row, object) -> (order, label)


def object_slices(rows: Iterable[Mapping[str, Any]], pixels: int, level: float = 95.0) -> tuple[Slicing, ...]:
    """Mean best IoU of the objects in every slice; `pixels` is the area of a picture.

    `rows` are those of a score sheet. A slicing whose fact no object has, is left out.
    """
    facts: dict[str, tuple[str, str, Fact]] = {
        "size": ("Object size", "share of the picture", lambda _, one: _size(one["pixels"] / pixels)),
        "count": ("Objects in the scene", "", lambda row, _: (row["objects"], f"{row['objects']}")),
        "border": ("Touches the border", "the edge of the picture cuts it, or may", lambda _, one: _yes(one, "border")),
        "contact": ("Touches other objects", "share of its outline", lambda _, one: _outline(one, "contact")),
        "occluded": ("Occluded", "outline shared with nearer objects", lambda _, one: _outline(one, "occluded")),
        **{name: (title, note, _named(name)) for name, title, note in (
            ("shape", "Shape", ""), ("material", "Material", ""), ("size_word", "Size in space", "the source's word"),
            ("color", "Colour", ""),
        )},
    }  # fmt: skip
    kept = [row for row in rows if row.get("per_object")]
    found = [Slicing(name, title, note, _cut(kept, fact, level)) for name, (title, note, fact) in facts.items()]
    return tuple(slicing for slicing in found if slicing.slices)


def _cut(rows: Sequence[Mapping[str, Any]], fact: Fact, level: float) -> tuple[Slice, ...]:
    members: dict[tuple[float, str], dict[int, list[float]]] = {}
    for scene, row in enumerate(rows):
        for one in row["per_object"]:
            if (place := fact(row, one)) is not None:
                members.setdefault(place, {}).setdefault(scene, []).append(one["best_iou"])
    return tuple(_slice(label, members[order, label], level) for order, label in sorted(members))


def _slice(label: str, scenes: Mapping[int, Sequence[float]], level: float) -> Slice:
    sums = np.array([sum(values) for values in scenes.values()], np.float64)
    counts = np.array([len(values) for values in scenes.values()], np.int64)
    interval = bootstrap_interval(lambda drawn: sums[drawn].sum(1) / counts[drawn].sum(1), len(counts), level)
    return Slice(label, int(counts.sum()), len(counts), float(sums.sum() / counts.sum()), interval)


def _size(share: float) -> tuple[float, str]:
    place = int(np.searchsorted(SIZES, share, side="right"))
    if place == 0:
        return 0, f"under {100 * SIZES[0]:g} %"
    if place == len(SIZES):
        return place, f"{100 * SIZES[-1]:g} % and more"
    return place, f"{100 * SIZES[place - 1]:g} to {100 * SIZES[place]:g} %"


def _yes(one: Mapping[str, Any], name: str) -> tuple[float, str] | None:
    return None if name not in one else (1, YES) if one[name] else (0, NO)


def _outline(one: Mapping[str, Any], name: str) -> tuple[float, str] | None:
    if name not in one:
        return None
    place = int(np.searchsorted(SHARES, one[name], side="left"))
    return place, ("none", f"up to {100 * SHARES[1]:g} %", f"over {100 * SHARES[1]:g} %")[place]


def _named(name: str) -> Fact:
    word = name.removesuffix("_word")

    def fact(row: Mapping[str, Any], one: Mapping[str, Any]) -> tuple[float, str] | None:
        return (0, one[word]) if word in one else None

    return fact


def gap_interval(
    here: Sequence[float] | np.ndarray, there: Sequence[float] | np.ndarray, level: float = 95.0
) -> tuple[float, float] | None:
    """The bootstrap interval of mean(here) - mean(there), two sets of scenes that have nothing to do with each other.

    Each resample draws both anew, `there` by a generator of its own with a fixed seed.
    """
    first, second = np.asarray(here, np.float64), np.asarray(there, np.float64)
    if len(second) < 2:
        return None
    random = np.random.default_rng(1)

    def difference(drawn: np.ndarray) -> np.ndarray:
        others = [second[random.integers(0, len(second), len(second))].mean() for _ in drawn]
        return first[drawn].mean(1) - others

    return bootstrap_interval(difference, len(first), level)
