"""Label maps (and reconstructions) made by any tool: where they lie, and what one is once it is read.

    folder      NAME.png (palette, grey or colour-coded), NAME.npy, NAME.npz with one array, or tar shards of these
    FILE.tar    the same as members; also .tar.gz; what stands behind the first dot of a name is passed over
    FILE.npz    one array a scene under its name; or one array [N, …], beside `keys` [N] or in the order of the scenes
    FILE.npy    one array [N, …] in the order of the scenes

Colours have no numbers: a colour-coded map gets them in the order of its colours, and the plain mIoU, which depends on
numbers where segments overlap with nothing, may differ from that of numbered maps.

A label map is an integer array [H, W], or a float array [S, H, W] of soft masks, of which the largest wins (the lowest
index on ties). A reconstruction is a picture, or a float array [H, W, 3] or [3, H, W] in [0, 1].
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ocbench import imaging, storage
from ocbench.errors import DataError
from ocbench.formats.archive import members
from ocbench.scene import labels_of

PICTURES = (".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")
ARRAYS = (".npy", ".npz")
ARCHIVES = (".tar", ".tar.gz", ".tgz")
MOST_LABELS = 256


class LabelsOutOfRange(DataError):
    """Labels that are integers, but do not fit 0..255."""


@dataclass(frozen=True)
class Stored:
    """One array or picture, not yet read."""

    name: str  # of the file or array, for messages
    load: Callable[[], Any]  # the array, or the bytes of a picture


Found = Mapping[str, Stored] | list[Stored]  # by name, or only in an order


def found(path: str, stack: ExitStack) -> Found:
    """What lies at `path`; what an archive holds waits in a temporary folder until `stack` is left.

    DataError where nothing is there, where the format is not known, or where two have one name.
    """
    if os.path.isdir(path):
        return _of_folder(path, stack)
    if not os.path.exists(path):
        raise DataError(f"no label maps at '{path}'", expected="a folder, or a file .npz, .npy or .tar")
    if path.endswith(ARCHIVES):
        return _unique(_of_archive(path, stack), path)
    if path.endswith(ARRAYS):
        return _of_arrays(path)
    raise DataError(
        f"'{path}' is of no known format", expected=f"a folder, or {', '.join((*ARRAYS, *ARCHIVES))}",
        found=os.path.splitext(path)[1] or "no ending",
    )  # fmt: skip


def _of_folder(path: str, stack: ExitStack) -> Mapping[str, Stored]:
    def every() -> Iterator[tuple[str, Stored]]:
        for name in sorted(storage.names(path)):
            whole = os.path.join(path, name)
            if name.endswith(ARCHIVES):
                yield from _of_archive(whole, stack)
            elif name.endswith((*PICTURES, *ARRAYS)):
                yield name.partition(".")[0], Stored(whole, partial(_read, whole, name))

    there = _unique(every(), path)
    if not there:
        raise DataError(f"no label maps in '{path}'", expected=f"files {', '.join((*PICTURES, *ARRAYS, *ARCHIVES))}")
    return there


def _of_archive(path: str, stack: ExitStack) -> Iterator[tuple[str, Stored]]:
    folder = Path(stack.enter_context(storage.temporary_folder()))
    with storage.reading(path) as file:
        for number, member in enumerate(members(file, path)):
            name = os.path.basename(member.path)
            if name.endswith((*PICTURES, *ARRAYS)):
                waiting = folder / f"{number:08d}"
                waiting.write_bytes(member.read())
                yield name.partition(".")[0], Stored(f"{path}:{member.path}", partial(_read, str(waiting), name))


def _of_arrays(path: str) -> Found:
    if path.endswith(".npy"):
        return _in_order(path, _array(path, lambda: np.load(path, mmap_mode="r", allow_pickle=False)))
    archive = _array(path, lambda: np.load(path, allow_pickle=False))
    names = list(archive.files)
    if "keys" in names and len(names) == 2:
        keys = [str(key) for key in _array(path, lambda: archive["keys"])]
        return _unique(zip(keys, _in_order(path, _member(path, archive, names)), strict=True), path)
    if len(names) == 1 and _member(path, archive, names).ndim > 2:
        return _in_order(path, _member(path, archive, names))
    return {name: Stored(f"{path}:{name}", partial(_array, path, partial(archive.__getitem__, name))) for name in names}


def _member(path: str, archive: Any, names: list[str]) -> np.ndarray:
    [name] = [name for name in names if name != "keys"]
    return _array(path, lambda: archive[name])


def _in_order(path: str, whole: np.ndarray) -> list[Stored]:
    if whole.ndim < 3:
        raise DataError(f"'{path}' holds one array alone", expected="[N, H, W] or more", found=f"{list(whole.shape)}")
    return [Stored(f"{path}[{place}]", partial(whole.__getitem__, place)) for place in range(len(whole))]


def _unique(pairs: Any, path: str) -> Mapping[str, Stored]:
    there: dict[str, Stored] = {}
    for key, stored in pairs:
        if key in there:
            raise DataError(f"'{path}' has two of '{key}'", found=f"'{there[key].name}' and '{stored.name}'")
        there[key] = stored
    return there


def _read(path: str, name: str) -> Any:
    data = storage.read_bytes(path)
    if not name.endswith(ARRAYS):
        return data
    loaded = _array(name, lambda: np.load(io.BytesIO(data), allow_pickle=False))
    if name.endswith(".npy"):
        return loaded
    if len(loaded.files) != 1:
        raise DataError(f"'{name}' holds {len(loaded.files)} arrays", expected="one", found=", ".join(loaded.files[:5]))
    return _array(name, lambda: loaded[loaded.files[0]])


def _array(name: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as wrong:
        raise DataError(
            f"'{name}' cannot be read", expected="arrays of numbers as numpy.save writes them", found=str(wrong)
        ) from wrong


def label_map(stored: Stored, compact: bool = False) -> np.ndarray:
    """uint8 [H, W] of what is stored; DataError where it is none.

    `compact` renumbers labels that do not fit 0..255, in their order; without it they are refused.
    """
    value = stored.load()
    if isinstance(value, bytes):
        return imaging.decode_any_labels(value, f"'{stored.name}'")
    array = np.asarray(value)
    wrong = DataError(
        f"'{stored.name}' is no label map", expected="integers [H, W], or soft masks as floats [S, H, W]",
        found=f"{array.dtype} {list(array.shape)}",
    )  # fmt: skip
    if array.dtype.kind == "f" and array.ndim == 4 and 1 in (array.shape[1], array.shape[3]):  # [S, 1, H, W]
        array = array.squeeze(1 if array.shape[1] == 1 else 3)
    if array.dtype.kind == "f" and array.ndim == 3 and 0 < len(array) < MOST_LABELS and array[0].size:
        if not np.isfinite(array).all():
            raise DataError(f"'{stored.name}' has soft masks that are not finite")
        return labels_of(array)
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array.squeeze(0 if array.shape[0] == 1 else 2)
    if array.dtype.kind not in "uib" or array.ndim != 2 or not array.size:
        raise wrong
    return _fitting(array, stored.name, compact)


def _fitting(array: np.ndarray, name: str, compact: bool) -> np.ndarray:
    low, high = int(array.min()), int(array.max())
    if low >= 0 and high < MOST_LABELS:
        return array.astype(np.uint8)
    values, places = np.unique(array, return_inverse=True)
    if compact and len(values) <= MOST_LABELS:
        return places.reshape(array.shape).astype(np.uint8)
    raise LabelsOutOfRange(
        f"'{name}' has labels out of range", expected="0..255", found=f"{low}..{high}, {len(values):,} different ones",
        hint="--allow range renumbers them, in their order" if len(values) <= MOST_LABELS else None,
    )  # fmt: skip


def reconstruction(stored: Stored) -> np.ndarray:
    """float32 [H, W, 3] in [0, 1] of what is stored, not clamped; DataError where it is none."""
    value = stored.load()
    if isinstance(value, bytes):
        return imaging.decode_image(value, f"'{stored.name}'").astype(np.float32) / np.float32(255)
    array = np.asarray(value)
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[2] != 3:
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] != 3 or not (array.dtype.kind == "f" or array.dtype == np.uint8):
        raise DataError(
            f"'{stored.name}' is no reconstruction", expected="floats in [0, 1] or uint8, [H, W, 3] or [3, H, W]",
            found=f"{array.dtype} {list(array.shape)}",
        )  # fmt: skip
    scale = np.float32(255) if array.dtype == np.uint8 else np.float32(1)
    return array.astype(np.float32) / scale
