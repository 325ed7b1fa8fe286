"""Shards decoded once into uint8 memmaps, keyed by the split's fingerprint: training reads these, not PNGs.

The folder `<cache>/<fingerprint>/` holds images.npy (uint8 [N, 3, H, W]), masks.npy (uint8 [N, H, W]) and is built beside
its place and renamed whole; a killed build leaves nothing that is mistaken for a cache.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ocbench import storage
from ocbench.errors import DataError
from ocbench.prepared import PreparedSplit


@dataclass(frozen=True)
class CachedSplit:
    """The decoded scenes of a split, in manifest order."""

    images: np.ndarray  # uint8 [N, 3, H, W]
    masks: np.ndarray  # uint8 [N, H, W]
    keys: tuple[str, ...]


def cached(
    split: PreparedSplit, cache_dir: str, progress: Callable[[int, int, str], None] | None = None
) -> CachedSplit:
    """The decoded split, built on the first call (`progress(done, total, note)`) and mapped on every later one."""
    folder = os.path.join(cache_dir, split.fingerprint)
    if not _is_whole(folder, split):
        _build(folder, split, progress)
    return CachedSplit(
        np.load(os.path.join(folder, "images.npy"), mmap_mode="r"),
        np.load(os.path.join(folder, "masks.npy"), mmap_mode="r"),
        split.keys,
    )


def _shapes(split: PreparedSplit) -> dict[str, tuple[int, ...]]:
    height, width = split.manifest.size
    return {"images.npy": (len(split), 3, height, width), "masks.npy": (len(split), height, width)}


def _is_whole(folder: str, split: PreparedSplit) -> bool:
    for name, shape in _shapes(split).items():
        try:
            if np.load(os.path.join(folder, name), mmap_mode="r").shape != shape:
                return False
        except (OSError, ValueError):  # missing, cut or foreign: built again
            return False
    return True


def _build(folder: str, split: PreparedSplit, progress: Callable[[int, int, str], None] | None) -> None:
    beside = f"{folder}.{os.getpid()}.part"
    try:
        os.makedirs(beside, exist_ok=True)
        images, masks = (
            np.lib.format.open_memmap(os.path.join(beside, name), mode="w+", dtype=np.uint8, shape=shape)
            for name, shape in _shapes(split).items()
        )
        count = 0
        for scene, key in zip(split, split.keys, strict=True):
            if scene.key != key:
                raise DataError(
                    f"'{split.directory}' does not hold what its manifest says", expected=key, found=scene.key
                )
            images[count], masks[count] = scene.image.transpose(2, 0, 1), scene.mask
            count += 1
            if progress is not None and count % 50 == 0:
                progress(count, len(split), "decoding")
        images.flush()
        masks.flush()
        if os.path.isdir(folder):
            shutil.rmtree(folder)
        os.replace(beside, folder)
    except OSError as wrong:
        raise storage.write_error(beside, wrong) from wrong
    finally:
        shutil.rmtree(beside, ignore_errors=True)
