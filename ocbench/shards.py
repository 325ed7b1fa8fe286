"""The on-disk format: plain ustar shards in the webdataset layout, and the manifest beside them.

A scene is `<key>.image.webp` (lossless) or `.image.png`, `<key>.mask.png`, `<key>.meta.json` and, where a source has them,
`<key>.background.png`. Members carry no date, owner or mode of their own, so a shard's bytes depend on its scenes alone.
A shard is written beside its place, read back, compared and renamed; `<shard>.json` beside it records what it holds.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ocbench import imaging, storage
from ocbench.errors import DataError
from ocbench.scene import Scene

FORMAT = "ocbench.shards/1"
SCENES_PER_SHARD = 1000
LONGEST_KEY = 84  # characters: a member's name has at most 100
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class ShardRecord:
    """What one shard holds."""

    name: str  # 000000.tar
    sha256: str
    bytes: int
    keys: tuple[str, ...]
    digests: tuple[str, ...]  # of each scene's pixels
    flagged: tuple[str, ...] = ()  # keys of scenes with an object that the crop removed
    unreadable: tuple[str, ...] = ()  # scenes left out by --skip-unreadable

    def to_bytes(self) -> bytes:
        return json.dumps(dataclasses.asdict(self), indent=0).encode()

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ShardRecord:
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in record.items()})


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
    rule: Mapping[str, Any]  # crop, filters, reading
    shards: tuple[ShardRecord, ...]
    fingerprint: str
    partial: Mapping[str, Any] | None = None  # expected and found counts where the source fell short
    limit: int | None = None
    source: tuple[Mapping[str, Any], ...] = ()  # files read: name, bytes
    format: str = field(default=FORMAT)

    @property
    def keys(self) -> tuple[str, ...]:
        """Scene keys in order."""
        return tuple(key for shard in self.shards for key in shard.keys)

    @property
    def scenes(self) -> int:
        return sum(len(shard.keys) for shard in self.shards)

    @property
    def flagged(self) -> tuple[str, ...]:
        return tuple(key for shard in self.shards for key in shard.flagged)

    @property
    def unreadable(self) -> tuple[str, ...]:
        return tuple(key for shard in self.shards for key in shard.unreadable)

    def incomplete(self) -> dict[str, Any] | None:
        """How the set falls short of its protocol (source, limit, unreadable scenes), or None."""
        short = {"limit": self.limit, "partial": self.partial, "unreadable": len(self.unreadable) or None}
        short = {name: value for name, value in short.items() if value is not None}
        return short or None

    def first(self, count: int) -> Manifest:
        """The manifest of the first `count` scenes alone."""
        shards, left = [], count
        for shard in self.shards:
            if left > 0:
                shards.append(dataclasses.replace(shard, keys=shard.keys[:left], digests=shard.digests[:left]))
                left -= len(shard.keys)
        digests = [digest for shard in shards for digest in shard.digests]
        keys = [key for shard in shards for key in shard.keys]
        name = fingerprint(self.protocol, self.version, keys, digests)
        return dataclasses.replace(self, shards=tuple(shards), limit=count, fingerprint=name)

    def save(self, directory: str) -> None:
        """Writes manifest.json, whole or not at all."""
        storage.write_atomic(os.path.join(directory, MANIFEST), json.dumps(dataclasses.asdict(self), indent=0).encode())

    @classmethod
    def load(cls, directory: str) -> Manifest:
        """The manifest of a split's folder, or DataError."""
        path = f"{directory.rstrip('/')}/{MANIFEST}"
        try:
            record = json.loads(storage.read_bytes(path))
            if record["format"] != FORMAT:
                raise DataError(f"'{path}' has another format", expected=FORMAT, found=str(record["format"]))
            record["shards"] = tuple(ShardRecord.from_json(shard) for shard in record["shards"])
            return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in record.items()})
        except (ValueError, KeyError, TypeError, AttributeError) as wrong:
            raise DataError(
                f"'{path}' is damaged", found=f"{type(wrong).__name__}: {wrong}", hint="prepare the split again"
            ) from wrong


