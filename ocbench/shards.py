"""The on-disk format: plain ustar shards in the webdataset layout, and the manifest beside them.

A scene is `<key>.image.webp` (lossless) or `.image.png`, `<key>.mask.png`, `<key>.meta.json` and, where a source has
them, `<key>.background.png`. Members carry no date, owner or mode of their own, so a shard's bytes depend on its scenes
alone. A shard is written beside its place, a remote one on the local disk, read back, compared, and only then put in
its place. What it holds is recorded in `<shard>.json` until the manifest of the whole split takes that up.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import tarfile
from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import IO, Any

import numpy as np

from ocbench import imaging, storage
from ocbench.errors import DataError
from ocbench.formats.archive import members
from ocbench.scene import Scene

FORMAT = "ocbench.shards/1"
LONGEST_KEY = 84  # characters: a member's name has at most 100
MANIFEST = "manifest.json"
RECORD = ".tar.json"


@dataclass(frozen=True)
class ShardRecord:
    """What one shard holds."""

    name: str  # 000000.tar
    sha256: str
    size: int  # bytes
    keys: tuple[str, ...]
    digests: tuple[str, ...]  # of each scene's pixels
    flagged: tuple[str, ...] = ()  # keys of scenes with an object that the crop removed
    unreadable: tuple[str, ...] = ()  # scenes left out by --skip-unreadable
    filtered: tuple[str, ...] = ()  # keys of scenes that the protocol leaves out for their number of objects
    missing: tuple[int, ...] = ()  # indices that a partial source lacks

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ShardRecord:
        return cls(**_tuples(record))


@dataclass(frozen=True)
class Manifest:
    """What a prepared split is and holds."""

    dataset: str
    split: str
    protocol: str
    version: int
    size: tuple[int, int]
    max_objects: int
    image_format: str
    rule: Mapping[str, Any]  # crop, filters, reading, part and range
    shards: tuple[ShardRecord, ...] = ()
    fingerprint: str = ""
    partial: Mapping[str, Any] | None = None  # expected and found counts where the source fell short
    limit: int | None = None
    subset: tuple[int, int] | None = None  # (scenes, seed) of a protocol that scores no more
    format: str = FORMAT

    @property
    def keys(self) -> tuple[str, ...]:
        """Scene keys in order."""
        return tuple(key for shard in self.shards for key in shard.keys)

    @property
    def digests(self) -> tuple[str, ...]:
        """Of each scene's pixels, in order."""
        return tuple(digest for shard in self.shards for digest in shard.digests)

    @property
    def scenes(self) -> int:
        return sum(len(shard.keys) for shard in self.shards)

    @property
    def flagged(self) -> tuple[str, ...]:
        return tuple(key for shard in self.shards for key in shard.flagged)

    @property
    def unreadable(self) -> tuple[str, ...]:
        return tuple(line for shard in self.shards for line in shard.unreadable)

    @property
    def filtered(self) -> tuple[str, ...]:
        return tuple(key for shard in self.shards for key in shard.filtered)

    @property
    def missing(self) -> tuple[int, ...]:
        return tuple(index for shard in self.shards for index in shard.missing)

    def incomplete(self) -> dict[str, Any] | None:
        """How the set falls short of its protocol (limit, source, gaps, unreadable scenes), or None."""
        short = {
            "limit": self.limit, "partial": self.partial, "missing": len(self.missing) or None,
            "unreadable": len(self.unreadable) or None,
        }  # fmt: skip
        return {name: value for name, value in short.items() if value is not None} or None

    def head(self) -> Manifest:
        """The manifest as it is before there are shards."""
        return dataclasses.replace(self, shards=(), fingerprint="")

    def holding(self, shards: Iterable[ShardRecord]) -> Manifest:
        """The manifest of the same split with these shards, and the fingerprint of their content."""
        found = dataclasses.replace(self, shards=tuple(shards))
        name = fingerprint(found.protocol, found.version, found.keys, found.digests)
        return dataclasses.replace(found, fingerprint=name)

    def first(self, count: int) -> Manifest:
        """The manifest of the first `count` scenes alone."""
        return dataclasses.replace(self, limit=count)._with(range(count))

    def drawn(self, count: int, seed: int) -> Manifest:
        """The manifest of `count` scenes alone, drawn without regard to anything but the seed, in their order."""
        places = np.random.default_rng(seed).choice(self.scenes, count, replace=False)
        return dataclasses.replace(self, subset=(count, seed))._with(places.tolist())

    def _with(self, places: Iterable[int]) -> Manifest:
        shards, kept, start = [], sorted(places), 0
        for shard in self.shards:
            stop = start + len(shard.keys)
            mine = [place - start for place in kept[bisect_left(kept, start) : bisect_left(kept, stop)]]
            keys, digests = (tuple(words[place] for place in mine) for words in (shard.keys, shard.digests))
            shards.append(dataclasses.replace(shard, keys=keys, digests=digests))
            start = stop
        return self.holding(shard for shard in shards if shard.keys)

    def save(self, directory: str, name: str = MANIFEST) -> None:
        """Writes the manifest into the split's folder, whole or not at all."""
        storage.write_atomic(os.path.join(directory, name), _json(self))

    @classmethod
    def load(cls, directory: str, name: str = MANIFEST) -> Manifest:
        """The manifest of a split's folder, or DataError."""
        path = f"{directory}/{name}"
        try:
            record = json.loads(storage.read_bytes(path))
            if record["format"] != FORMAT:
                raise DataError(f"'{path}' has another format", expected=FORMAT, found=str(record["format"]))
            shards = tuple(ShardRecord.from_json(shard) for shard in record["shards"])
            return cls(**_tuples(record) | {"shards": shards})
        except (ValueError, KeyError, TypeError, AttributeError) as wrong:
            raise DataError(
                f"'{path}' is damaged",
                found=f"{type(wrong).__name__}: {wrong}",
                hint="prepare the split again, with --overwrite",
            ) from wrong


