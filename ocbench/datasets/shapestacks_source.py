"""Where the files of ShapeStacks lie, in the unpacked tree or in the archives as downloaded, and how they are read.

Three folders are needed, `splits`, `recordings` and `iseg`, each in the source itself or in a folder of it; what is not
there as a folder is read from its archive. A scene is one camera's view of one scenario of a split list, and has its
place there, whatever else is missing: 16 views a scenario, in order of the camera's number. A file is known by its
scenario's folder and its own name, of which only the camera counts: a map always says `w=0-f=0-l=0-c=original`, its
image does not. Other modalities, later frames, stereo recordings and logs are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import IO, NamedTuple

from ocbench import storage
from ocbench.datasets import oclib
from ocbench.errors import DataError
from ocbench.formats.archive import Aside, Member, members

CAMERAS = 16
ARCHIVES = {"splits": "shapestacks-meta", "recordings": "shapestacks-rgb", "iseg": "shapestacks-iseg"}
BASE = "http://shapestacks-file.robots.ox.ac.uk/static/download/v1/"
SCENARIO = re.compile(
    r"env_(?:ccs|blocks)-(?:easy|hard)-h=(?P<height>[2-6])-vcom=(?P<vcom>\d+)-vpsf=(?P<vpsf>\d+)-v=\d+", re.ASCII
)
_CAMERA = r"-cam_(?P<camera>1[0-6]|[1-9])-mono-0"
FILES = {
    "recordings": re.compile(
        rf"rgb-w=(?P<wall>\d+)-f=(?P<floor>\d+)-l=(?P<light>\d+)-c=(?P<colours>[ -~]+){_CAMERA}\.png", re.ASCII
    ),
    "iseg": re.compile(rf"iseg-w=\d+-f=\d+-l=\d+-c=[ -~]+{_CAMERA}\.map", re.ASCII),
}
_LARGEST = 8 << 20  # bytes of a member that are still believed: a raw view has 200,000, the longest list a million
_LOOKED_AT = 64  # first files of an archive in which one of its kind must be


class View(NamedTuple):
    """What one camera sees of a scenario."""

    scenario: str  # env_ccs-hard-h=2-vcom=0-vpsf=0-v=60
    camera: int  # 1..16

    def __str__(self) -> str:
        return f"{self.scenario}/cam_{self.camera}"


@dataclass(frozen=True)
class Place:
    """Where the files of one kind lie: a folder or an archive."""

    kind: str  # splits, recordings or iseg
    path: str
    packed: bool


@dataclass(frozen=True)
class RawFile:
    """One encoded file, its name, and where it was found."""

    name: str
    where: str
    data: bytes


@dataclass(frozen=True)
class RawScene:
    """The encoded files of one view, and its place in the list."""

    index: int
    view: View
    image: RawFile  # PNG
    labels: RawFile  # PNG under the name .map


def places(source: str) -> dict[str, Place]:
    """Where each kind lies, as far as it is there; folders come before archives."""
    source = source.rstrip("/")
    folders = [source, *(f"{source}/{name}" for name in storage.folders(source))]
    return {kind: place for kind in ARCHIVES if (place := _place(kind, folders)) is not None}


def refuse_missing(source: str, found: Mapping[str, Place]) -> None:
    """DataError where a kind is not there, which names the archives to fetch."""
    missing = [kind for kind in ARCHIVES if kind not in found]
    if not missing:
        return
    archives = ", ".join(f"{ARCHIVES[kind]}.tar.gz" for kind in missing)
    raise DataError(
        f"the ShapeStacks in '{source}' lacks {' and '.join(missing)}"
        if found
        else f"no raw ShapeStacks in '{source}'",
        expected=", ".join(f"{kind}/ (or {archive}.tar.gz)" for kind, archive in ARCHIVES.items())
        + f"; or for the protocol oclib '{oclib.SHAPESTACKS.name}' alone",
        found=", ".join(place.path for place in found.values()) or "none of the three",
        hint=f"place {archives} there (no need to unpack), or: ocbench prepare shapestacks --download   (33 GB)"
        + ("; the instance maps are an archive of their own, not part of rgb or vseg" if "iseg" in missing else ""),
    )


def _place(kind: str, folders: Iterable[str]) -> Place | None:
    for name in (kind, *(f"{ARCHIVES[kind]}.{ending}" for ending in ("tar.gz", "tgz", "tar"))):
        for folder in folders:
            if storage.exists(path := f"{folder}/{name}"):
                return Place(kind, path, packed=name != kind)
    return None


def split_list(place: Place, part: str) -> list[str] | None:
    """The scenarios of a split list such as `default-train`, in its order; None where there is no such list."""
    name = "{}/{}.txt".format(*part.rsplit("-", 1))
    if not place.packed:
        path = f"{place.path}/{name}"
        return _scenarios(storage.read_bytes(path), path) if storage.exists(path) else None
    with storage.open_binary(place.path) as file:
        for member in members(file, place.path):
            if f"/{member.path}".endswith(f"/splits/{name}"):
                return _scenarios(_content(member, place.path), f"{member.path} in {place.path}")
    return None


def _scenarios(data: bytes, where: str) -> list[str]:
    found: dict[str, None] = {}
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
        name = line.strip()
        if name and (not SCENARIO.fullmatch(name) or name in found):
            wrong = "is there twice" if name in found else "is no scenario"
            raise DataError(
                f"line {number} of the split list '{where}' {wrong}",
                expected="scenarios such as env_ccs-hard-h=2-vcom=0-vpsf=0-v=60, each once",
                found=repr(name[:80]),
                hint=f"unpack {ARCHIVES['splits']}.tar.gz again",
            )
        found |= {name: None} if name else {}
    if not found:
        raise DataError(f"the split list '{where}' is empty", hint=f"unpack {ARCHIVES['splits']}.tar.gz again")
    return list(found)


def all_views(place: Place) -> Iterator[tuple[View, str]]:
    """Every view of a kind with the name of its file, by reading names alone; an archive is read to its end once."""
    if place.packed:
        with storage.open_binary(place.path) as file:
            for view, member in _packed_views(place, file):
                yield view, member.path
        return
    for folder, names in storage.walk(place.path):
        for view, name in _views(place.kind, folder.rpartition("/")[2], names):
            yield view, f"{folder}/{name}"


def check_beginning(place: Place) -> None:
    """DataError for an archive with no file of its kind among the first, where a whole pass would be too long."""
    with storage.open_binary(place.path) as file:
        if next(_packed_views(place, file, _LOOKED_AT), None) is None:
            raise DataError(
                f"no file of ShapeStacks' {place.kind} among the first {_LOOKED_AT} of '{place.path}'",
                hint=f"is it another archive, renamed? fetch {ARCHIVES[place.kind]}.tar.gz from {BASE}",
            )


def _views(kind: str, scenario: str, names: Iterable[str]) -> Iterator[tuple[View, str]]:
    if SCENARIO.fullmatch(scenario):
        for name in names:
            if match := FILES[kind].fullmatch(name):
                yield View(scenario, int(match["camera"])), name


def _packed_views(place: Place, file: IO[bytes], most: int | None = None) -> Iterator[tuple[View, Member]]:
    for passed, member in enumerate(members(file, place.path)):
        if passed == most:
            return
        folder, _, name = member.path.rpartition("/")
        for view, _ in _views(place.kind, folder.rpartition("/")[2], [name]):
            yield view, member


def _content(member: Member, archive: str) -> bytes:
    if member.size > _LARGEST:
        raise DataError(
            f"'{member.path}' in archive '{archive}' is too large",
            expected=f"at most {_LARGEST:,} bytes",
            found=f"{member.size:,}",
        )
    return member.read()


def raw_scenes(source: str, part: str, start: int, stop: int) -> Iterator[RawScene]:
    """The scenes of [start, stop) in the order of the list and its cameras; those that lack a file are passed over.

    From a tree, a scene costs its two files and, once a scenario, a listing of its two folders. Of an archive, one pass
    is made, and what comes before its turn waits on disk, still encoded.
    """
    found = places(source)
    refuse_missing(source, found)
    scenarios = split_list(found["splits"], part)
    if scenarios is None:
        raise DataError(f"no split list '{part}' under '{found['splits'].path}'")
    order = {
        View(scenarios[index // CAMERAS], index % CAMERAS + 1): index
        for index in range(start, min(stop, CAMERAS * len(scenarios)))
    }
    with _opened(found["recordings"], order) as image_of, _opened(found["iseg"], order) as labels_of:
        for view, index in order.items():
            image, labels = image_of(view), labels_of(view)
            if image and labels:
                yield RawScene(index, view, image, labels)


Taking = Callable[[View], RawFile | None]  # the file of a view, once; None where there is none


def _opened(place: Place, wanted: Container[View]) -> AbstractContextManager[Taking]:
    return _packed(place, wanted) if place.packed else _unpacked(place)


@contextmanager
def _unpacked(place: Place) -> Iterator[Taking]:
    listed: Mapping[View, str] = {}
    scenario = ""

    def take(view: View) -> RawFile | None:
        nonlocal listed, scenario
        folder = f"{place.path}/{view.scenario}"
        if scenario != view.scenario:
            scenario, listed = view.scenario, _listed(place.kind, folder, view.scenario)
        if view not in listed:
            return None
        path = f"{folder}/{listed[view]}"
        return RawFile(listed[view], path, storage.read_bytes(path))

    yield take


def _listed(kind: str, folder: str, scenario: str) -> dict[View, str]:
    found: dict[View, str] = {}
    for view, name in _views(kind, scenario, next(storage.walk(folder), ("", []))[1]):
        if view in found:
            raise twice(view, name, folder)
        found[view] = name
    return found


@contextmanager
def _packed(place: Place, wanted: Container[View]) -> Iterator[Taking]:
    arrived: dict[View, str] = {}
    with Aside() as aside, storage.open_binary(place.path) as file:
        coming = _packed_views(place, file)

        def take(view: View) -> RawFile | None:
            while view not in arrived and (following := next(coming, None)) is not None:
                early, member = following
                if early in arrived:
                    raise twice(early, member.path, place.path)
                if early in wanted:
                    arrived[early] = member.path
                    aside.put(early, _content(member, place.path))
            if (data := aside.take(view)) is None:
                return None
            return RawFile(arrived[view].rpartition("/")[2], f"{arrived[view]} in {place.path}", data)

        yield take


def twice(view: View, name: str, where: str) -> DataError:
    """The error for a second file of a view: nobody could tell which is meant."""
    return DataError(
        f"the view '{view}' is there twice in '{where}'",
        expected="one file a camera",
        found=f"'{name}' beside another",
        hint="keep the one of the public distribution",
    )
