"""What CLEVR with masks and ObjectsRoom share: records read in one pass, masks as one-hot channels.

Both come from DeepMind's multi-object datasets. A record's shape is not stored: it follows from the lengths of its
lists, which is also how the file of another dataset is recognised.
"""

from __future__ import annotations

import logging
import posixpath
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ocbench import storage
from ocbench.datasets import oclf
from ocbench.errors import DataError
from ocbench.formats import tfrecord
from ocbench.scene import Part

log = logging.getLogger(__name__)

Features = Mapping[str, np.ndarray]
PIXELS = {  # values of an image -> whose it is
    240 * 320 * 3: "clevr", 64 * 64 * 3: "objectsroom (or Multi-dSprites or Cabinets)", 35 * 35 * 3: "Tetrominoes",
}  # fmt: skip


@dataclass(frozen=True)
class RecordFile:
    """A TFRecord file."""

    path: str

    def stop(self) -> int:
        """How many records there are, for which all are read."""
        with storage.open_binary(self.path) as file:
            return sum(1 for _ in tfrecord.records(file, self.path))

    def aside(self) -> int:
        """Bytes that may have to wait for their turn: none."""
        return 0

    def examples(self, start: int, stop: int) -> Iterator[tuple[int, str, dict[str, np.ndarray]]]:
        """Index, what messages call it, and features of the records [start, stop), read from the file's beginning."""
        with storage.open_binary(self.path) as file:
            for index, payload in enumerate(tfrecord.records(file, self.path)):
                if index >= start:
                    where = f"record {index:,} of '{self.path}'"
                    yield index, where, tfrecord.example(payload, where)
                if index + 1 >= stop:
                    return


Records = RecordFile | oclf.Shards


def found(source: str, names: Mapping[str, Sequence[str]], features: Collection[str]) -> dict[str, Records]:
    """Part -> its records, of those whose file lies in the folder or is the `source` itself.

    `names` are the files that each part may have. Where the first part has none, OCLF's shards are taken for it, and of
    those, the `features`. A file of any name that ends in `.tfrecords` may be named where there is one part only.
    """
    name = posixpath.basename(source)
    if len(names) == 1 and name.endswith(".tfrecords"):
        return {part: RecordFile(source) for part in names if storage.exists(source)}
    if any(name in several for several in names.values()):
        folder, there = posixpath.dirname(source) or ".", [name] if storage.exists(source) else []
    else:
        folder, there = source.rstrip("/"), storage.names(source)
    records: dict[str, Records] = {}
    for part, several in names.items():
        present = [name for name in several if name in there]
        if len(present) > 1:
            raise DataError(
                f"'{folder}' holds one file under two names",
                found=" and ".join(f"'{name}'" for name in present),
                hint="remove one of them",
            )
        if present:
            records[part] = RecordFile(f"{folder}/{present[0]}")
    first = next(iter(names))
    if first not in records and (shards := oclf.shards(source, features)):
        records[first] = shards
    return records


def counted(records: Records, expected: int | None, partial: bool) -> Part:
    """The part of these records, which are counted only where nobody knows their number, or it may fall short."""
    if expected is not None and not partial:
        return Part(None, seekable=False, expected=expected, aside=records.aside())
    log.info("counting the records in '%s'", records.path)
    scenes = records.stop()
    if not scenes:
        raise DataError(f"'{records.path}' holds no record")
    return Part(scenes, seekable=False, expected=expected, aside=records.aside())


def examples(
    source: str, names: Mapping[str, Sequence[str]], features: Collection[str], part: str, start: int, stop: int
) -> Iterator[tuple[int, str, dict[str, np.ndarray]]]:
    """Index, what messages call it, and features of the records [start, stop) of a part; see `found`."""
    records = found(source, names, features).get(part)
    if records is None:
        raise DataError(f"no '{names[part][0]}' in '{source}'")
    return records.examples(start, stop)


def image_and_masks(
    features: Features, where: str, size: tuple[int, int], channels: int
) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [H, W, 3] and uint8 [channels, H, W]; DataError for a record of another shape, which names whose it is."""
    height, width = size
    for name in ("image", "mask"):
        if name not in features or features[name].dtype != np.uint8:
            raise DataError(
                f"{where} lacks '{name}'", expected="image and mask as lists of bytes", found=", ".join(features)
            )
    image, mask = features["image"], features["mask"]
    if image.size != height * width * 3:
        fitting = PIXELS.get(image.size)
        raise DataError(
            f"{where} is of another dataset",
            expected=f"an image of {height}x{width}x3 = {height * width * 3:,} values",
            found=f"{image.size:,} values" + (f", as in {fitting}" if fitting else ""),
        )
    if mask.size != channels * height * width:
        raise DataError(
            f"{where} has another number of masks",
            expected=f"{channels} of {height}x{width}",
            found=f"{mask.size:,} values, which is {mask.size / (height * width):g} masks",
            hint="is this the file of another variant under this name?",
        )
    return np.ascontiguousarray(image).reshape(height, width, 3), np.ascontiguousarray(mask).reshape(-1, height, width)


def channel_of(masks: np.ndarray) -> np.ndarray:
    """uint8 [H, W]: the channel that owns each pixel, of uint8 [C, H, W]; the largest value, the first on ties."""
    bits = masks & 1
    if ((masks + np.uint8(1)) <= 1).all() and (np.add.reduce(bits, axis=0, dtype=np.uint8) == 1).all():
        numbers = np.arange(len(masks), dtype=np.uint8)[:, None, None]
        return np.max(masks & numbers, axis=0)  # each pixel is 255 in one channel and 0 in all others
    return masks.argmax(axis=0).astype(np.uint8)