def recorded(directory: str) -> dict[str, ShardRecord]:
    """The records of the shards in a split's folder, by name: of its manifest, or newer from beside them."""
    found = {}
    if storage.exists(os.path.join(directory, MANIFEST)):
        found = {record.name: record for record in Manifest.load(directory).shards}
    for name in storage.names(directory):
        if name.endswith(RECORD):
            try:
                record = ShardRecord.from_json(json.loads(storage.read_bytes(os.path.join(directory, name))))
            except (DataError, ValueError, TypeError, AttributeError):  # damaged, or gone by now: no record, no shard
                found.pop(name.removesuffix(".json"), None)
            else:
                found[record.name] = record
    return found


def _tuples(record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record as JSON gives them, lists made tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}


def _json(record: ShardRecord | Manifest) -> bytes:
    return json.dumps(dataclasses.asdict(record), indent=0).encode()


def scene_digest(scene: Scene) -> str:
    """Hexadecimal SHA-256 of the scene's sizes and pixels (image, mask, background parts)."""
    digest = hashlib.sha256(repr(scene.image.shape).encode())
    for array in (scene.image, scene.mask, scene.background_parts):
        if array is not None:
            digest.update(array.tobytes())
    return digest.hexdigest()


def fingerprint(protocol: str, version: int, keys: Iterable[str], digests: Iterable[str]) -> str:
    """The name of a set's content: protocol, version, ordered keys and pixels; 32 hexadecimal digits."""
    digest = hashlib.sha256(f"{protocol}/{version}".encode())
    for key, pixels in zip(keys, digests, strict=True):
        digest.update(f"\n{key} {pixels}".encode())
    return digest.hexdigest()[:32]


