"""Where the files of CLEVRTEX lie, in unpacked trees or in the archives as downloaded, and how they are read.

A scene is known by its file names alone (`CLEVRTEX_<variant>_<index>.png`, `…_flat.png`, `….json`), never by the folder
that it lies in. Depth, albedo, normal and shadow passes, macOS `._` files and anything else are passed over. Renders of
version 2 lie in folders or archives called `clevrtexv2_…` and are left aside: no published number is about them.
"""

from __future__ import annotations

import logging
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

from ocbench import storage
from ocbench.datasets.clevrtex_inventory import ARCHIVES, ENDINGS, SCENES, Inventory, refuse
from ocbench.datasets.faults import SHOWN
from ocbench.errors import DataError
from ocbench.formats.archive import Aside, Member, members

log = logging.getLogger(__name__)

_KINDS = {ending: kind for kind, ending in ENDINGS.items()}
_VARIANT = "|".join(SCENES)
_FILE = re.compile(rf"CLEVRTEX_({_VARIANT})_(\d{{6}})(\.png|_flat\.png|\.json)", re.ASCII)
_ARCHIVE = re.compile(rf"clevrtex_({_VARIANT})(?:_part(\d+))?\.(?:tar\.gz|tgz|tar)", re.ASCII)
_FOLDER = re.compile(rf"clevrtex_({_VARIANT})")
_LOOKED_AT = 64  # first files of an archive in which one of CLEVRTEX must be


@dataclass(frozen=True)
class RawScene:
    """The encoded files of one scene."""

    variant: str
    index: int
    where: str  # folder or archive that the image came from
    image: bytes  # PNG
    labels: bytes  # PNG
    metadata: bytes | None  # JSON; None where the source comes without


@dataclass
class Survey:
    """What lies below a source, by variant."""

    source: str
    trees: dict[str, Inventory] = field(default_factory=dict)
    archives: dict[str, list[tuple[int, str]]] = field(default_factory=dict)  # (number of the part, path), sorted
    version_2: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)  # a few names of no meaning here


def survey(source: str) -> Survey:
    """Lists everything below the folder by file name, or takes one archive as it is; reads nothing."""
    found = Survey(source)
    if _ARCHIVE.fullmatch(posixpath.basename(source)):
        _sort_in(found, posixpath.dirname(source), posixpath.basename(source), None)
    for folder, names in storage.walk(source):
        inside = [posixpath.basename(source.rstrip("/")), *folder[len(source) :].split("/")]
        if any(part.startswith("clevrtexv2_") for part in inside):
            found.version_2.append(folder)
            continue
        named = [match[1] for part in inside if (match := _FOLDER.fullmatch(part))]
        for name in names:
            _sort_in(found, folder, name, named[-1] if named else None)
    for paths in found.archives.values():
        paths.sort()
    return found


def _sort_in(found: Survey, folder: str, name: str, named: str | None) -> None:
    if match := _FILE.fullmatch(name):
        variant, index, ending = match.groups()
        tree = found.trees.setdefault(variant, Inventory(variant))
        if named not in (None, variant):
            tree.misplaced[folder] += 1
        tree.add(_KINDS[ending], int(index), folder)
    elif match := _ARCHIVE.fullmatch(name):
        found.archives.setdefault(match[1], []).append((int(match[2] or 0), f"{folder}/{name}"))
    elif name.startswith("clevrtexv2_"):
        found.version_2.append(f"{folder}/{name}")
    elif len(found.other) < SHOWN and not name.startswith("."):
        found.other.append(name)


def archive_faults(variant: str, archives: Sequence[tuple[int, str]], partial: bool) -> list[str]:
    """What is wrong with the archives of a variant, as far as their names and their first members tell."""
    numbers = Counter(number for number, _ in archives)
    faults = [f"{variant}: {count} archives of part {n}" for n, count in numbers.items() if count > 1]
    if 0 in numbers and len(numbers) > 1:
        faults.append(f"{variant}: one archive without a part number beside others with one")
    if 0 not in numbers and not partial:
        missing = [f"part{n}" for n in range(1, max(ARCHIVES[variant], *numbers) + 1) if n not in numbers]
        if missing:
            faults.append(f"{variant}: no archive {', '.join(missing)}")
    for _, path in archives:
        try:
            with storage.open_binary(path) as file:
                if not any(True for _ in _scene_files(file, path, variant, _LOOKED_AT)):
                    faults.append(f"{variant}: no file of CLEVRTEX among the first {_LOOKED_AT} of '{path}'")
        except DataError as error:
            faults.append(f"{variant}: {error.message}" + (f" ({error.found})" if error.found else ""))
    return faults


