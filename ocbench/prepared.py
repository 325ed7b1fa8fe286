"""Where prepared splits lie, and what a DATA word on the command line means."""

from __future__ import annotations

import copy
import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from ocbench import registry, storage
from ocbench.errors import DataError, UnknownNameError, UsageError
from ocbench.scene import Protocol, Scene
from ocbench.shards import MANIFEST, Manifest, ShardRecord, read_shard


@dataclass(frozen=True)
class DataWord:
    """DATASET[:SPLIT[,SPLIT]][@PROTOCOL], or the folder (or URL) of one prepared split."""

    dataset: str | None
    splits: tuple[str, ...] = ()
    protocol: str | None = None
    folder: str | None = None


def parse_data(text: str) -> DataWord:
    """What the word means; names are looked up (UnknownNameError), nothing on disk but a folder's manifest is."""
    if storage.exists(f"{text.rstrip('/')}/{MANIFEST}"):
        return DataWord(None, folder=text.rstrip("/"))
    if "://" in text or "/" in text:
        raise DataError(f"no prepared split at '{text}'", expected=f"a folder with {MANIFEST}")
    rest, at, protocol = text.partition("@")
    dataset, colon, splits = rest.partition(":")
    names = tuple(splits.split(",")) if colon else ()
    if not dataset or "" in names or (at and not protocol):
        fault = "has an empty place" if dataset else "names no dataset"
        raise UsageError(f"'{text}' {fault}", expected="DATASET[:SPLIT[,SPLIT]][@PROTOCOL]")
    chosen = registry.dataset(dataset).protocol(protocol or None)
    for name in names:
        chosen.split(name)
    return DataWord(dataset, names, protocol or None)


