"""Shards decoded once into a uint8 memmap, keyed by the split's fingerprint: training reads this, not PNGs.

The file `<cache>/<fingerprint>/images.npy` is written beside its place and renamed whole. Its content depends on the
fingerprint alone, so that processes which build it at the same time do each other no harm.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ocbench import storage
from ocbench.prepared import PreparedSplit

REPORT_EVERY = 100  # scenes


def cache_folder(data_dir: str) -> str:
    """Where decoded splits lie, on a local disk: $OCBENCH_CACHE, else beside local data, else the user's cache."""
    if chosen := os.environ.get("OCBENCH_CACHE"):
        return chosen
    if not storage.is_remote(data_dir):
        return os.path.join(data_dir, "cache")
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ocbench")


@dataclass(frozen=True)
class CachedSplit:
    """The decoded images of a split, in manifest order."""

    images: np.memmap  # uint8 [N, 3, H, W]
    keys: tuple[str, ...]


def cached(
    split: PreparedSplit, cache_dir: str, progress: Callable[[int, int, str], None] | None = None
) -> CachedSplit:
    """The decoded split, built on the first call (`progress(done, total, note)`) and mapped on every later one."""
    path = os.path.join(cache_dir, split.fingerprint, "images.npy")
    images = _mapped(path, split)
    if images is None:
        _build(path, split, progress)
        images = _mapped(path, split)
    assert images is not None
    return CachedSplit(images, split.keys)


def _shape(split: PreparedSplit) -> tuple[int, int, int, int]:
    height, width = split.manifest.size
    return len(split), 3, height, width


def _mapped(path: str, split: PreparedSplit) -> np.memmap | None:
    """The images where they are there and whole; None where the file is missing, cut or foreign."""
    try:
        images = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError):
        return None
    return images if images.shape == _shape(split) and images.dtype == np.uint8 else None


def _build(path: str, split: PreparedSplit, progress: Callable[[int, int, str], None] | None) -> None:
    storage.make_folder(os.path.dirname(path))
    storage.clear_parts(os.path.dirname(path))
    header = {"descr": "|u1", "fortran_order": False, "shape": _shape(split)}
    with storage.replacing(path) as file:  # written, not mapped: on a full disk a map would end the process
        np.lib.format.write_array_header_1_0(file, header)
        for count, scene in enumerate(split, 1):
            file.write(scene.image.transpose(2, 0, 1).tobytes())
            if progress is not None and count % REPORT_EVERY == 0:
                progress(count, len(split), "decoding")