def scene_digest(scene: Scene) -> str:
    """Hexadecimal SHA-256 of the scene's sizes and pixels (image, mask, background parts)."""
    digest = hashlib.sha256(repr(scene.image.shape).encode())
    for array in (scene.image, scene.mask, scene.background_parts):
        if array is not None:
            digest.update(np.ascontiguousarray(array))
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
    flagged: Iterable[str] = (),
    unreadable: Iterable[str] = (),
) -> ShardRecord:
    """Writes the scenes, reads them back, compares every pixel and renames; leaves `<path>.json` with the record.

    `flagged` and `unreadable` may be lists that fill while `scenes` is consumed. DataError for a scene that cannot be
    stored, a disk that is full or gives back other pixels; then nothing is left beside, and what was there stays.
    """
    beside = storage.beside_of(path)
    try:
        digest, keys, digests = _write_members(beside, scenes, image_format)
        back = [(scene.key, scene_digest(scene)) for scene in read_shard(beside)]
        if back != list(zip(keys, digests, strict=True)):
            raise DataError(f"'{path}' did not come back from the disk as it was written", hint="check the disk")
        record = ShardRecord(
            os.path.basename(path), digest, os.path.getsize(beside), tuple(keys), tuple(digests), tuple(flagged),
            tuple(unreadable),
        )  # fmt: skip
        os.replace(beside, path)
    except OSError as wrong:
        grown = os.path.getsize(beside) if os.path.exists(beside) else 0
        needed = f"room for the rest of this shard, of which {grown / 1e6:,.1f} MB were written"
        raise storage.write_error(path, wrong, needed) from wrong
    finally:
        storage.remove(beside)
    storage.write_atomic(f"{path}.json", record.to_bytes())
    return record


def _write_members(path: str, scenes: Iterable[Scene], image_format: str) -> tuple[str, list[str], list[str]]:
    keys: list[str] = []
    digests: list[str] = []
    seen: set[str] = set()
    with open(path, "wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for scene in scenes:
                if scene.key in seen or len(scene.key) > LONGEST_KEY:
                    fault = "comes twice" if scene.key in seen else f"has a key of more than {LONGEST_KEY} characters"
                    raise DataError(f"scene '{scene.key}' {fault}", expected="short keys, each once")
                seen.add(scene.key)
                keys.append(scene.key)
                digests.append(scene_digest(scene))
                for name, data in _members(scene, image_format):
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
        file.flush()
        os.fsync(file.fileno())
    return storage.sha256_of(path), keys, digests


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


def read_shard(path: str, only: frozenset[str] | None = None) -> Iterator[Scene]:
    """The scenes of a shard in order (`only`: those keys); DataError where it is damaged or not a shard.

    A shard that was cut between two scenes yields fewer: whoever has the manifest compares the keys.
    """
    members: dict[str, bytes] = {}
    current = None
    try:
        with storage.open_binary(path) as file, tarfile.open(fileobj=file, mode="r|") as tar:
            for member in tar:
                key, _, kind = member.name.partition(".")
                if key != current and members:
                    yield _scene(path, str(current), members)
                    members = {}
                current = key
                if only is None or key in only:
                    stream = tar.extractfile(member)
                    if stream is None:
                        raise DataError(f"'{path}' holds '{member.name}', which is no file")
                    members[kind] = stream.read()
        if members:
            yield _scene(path, str(current), members)
    except (tarfile.TarError, EOFError, OSError) as wrong:
        raise DataError(
            f"shard '{path}' is cut or damaged", found=str(wrong), hint="ocbench verify --repair"
        ) from wrong


def _scene(path: str, key: str, members: Mapping[str, bytes]) -> Scene:
    image = next((data for kind, data in members.items() if kind.startswith("image.")), None)
    if image is None or "mask.png" not in members:
        raise DataError(f"scene '{key}' in '{path}' lacks its image or mask", found=", ".join(sorted(members)))
    parts = members.get("background.png")
    return Scene(
        key,
        imaging.decode_image(image, f"image of '{key}'"),
        imaging.decode_labels(members["mask.png"], f"mask of '{key}'"),
        _parsed(members.get("meta.json", b"{}"), key),
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