class PreparedSplit(Sequence[Scene]):
    """The scenes of one prepared split, in manifest order, read from its shards when asked for."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = os.fspath(directory).rstrip("/")
        self.manifest = Manifest.load(self.directory)
        self.keys = self.manifest.keys

    @property
    def dataset(self) -> str:
        return self.manifest.dataset

    @property
    def split(self) -> str:
        return self.manifest.split

    @property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint

    @property
    def protocol(self) -> Protocol:
        """Size and K as the shards were made; all else from the registered protocol where that still exists."""
        m = self.manifest
        try:
            registered = registry.dataset(m.dataset).protocol(m.protocol)
        except UnknownNameError:
            registered = None
        if registered is not None and registered.version == m.version:
            return registered
        return Protocol(name=m.protocol, version=m.version, size=m.size, max_objects=m.max_objects, splits=())

    @property
    def name(self) -> str:
        """`dataset:split@protocol`."""
        return f"{self.dataset}:{self.split}@{self.manifest.protocol}"

    def checked_path(self, shard: ShardRecord) -> str:
        """Where the shard lies, once its size is the recorded one; else DataError."""
        path = f"{self.directory}/{shard.name}"
        if (size := storage.size_of(path)) != shard.size:
            raise DataError(
                f"shard '{path}' is cut or damaged",
                expected=f"{shard.size:,} bytes",
                found=f"{size:,} bytes",
                hint=f"ocbench verify {self.name} --repair",
            )
        return path

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, index: int) -> Scene: ...
    @overload
    def __getitem__(self, index: slice) -> list[Scene]: ...
    def __getitem__(self, index: int | slice) -> Scene | list[Scene]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"scene {index} of {len(self)}")
        for shard in self.manifest.shards:
            if place < len(shard.keys):
                key = shard.keys[place]
                path = f"{self.directory}/{shard.name}"
                return self._checked(next(read_shard(path, {key}), None), key, path)
            place -= len(shard.keys)
        raise AssertionError("the manifest's counts changed")

    def __iter__(self) -> Iterator[Scene]:
        return self.at(range(len(self)))

    def at(self, places: Sequence[int]) -> Iterator[Scene]:
        """The scenes at these places, which rise, one at a time; what lies between is not decoded."""
        done = stop = 0
        for shard in self.manifest.shards:
            start, stop = stop, stop + len(shard.keys)
            first, done = done, bisect_left(places, stop, done)
            mine = [shard.keys[place - start] for place in places[first:done]]
            path = f"{self.directory}/{shard.name}"
            there = read_shard(path, set(mine)) if mine else iter(())
            for key in mine:
                yield self._checked(next(there, None), key, path)

    def _checked(self, scene: Scene | None, key: str, path: str) -> Scene:
        """The scene itself, once it is the one that the manifest lists, at the size of the set; else DataError."""
        height, width = self.manifest.size
        if (
            scene is None
            or scene.key != key
            or scene.image.shape != (height, width, 3)
            or scene.mask.shape != (height, width)
        ):
            raise DataError(
                f"'{path}' does not hold what its manifest says",
                expected=f"scene '{key}', {height}x{width}",
                found=f"scene '{scene.key}', {'x'.join(map(str, scene.mask.shape))}"
                if scene
                else "the end of the shard",
                hint=f"ocbench verify {self.name} --repair",
            )
        return scene

    def first(self, count: int | None) -> PreparedSplit:
        """The split cut to its first `count` scenes (None: whole), under a fingerprint of its own and marked."""
        return self if count is None or count >= len(self) else self._under(self.manifest.first(count))

    def scored(self) -> PreparedSplit:
        """What the protocol scores of the split: all of it, or so many scenes as it says, drawn by its seed."""
        count, seed = self.protocol.subset or (len(self), 0)
        return self if count >= len(self) else self._under(self.manifest.drawn(count, seed))

    def _under(self, manifest: Manifest) -> PreparedSplit:
        other = copy.copy(self)
        other.manifest, other.keys = manifest, manifest.keys
        return other


def raw_directory(data_dir: str, dataset: str) -> str:
    """Where a raw distribution lies, unless another place is named."""
    return os.path.join(data_dir, "raw", dataset)


def split_directory(data_dir: str, dataset: str, protocol: str, split: str) -> str:
    """`<data>/shards/<dataset>/<protocol>/<split>`."""
    return os.path.join(data_dir, "shards", dataset, protocol, split)


def prepared_splits(data_dir: str, dataset: str, protocol: Protocol) -> list[str]:
    """Names of the protocol's splits that are prepared, in the protocol's order."""
    names = [split.name for split in protocol.splits]
    return [n for n in names if storage.exists(f"{split_directory(data_dir, dataset, protocol.name, n)}/{MANIFEST}")]


def open_dataset(
    dataset: str | os.PathLike[str], split: str = "test", protocol: str | None = None, data_dir: str | None = None
) -> PreparedSplit:
    """A prepared split as a sequence of `Scene`; `dataset` is a name or the folder of a split.

    `protocol` None is the dataset's default; `data_dir` None is $OCBENCH_DATA, else "data". UnknownNameError for names
    that do not exist, DataError with the command to type where the split is not prepared.
    """
    dataset = os.fspath(dataset)
    if storage.exists(f"{dataset.rstrip('/')}/{MANIFEST}"):
        return PreparedSplit(dataset)
    chosen = registry.dataset(dataset).protocol(protocol)
    chosen.split(split)
    data_dir = data_dir or os.environ.get("OCBENCH_DATA", "data")
    directory = split_directory(data_dir, dataset, chosen.name, split)
    if not storage.exists(f"{directory}/{MANIFEST}"):
        there = prepared_splits(data_dir, dataset, chosen)
        raise DataError(
            f"'{dataset}:{split}@{chosen.name}' is not prepared",
            expected=f"shards in '{directory}'",
            found=f"prepared splits: {', '.join(there) or 'none'}",
            hint=f"ocbench prepare {dataset}" + ("" if protocol is None else f" --protocol {chosen.name}"),
        )
    found = PreparedSplit(directory)
    if found.manifest.version != chosen.version:
        raise DataError(
            f"'{directory}' was prepared under another version of '{chosen.name}'",
            expected=f"version {chosen.version}",
            found=f"version {found.manifest.version}",
            hint=f"ocbench prepare {dataset} --protocol {chosen.name} --overwrite",
        )
    return found


def open_word(text: str, data_dir: str, default: Sequence[str] | None = None) -> list[PreparedSplit]:
    """The prepared splits that a DATA word means.

    Where the word names none: those of `default`, or every split of the protocol that is prepared. DataError where one
    is not prepared.
    """
    word = parse_data(text)
    if word.folder is not None:
        return [PreparedSplit(word.folder)]
    protocol = registry.dataset(str(word.dataset)).protocol(word.protocol)
    names = word.splits or default or prepared_splits(data_dir, str(word.dataset), protocol) or ["test"]
    return [open_dataset(str(word.dataset), name, word.protocol, data_dir) for name in names]