def write_shard(
    path: str,
    scenes: Iterable[Scene],
    image_format: str = "webp",
    *,
    notes: Mapping[str, Sequence] | None = None,
) -> ShardRecord:
    """Writes the scenes, reads them back, compares every pixel and renames; leaves `<path>.json` with the record.

    `notes` gives the record's other fields (flagged, unreadable, filtered, missing); its lists may fill while `scenes`
    is consumed. DataError for a scene that cannot be stored, a disk that is full or gives back other pixels; then
    nothing is left beside, and what was there stays.
    """
    with storage.replacing(path) as file:
        pixels = _write_members(file, scenes, image_format)
        file.flush()
        back = [(scene.key, scene_digest(scene)) for scene in read_shard(file.name)]
        if back != list(pixels.items()):
            raise DataError(f"'{path}' did not come back from the disk as it was written", hint="check the disk")
        record = ShardRecord(
            os.path.basename(path), storage.sha256_of(file.name), storage.size_of(file.name), tuple(pixels),
            tuple(pixels.values()), **{name: tuple(values) for name, values in (notes or {}).items()},
        )  # fmt: skip
    storage.write_atomic(f"{path}.json", _json(record))
    return record


def _write_members(file: IO[bytes], scenes: Iterable[Scene], image_format: str) -> dict[str, str]:
    """Key -> digest of the scenes, now in the file."""
    pixels: dict[str, str] = {}
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for scene in scenes:
            if scene.key in pixels or len(scene.key) > LONGEST_KEY:
                fault = "comes twice" if scene.key in pixels else f"has a key of more than {LONGEST_KEY} characters"
                raise DataError(f"scene '{scene.key}' {fault}", expected="short keys, each once")
            pixels[scene.key] = scene_digest(scene)
            for name, data in _members(scene, image_format):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return pixels


def _members(scene: Scene, image_format: str) -> Iterator[tuple[str, bytes]]:
    yield f"{scene.key}.image.{image_format}", imaging.encode_image(scene.image, image_format)
    yield f"{scene.key}.mask.png", imaging.encode_labels(scene.mask)
    yield f"{scene.key}.meta.json", _meta(scene)
    if scene.background_parts is not None:
        yield f"{scene.key}.background.png", imaging.encode_labels(scene.background_parts)


def _meta(scene: Scene) -> bytes:
    try:
        return json.dumps(dict(scene.meta), sort_keys=True).encode()
    except (TypeError, ValueError) as wrong:
        raise DataError(
            f"the meta of scene '{scene.key}' cannot be stored", expected="plain numbers, strings, lists and mappings",
            found=str(wrong),
        ) from wrong  # fmt: skip


def read_shard(path: str, only: Container[str] | None = None) -> Iterator[Scene]:
    """The scenes of a shard in order (`only`: those of these keys); DataError where it is damaged, cut or no shard."""
    with storage.open_binary(path) as file:
        found = members(file, path, hint="ocbench verify --repair")
        for key, files in groupby(found, lambda member: member.path.partition(".")[0]):
            if only is None or key in only:
                yield _scene(path, key, {file.path[len(key) + 1 :]: file.read() for file in files})


def _scene(path: str, key: str, files: Mapping[str, bytes]) -> Scene:
    image = next((data for kind, data in files.items() if kind.startswith("image.")), None)
    if image is None or "mask.png" not in files:
        raise DataError(f"scene '{key}' in '{path}' lacks its image or mask", found=", ".join(sorted(files)))
    parts = files.get("background.png")
    return Scene(
        key,
        imaging.decode_image(image, f"image of '{key}'"),
        imaging.decode_labels(files["mask.png"], f"mask of '{key}'"),
        _parsed(files.get("meta.json", b"{}"), key),
        None if parts is None else imaging.decode_labels(parts, f"background of '{key}'"),
    )


def _parsed(meta: bytes, key: str) -> dict[str, Any]:
    try:
        found = json.loads(meta)
    except ValueError as wrong:
        raise DataError(f"the meta of scene '{key}' is damaged", found=str(wrong)) from wrong
    if not isinstance(found, dict):
        raise DataError(f"the meta of scene '{key}' is damaged", expected="a JSON object", found=repr(found)[:80])
    return found
