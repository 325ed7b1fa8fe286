"""Writes small HDF5 sources in the layout of object-centric-library's files, and damaged ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ocbench.datasets.oclib import Source

# How the published files store their numbers is not known: these two must come out as the same shards.
COMPACT = {"image": "u1", "mask": "u1", "other": "u1"}
WIDE = {"image": "f4", "mask": "i8", "other": "f4"}


def drawn(source: Source, index: int) -> dict[str, np.ndarray]:
    """One row of every dataset, as uint8: as many squares as index tells on noise, over bands of background."""
    random = np.random.default_rng([5, index])
    side, objects = source.side, index % (source.max_objects + 1)
    image = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
    mask = np.repeat(np.arange(side, dtype=np.uint8) * source.background // side, side).reshape(side, side, 1)
    for label in range(source.background, source.background + objects):
        square = slice(5 * label, 5 * label + 4)
        mask[square, square] = label
    visibility = (np.arange(source.entities) < source.background + objects).astype(np.uint8)
    facts = dict.fromkeys(source.facts, (visibility * (1 + index % 3))[:, None])
    per_entity = visibility if source.background > 1 else visibility[:, None]
    return {"image": image, "mask": mask, "num_actual_objects": np.array([objects]), "visibility": per_entity} | facts


def write(
    path: Path, source: Source, count: int, dtypes: dict[str, str] = COMPACT, libver: str | None = None, **storage: Any
) -> Path:
    """The file with `count` rows; `storage` (chunks, compression …) is that of image and mask."""
    rows = [drawn(source, index) for index in range(count)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", libver=libver) as file:
        for name in rows[0]:
            data = np.stack([row[name] for row in rows]).astype(dtypes.get(name, dtypes["other"]))
            file.create_dataset(name, data=data, **(storage if name in ("image", "mask") else {}))
    return path
