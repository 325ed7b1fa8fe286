"""The records that every room shares: scenes, protocols, datasets, outcomes and metrics. NumPy only.

`mask` is always the true instance ids, `labels` are always hard predictions. In both, one byte a pixel; in `mask` 0 is
the background. Letters: H W pixels, K most foreground objects in a scene, P predicted and T true segments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ocbench.errors import DataError, UnknownNameError

IMAGE_FILTERS = ("bilinear-antialias", "bilinear", "nearest-floor", "nearest-centre")
MASK_FILTERS = ("nearest-floor", "nearest-centre")


@dataclass(frozen=True, eq=False)
class Scene:
    """One labelled picture."""

    key: str  # unique in its dataset, stable across runs and protocols, no dots: clevrtex-full-004217
    image: np.ndarray  # uint8 [H, W, 3], RGB, 0..255
    mask: np.ndarray  # uint8 [H, W], instance ids as in the source; 0 is the background
    meta: Mapping[str, Any] = field(default_factory=dict)  # JSON-able source facts, never needed to score
    background_parts: np.ndarray | None = None  # uint8 [H, W], sub-labels of the background; never scored by default
    index: int | None = None  # place in its part, where the key does not end in it; not stored


def check_scene(scene: Scene, max_objects: int) -> Scene:
    """The scene itself, once dtype, shape, key and ids (at most `max_objects`) are as promised; else DataError."""
    where = f"scene '{scene.key}'"
    if not re.fullmatch(r"[A-Za-z0-9_-]+", scene.key):
        raise DataError(f"{where} has an unusable key", expected="letters, digits, '-' and '_' only")
    if scene.image.dtype != np.uint8 or scene.image.ndim != 3 or scene.image.shape[2] != 3:
        raise DataError(
            f"{where} has an image of the wrong form",
            expected="uint8 [H, W, 3]",
            found=f"{scene.image.dtype} {list(scene.image.shape)}",
        )
    for name, labels in (("mask", scene.mask), ("background_parts", scene.background_parts)):
        if labels is not None and (labels.dtype != np.uint8 or labels.shape != scene.image.shape[:2]):
            raise DataError(
                f"{where} has a {name} of the wrong form",
                expected=f"uint8 {list(scene.image.shape[:2])}",
                found=f"{labels.dtype} {list(labels.shape)}",
            )
    if scene.mask.size and int(scene.mask.max()) > max_objects:
        raise DataError(
            f"{where} has a label above K",
            expected=f"ids 0..{max_objects}",
            found=f"ids {sorted({int(i) for i in np.unique(scene.mask)})}",
            hint="is this the mask of another dataset, or a palette that was expanded to colours?",
        )
    return scene


@dataclass(frozen=True)
class Split:
    """A half-open range of scene indices in one part of the source."""

    name: str  # train, val, test, or an extra test split such as ood, camo
    part: str  # the part of the source that it comes from
    start: int | float = 0  # index, or a fraction of the expected count of the part
    stop: int | float | None = None  # exclusive; None = to the end
    scenes: int | None = None  # expected count before `most_objects`, None where the source does not fix it
    max_objects: int | None = None  # most objects here, where that exceeds the protocol's K


@dataclass(frozen=True)
class Protocol:
    """One named, versioned choice of crop, filters, ranges and rules; a change of meaning is a new version."""

    name: str
    version: int
    size: tuple[int, int]  # (H, W) after preparation
    max_objects: int  # K, the most objects that a model is built for
    splits: tuple[Split, ...]
    crop: tuple[int, int, int] | None = None  # top, left, side in source pixels
    image_filter: str = "bilinear-antialias"
    mask_filter: str = "nearest-centre"
    reading: Mapping[str, Any] = field(default_factory=dict)  # handed to `read`
    most_objects: int | None = None  # scenes with more objects than this in the source are left out
    subset: tuple[int, int] | None = None  # (scenes, seed) scored instead of the whole split
    summary: str = ""  # one line: whose choice this is

    def __post_init__(self) -> None:
        if self.image_filter not in IMAGE_FILTERS or self.mask_filter not in MASK_FILTERS:
            raise ValueError(f"protocol '{self.name}': unknown filter '{self.image_filter}' or '{self.mask_filter}'")

    def split(self, name: str) -> Split:
        """The split of that name, or UnknownNameError with the near names."""
        for split in self.splits:
            if split.name == name:
                return split
        raise UnknownNameError("split", name, [split.name for split in self.splits])


@dataclass(frozen=True)
class Part:
    """What a source holds of one part."""

    scenes: int | None  # None where only a full pass could tell
    seekable: bool  # whether a range can be read without reading what lies before it
    expected: int | None = None  # scenes in the complete public distribution
    aside: int = 0  # bytes that may have to wait on disk for their turn in a pass: at worst, all of the archives


@dataclass(frozen=True)
class Download:
    """One public file of a dataset."""

    name: str
    urls: tuple[str, ...]  # current address first, then older ones
    size: int | None = None  # bytes, roughly: to foresee what is to come, never to check it
    checksum: str | None = None  # "md5:…" or "sha256:…"
    license_note: str = ""
    parts: tuple[str, ...] = ()  # the parts of the source that are made from it; none: all of them
    checksum_urls: tuple[str, ...] = ()  # where its MD5 is stated, where `checksum` does not


@dataclass(frozen=True)
class DatasetSpec:
    """Everything that the core must know of a dataset, in one record named by one entry point.

    `read(source, part, start, stop, **reading)` yields the scenes of [start, stop) in index order at source resolution;
    indices that are not there are passed over. A key ends in "-" and the scene's index, or the scene has an `index`.
    `parts(source, partial)` maps part name to `Part`; it is cheap, and the place for "nothing here" errors. With
    `partial` a part may have gaps, and `scenes` is one above its highest index.
    `source` is a path or URL (str), or None where `needs_source` is False (then the part names style and size).
    """

    name: str
    title: str
    protocols: tuple[Protocol, ...]  # the first is the default
    parts: Callable[..., Mapping[str, Part]]
    read: Callable[..., Iterator[Scene]]
    needs_source: bool = True
    downloads: tuple[Download, ...] = ()
    citation: str = ""
    license: str = ""

    def protocol(self, name: str | None = None) -> Protocol:
        """The protocol of that name (None: the default one), or UnknownNameError with the near names."""
        if name is None:
            return self.protocols[0]
        for protocol in self.protocols:
            if protocol.name == name:
                return protocol
        raise UnknownNameError(f"protocol of {self.name}", name, [protocol.name for protocol in self.protocols])


def contingency_table(labels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """int64 [P, T]: pixels with predicted label p and true id t; P and T are one more than the largest label met.

    One pass over two uint8 arrays of equal shape; one-byte codes where they fit, which halves the memory traffic.
    """
    rows, columns = int(labels.max(initial=0)) + 1, int(mask.max(initial=0)) + 1
    dtype = np.uint8 if rows * columns < 256 else np.uint16  # 256 columns are no uint8 themselves
    codes = np.multiply(labels, dtype(columns), dtype=dtype)
    np.add(codes, mask, out=codes)
    return np.bincount(codes.ravel(), minlength=rows * columns).reshape(rows, columns)


def labels_of(weights: np.ndarray) -> np.ndarray:
    """uint8 [H, W]: the slot with the largest weight at each pixel of float [S, H, W], the lowest index on ties.

    A running maximum, slot by slot: NumPy's own arg-max along the first axis takes many times as long.
    """
    best, labels = weights[0].copy(), np.zeros(weights.shape[1:], np.uint8)
    for slot in range(1, len(weights)):
        better = weights[slot] > best
        np.copyto(labels, np.uint8(slot), where=better)
        np.maximum(best, weights[slot], out=best)
    return labels


@dataclass(frozen=True, eq=False)
class Outcome:
    """A scene and what a model made of it; everything that a metric may read."""

    scene: Scene
    labels: np.ndarray  # uint8 [H, W], arg-max slot per pixel, the lowest index on ties
    reconstruction: np.ndarray | None = None  # float32 [H, W, 3], images in [0, 1], not clamped
    confidences: np.ndarray | None = None  # float32 [P], mean winning weight of each predicted segment
    derived: dict[str, Any] = field(default_factory=dict, repr=False)  # what metrics compute of it and share

    @cached_property
    def table(self) -> np.ndarray:
        """The contingency table, int64 [P, T], computed once and shared by every metric."""
        return contingency_table(self.labels, self.scene.mask)


@dataclass(frozen=True)
class Metric:
    """A named score of one scene; averaging and the treatment of NaN belong to the caller."""

    name: str  # ari_fg
    label: str  # ARI-FG
    score: Callable[[Outcome], Any]  # float or NaN; with `pool`, float64 rows [n, c]
    higher_is_better: bool = True
    scale: float = 1.0  # 100 for percentages on screen
    needs_reconstruction: bool = False
    needs_confidences: bool = False
    dialects: Mapping[str, Callable[[Outcome], Any]] = field(default_factory=dict)  # miou@union
    pool: Callable[[np.ndarray], float] | None = None  # value of all rows, for what is pooled over the set
    numbers_break_ties: bool = False  # as published, the numbers of segments decide between equal assignments
    summary: str = ""  # one line: the definition
    formula: str = ""  # what `ocbench show` prints, beside the range of values,
    range: str = ""
    degenerate: str = ""  # what scenes get that the formula does not cover,
    reported_by: str = ""  # and whose number it is
