"""Writes small TFRecord sources in the layouts of CLEVR with masks and of ObjectsRoom, by hand and without TensorFlow.

Pixels are stored one byte a list element, floats packed, and the file is one GZIP stream, as in the public files.
"""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

CLEVR_FILE = "clevr_with_masks_train.tfrecords"
CHANNELS = {"train": 7, "six_objects": 10, "empty_room": 4, "identical_color": 10}
Features = Mapping[str, np.ndarray]


# the container


def varint(number: int) -> bytes:
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(number & 0x7F)
    return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])


def delimited(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + varint(len(content)) + content


def byte_strings(values: np.ndarray) -> bytes:
    """A Feature: every byte a string of its own."""
    run = np.empty((values.size, 3), np.uint8)
    run[:] = 0x0A, 0x01, 0
    run[:, 2] = values.ravel()
    return delimited(0x0A, run.tobytes())


def packed_floats(values: np.ndarray) -> bytes:
    """A Feature: one run of float32."""
    return delimited(0x12, delimited(0x0A, values.astype("<f4").tobytes()))


def entry(name: str, feature: bytes) -> bytes:
    return delimited(0x0A, delimited(0x0A, name.encode()) + delimited(0x12, feature))


def example(features: Mapping[str, np.ndarray | bytes], order: Iterable[str] | None = None) -> bytes:
    """A serialised Example: uint8 arrays as byte strings, others as floats, bytes as a Feature made elsewhere."""
    entries = []
    for name in order or features:
        value = features[name]
        if isinstance(value, np.ndarray):
            value = byte_strings(value) if value.dtype == np.uint8 else packed_floats(value)
        entries.append(entry(name, value))
    return delimited(0x0A, b"".join(entries))


def masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def frame(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    return length + masked_crc(length) + payload + masked_crc(payload)


def squeezed(*members: bytes) -> bytes:
    """One GZIP member for each argument, of the same bytes at any time."""
    return b"".join(gzip.compress(member, compresslevel=1, mtime=0) for member in members)


def write(path: Path, examples: Iterable[Features]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(squeezed(b"".join(frame(example(features)) for features in examples)))
    return path


# the scenes


def one_hot(mask: np.ndarray, channels: int) -> np.ndarray:
    """uint8 [channels, H, W, 1], 0 or 255, of a label map."""
    return np.where(mask == np.arange(channels)[:, None, None], np.uint8(255), np.uint8(0))[..., None]


def clevr_features(image: np.ndarray, mask: np.ndarray, objects: int) -> dict[str, np.ndarray]:
    """The twelve features of a record of CLEVR; objects have the labels 1 … `objects`."""
    there = np.arange(11) <= objects
    solid = there & (np.arange(11) > 0)

    def codes(count: int) -> np.ndarray:
        return np.where(solid, 1 + np.arange(11) % count, 0).astype(np.uint8)

    def numbers(*shape: int) -> np.ndarray:
        ramp = np.arange(np.prod(shape)).reshape(shape) / 4
        return np.where(solid.reshape(11, *[1] * (len(shape) - 1)), ramp, 0).astype(np.float32)

    return {
        "mask": one_hot(mask, 11), "image": image, "visibility": there.astype(np.float32),
        "x": numbers(11), "y": numbers(11) - 1, "z": numbers(11) + 1, "pixel_coords": numbers(11, 3),
        "rotation": numbers(11), "size": codes(2), "material": codes(2), "shape": codes(3), "color": codes(8),
    }  # fmt: skip


def clevr_scene(index: int) -> dict[str, np.ndarray]:
    """A record of 3 to 10 boxes on a flat ground; the last lies wholly outside columns 64..255."""
    objects = 3 + index % 8
    mask = np.zeros((240, 320), np.uint8)
    for label in range(1, objects):
        top, left = 30 + 36 * ((label - 1) % 5), 80 + 80 * ((label - 1) // 5)
        mask[top : top + 30, left : left + 60] = label
    mask[100:140, 4:40] = objects
    colours = np.random.default_rng([11, index]).integers(0, 256, (11, 3), dtype=np.uint8)
    return clevr_features(colours[mask], mask, objects)


def room_scene(variant: str, index: int) -> dict[str, np.ndarray]:
    """A record of a room: sky, floor and two wall halves, of which every fifth scene lacks the second, and objects."""
    channels = CHANNELS[variant]
    mask = np.zeros((64, 64), np.uint8)  # sky
    mask[44:] = 1
    mask[20:44, :30] = 2
    mask[20:44, 30:] = 2 if index % 5 == 4 else 3
    objects = {"train": 1 + index % 3, "six_objects": 6, "empty_room": 0, "identical_color": 4 + index % 3}[variant]
    for number in range(objects):
        mask[34:54, 4 + 9 * number : 11 + 9 * number] = 4 + number
    colours = np.random.default_rng([channels, index]).integers(0, 256, (10, 3), dtype=np.uint8)
    return {"image": colours[mask], "mask": one_hot(mask, channels)}


def write_clevr(folder: Path, count: int, name: str = CLEVR_FILE) -> Path:
    return write(folder / name, map(clevr_scene, range(count)))


def room_file(variant: str) -> str:
    return "objects_room_train.tfrecords" if variant == "train" else f"objects_room_test_{variant}.tfrecords"


def write_room(folder: Path, variant: str, count: int, name: str | None = None) -> Path:
    return write(folder / (name or room_file(variant)), (room_scene(variant, index) for index in range(count)))


# the same as a webdataset of OCLF: a tar member for each feature, a gzipped .npy


def npy_gz(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return gzip.compress(buffer.getvalue(), compresslevel=1, mtime=0)


def write_shard(path: Path, samples: Iterable[tuple[Any, Mapping[str, Any]]]) -> Path:
    """A shard of (index, features); a feature that is bytes goes in as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for index, features in samples:
            for name, value in sorted(features.items()):
                content = value if isinstance(value, bytes) else npy_gz(value)
                header = tarfile.TarInfo(f"{index}.{name}.npy.gz")
                header.size = len(content)
                tar.addfile(header, io.BytesIO(content))
    return path


def write_oclf(
    folder: Path, scenes: Sequence[Features], *, per_shard: int = 3, order: Sequence[int] | None = None
) -> Path:
    """Shards train/, val/ and test/ over which the scenes, in this order of their indices, are dealt out."""
    dealt: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for index in order or range(len(scenes)):
        dealt[("train", "train", "val", "train", "test", "train")[index * 7 % 6]].append(index)
    for split, indices in dealt.items():
        for number, at in enumerate(range(0, len(indices), per_shard)):
            samples = ((index, scenes[index]) for index in indices[at : at + per_shard])
            write_shard(folder / split / f"shard-{number:06d}.tar", samples)
    return folder
