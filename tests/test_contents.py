"""What a split holds: counts that can be worked out by hand from the drawn scenes."""

from __future__ import annotations

from pathlib import Path

import dots
import numpy as np

from ocbench.contents import contents, rows


def test_counts_areas_and_what_the_crop_removed(tmp_path: Path) -> None:
    dots.write(tmp_path / "raw", lonely=5)
    split = dots.prepared(tmp_path)
    seen: list[tuple[int, int, str]] = []
    found = contents(split, keep=2, progress=lambda *words: seen.append(words))
    masks = [dots.draw(index)[1][4:20, 4:20] for index in range(4, 20)]
    counts = [len(np.unique(mask)) - 1 for mask in masks]
    assert found.scenes == 16
    assert found.objects == {n: counts.count(n) for n in set(counts)}
    assert sum(found.areas) == sum(int((mask > 0).sum()) for mask in masks)
    assert found.foreground == sum(found.areas) / (16 * 16 * 16)
    assert (found.lost, found.scenes_with_lost) == (1, 1)
    assert [scene.key for scene in found.first] == list(split.keys[:2])
    assert found.area_quantiles()["50%"] == float(np.median(found.areas))
    assert dict(rows(found))["crop"] == "removed 1 objects, from 1 scenes"
    assert found.record()["objects_per_scene"] == {str(n): counts.count(n) for n in sorted(set(counts))}