def _scene_files(
    file: IO[bytes], path: str, variant: str, most: int | None = None
) -> Iterator[tuple[str, int, Member]]:
    """Kind, index and member of every file of a scene in an archive; DataError for another variant or version."""
    for passed, member in enumerate(members(file, path)):
        if passed == most:
            return
        if member.path.startswith("clevrtexv2_"):
            raise DataError(f"archive '{path}' holds CLEVRTEX version 2", expected="version 1", found=member.path)
        match = _FILE.fullmatch(member.path.rpartition("/")[2])
        if match is None:
            continue
        if match[1] != variant:
            raise DataError(
                f"archive '{path}' holds the variant '{match[1]}'", expected=f"CLEVRTEX_{variant}_…", found=member.path
            )
        yield _KINDS[match[3]], int(match[2]), member


def archive_inventory(variant: str, archives: Sequence[tuple[int, str]]) -> Inventory:
    """What the archives of a variant hold; each is read to its end once, nothing is decoded."""
    found = Inventory(variant)
    for _, path in archives:
        log.info("listing '%s'", path)
        with storage.open_binary(path) as file:
            for kind, index, _ in _scene_files(file, path, variant):
                found.add(kind, index, path)
    return found


def scenes_of_archives(variant: str, archives: Sequence[tuple[int, str]], start: int, stop: int) -> Iterator[RawScene]:
    """The scenes of [start, stop) in index order from one pass over the archives.

    Files that come before their turn are set aside on disk, still encoded. Indices that never come are passed over at
    the end; incomplete scenes and files that come twice are a DataError there, which names them all.
    """
    found, following = Inventory(variant), start
    with Aside() as aside:

        def taken(index: int) -> RawScene:
            image, labels, metadata = (aside.take((index, kind)) for kind in ENDINGS)
            assert image is not None
            assert labels is not None
            return RawScene(variant, index, found.places["image"][index], image, labels, metadata)

        for _, path in archives:
            with storage.open_binary(path) as file:
                for kind, index, member in _scene_files(file, path, variant):
                    if found.add(kind, index, path) and start <= index < stop:
                        aside.put((index, kind), member.read())
                    while all((following, kind) in aside for kind in ENDINGS):
                        yield taken(following)
                        following += 1
                    if following >= stop:
                        return
        refuse(found.faults(), ", ".join(path for _, path in archives))
        for index in sorted(i for i in found.places["image"] if following <= i < stop):
            yield taken(index)


def raw_scenes(source: str, variant: str, start: int, stop: int) -> Iterator[RawScene]:
    """The scenes of [start, stop) in index order, from a tree or else from archives; absent indices are passed over."""
    listed: Inventory | None = None
    if _usual_folder(source, variant, start) is None:
        found = survey(source)
        if variant not in found.trees and variant not in found.archives:
            raise DataError(f"no raw CLEVRTEX of the variant '{variant}' under '{source}'")
        if variant not in found.trees:
            yield from scenes_of_archives(variant, found.archives[variant], start, stop)
            return
        listed = found.trees[variant]
    for index in range(start, stop):
        folder = _usual_folder(source, variant, index)
        if folder is None:
            listed = listed or survey(source).trees.get(variant, Inventory(variant))
            folder = listed.places["image"].get(index)
        if folder is not None:
            image, labels, metadata = (f"{folder}/{file_name(variant, index, kind)}" for kind in ENDINGS)
            extra = storage.read_bytes(metadata) if storage.exists(metadata) else None
            yield RawScene(variant, index, folder, storage.read_bytes(image), storage.read_bytes(labels), extra)


def file_name(variant: str, index: int, kind: str = "image") -> str:
    return f"CLEVRTEX_{variant}_{index:06d}{ENDINGS[kind]}"


def _usual_folder(source: str, variant: str, index: int) -> str | None:
    """The folder in which the public layout has the scene, if it is there: saves listing a whole tree for a shard."""
    for root in (f"{source}/clevrtex_{variant}", source):
        folder = f"{root}/{index // 1000}"
        if storage.exists(f"{folder}/{file_name(variant, index)}"):
            return folder
    return None
