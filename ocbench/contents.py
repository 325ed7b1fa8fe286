"""Verb: what a prepared split holds, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from ocbench.prepared import PreparedSplit
from ocbench.scene import Scene

Progress = Callable[[int, int, str], None]
REPORT_EVERY = 100  # scenes
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass
class Contents:
    """The numbers of a split and its first scenes."""

    scenes: int = 0
    objects: Counter[int] = field(default_factory=Counter)  # objects to be seen in a scene -> scenes
    areas: list[int] = field(default_factory=list)  # pixels of each object
    foreground: float = 0.0  # share of all pixels that are objects'
    lost: int = 0  # objects that were in the source's pictures and are in these no longer
    scenes_with_lost: int = 0
    first: list[Scene] = field(default_factory=list)

    def area_quantiles(self) -> dict[str, float]:
        """Pixels of an object that so many per cent of the objects do not exceed."""
        values = np.quantile(self.areas, QUANTILES).tolist() if self.areas else [0.0] * len(QUANTILES)
        return {f"{share:.0%}": round(value, 1) for share, value in zip(QUANTILES, values, strict=True)}

    def record(self) -> dict[str, Any]:
        """JSON-able; without the scenes themselves."""
        return {
            "scenes": self.scenes, "objects_per_scene": {str(n): self.objects[n] for n in sorted(self.objects)},
            "objects": len(self.areas), "object_pixels": self.area_quantiles(),
            "foreground": round(self.foreground, 4), "objects_lost_to_the_crop": self.lost,
            "scenes_that_lost_objects": self.scenes_with_lost,
        }  # fmt: skip


def contents(split: PreparedSplit, keep: int = 0, progress: Progress | None = None) -> Contents:
    """The numbers of all scenes of a split, of which the first `keep` are kept as they are; one pass."""
    found, pixels = Contents(first=list(islice(iter(split), keep))), 0
    for scene in split:
        areas = np.bincount(scene.mask.ravel())[1:]
        areas = areas[areas > 0]
        found.scenes += 1
        found.objects[len(areas)] += 1
        found.areas += areas.tolist()
        lost = max(int(scene.meta.get("num_objects", len(areas))) - len(areas), 0)
        found.lost += lost
        found.scenes_with_lost += lost > 0
        pixels += scene.mask.size
        if progress is not None and found.scenes % REPORT_EVERY == 0:
            progress(found.scenes, len(split), "")
    found.foreground = sum(found.areas) / max(pixels, 1)
    return found


def rows(found: Contents) -> Sequence[tuple[str, str]]:
    """The numbers as lines of a word and a text."""
    each = "   ".join(f"{n}: {found.objects[n]:,}" for n in sorted(found.objects))
    areas = "   ".join(f"{share}: {value:,.0f}" for share, value in found.area_quantiles().items())
    return (
        ("scenes", f"{found.scenes:,}"),
        ("objects", f"{len(found.areas):,}, which cover {found.foreground:.1%} of the pixels"),
        ("per scene", each),
        ("pixels", f"{areas}   (of an object, by share of the objects)"),
        ("crop", f"removed {found.lost:,} objects, from {found.scenes_with_lost:,} scenes"),
    )
