"""ShapeStacks: stacks of 2 to 6 simple shapes, stable or about to fall, each rendered from 16 cameras, with masks.

    default      13,618 + 2,916 + 2,916 scenarios, of both kinds below      train, val (eval.txt) and test
    ccs_all      cylinders, cuboids and spheres only
    blocks_all   blocks only

A part is one split list (`default-train`), and a scene one camera's view of one of its scenarios; the counts above are
quoted from papers and were not confirmed, so a list of another length is only warned about. Source: the unpacked tree
with `splits/`, `recordings/` and `iseg/`, or the archives shapestacks-meta, -rgb and -iseg as downloaded. Scenes come
in the order of the list from archives too, for which most of what one pass meets waits on disk (TMPDIR) for its turn.
Beside each archive at its address lies an `.md5` of the same stem, with the archive's checksum. The folder may also
hold object-centric-library's HDF5 file, the part "hdf5" (see oclib.py).

Images are 224x224 RGB PNGs; instance maps are RGBA PNGs under the name `.map`, red = green = blue = 32 times the label,
counted from the bottom of the stack. Oliver Groth, Fabian Fuchs, Ingmar Posner, Andrea Vedaldi: "ShapeStacks: Learning
Vision-Based Physical Intuition for Generalised Object Stacking", ECCV 2018.

`Scene.meta`: scenario, camera (1 to 16), height (shapes in the stack), stable, the textures wall, floor and light
(numbers) and colours (a word) of the image, and num_objects, the labels to be seen in the whole view.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace

import numpy as np

from ocbench import storage
from ocbench.datasets import oclib
from ocbench.datasets.faults import counted, refuse
from ocbench.datasets.shapestacks_source import (
    BASE,
    CAMERAS,
    FILES,
    SCENARIO,
    Place,
    RawFile,
    RawScene,
    View,
    all_views,
    check_beginning,
    places,
    raw_scenes,
    refuse_missing,
    split_list,
    twice,
)
from ocbench.errors import DataError, UnknownNameError
from ocbench.imaging import decode_image
from ocbench.scene import DatasetSpec, Download, Part, Protocol, Scene, Split

log = logging.getLogger(__name__)

PROJECT_PAGE = "https://ogroth.github.io/shapestacks/"
BASES = (BASE, BASE.replace("http:", "https:"), "http://shapestacks.robots.ox.ac.uk/static/download/v1/")
LICENSE_NOTE = f"code: GPL-3.0; the data's licence is stated, if anywhere, on the project page: {PROJECT_PAGE}"

SIDE = 224  # pixels of every source file
STEP = 32  # grey levels of one label in an instance map
MAX_OBJECTS = 6
LISTS = ("default", "ccs_all", "blocks_all")
PARTS = tuple(f"{name}-{file}" for name in LISTS for file in ("train", "eval", "test"))
SCENARIOS = {"default-train": 13_618, "default-eval": 2_916, "default-test": 2_916}  # as quoted, not confirmed


def parts(source: str, partial: bool = False) -> dict[str, Part]:
    """The split lists that are there; one DataError for all that they name and the source lacks.

    Instance maps are listed in any case, images unless that would be a pass over their archive for nothing: then the
    scenes are None. With `partial`, views that lack a file are no fault, archives are listed to their end, and
    `Part.scenes` is one above the last view that is whole; a list without any is left out.
    """
    found, stored = places(source), oclib.parts(source, oclib.SHAPESTACKS)
    if stored and not found:
        return stored
    refuse_missing(source, found)
    lists = {part: names for part in PARTS if (names := split_list(found["splits"], part)) is not None}
    if not lists:
        raise DataError(f"no split list under '{found['splits'].path}'", expected="default/train.txt and others")
    images, maps = found["recordings"], found["iseg"]
    known = {maps.kind: _cameras(maps)}
    if partial or not images.packed:
        known[images.kind] = _cameras(images)
    else:
        check_beginning(images)
    faults = [f"{part}: {fault}" for part, names in lists.items() for fault in _faults(names, known)]
    if not partial:
        refuse(
            faults,
            f"the raw ShapeStacks in '{source}' is not whole",
            expected=f"{CAMERAS} views of each scenario in the lists, each with rgb-….png and iseg-….map",
            hint="unpack the archives again, or leave them packed; to go on with fewer scenes: --partial",
        )
    for line in (*faults, *_odd_counts(lists)):
        log.warning("%s", line)
    seekable = not (images.packed or maps.packed)
    stops = {part: _stop(names, known) if images.kind in known else None for part, names in lists.items()}
    aside = sum(storage.size_of(place.path) for place in (images, maps) if place.packed)
    return stored | {
        part: Part(stop, seekable, expected=CAMERAS * len(lists[part]), aside=aside)
        for part, stop in stops.items()
        if stop != 0
    }


Cameras = Mapping[str, Set[int]]  # of every scenario


def _cameras(place: Place) -> Cameras:
    """The cameras whose files are there, by scenario."""
    found: dict[str, set[int]] = defaultdict(set)
    for view, name in all_views(place):
        if view.camera in found[view.scenario]:
            raise twice(view, name, place.path)
        found[view.scenario].add(view.camera)
    return found


def _faults(names: Iterable[str], known: Mapping[str, Cameras]) -> list[str]:
    """What the source lacks of a list's scenarios, a line for each kind of fault."""
    there = {name: any(cameras.get(name) for cameras in known.values()) for name in names}
    faults = counted("scenarios that are not there", [name for name in there if not there[name]])
    for kind, what in (("recordings", "views without an image (rgb-….png)"), ("iseg", "views without a map (.map)")):
        if kind in known:
            faults += counted(what, _lacking([name for name in there if there[name]], known[kind]))
    return faults


def _lacking(names: Iterable[str], cameras: Cameras) -> list[str]:
    numbers = range(1, CAMERAS + 1)
    return [str(View(name, n)) for name in names for n in numbers if n not in cameras.get(name, ())]


def _stop(names: Sequence[str], known: Mapping[str, Cameras]) -> int:
    """One above the index of the last view that has both files."""
    for place in reversed(range(len(names))):
        images, maps = (known[kind].get(names[place], set()) for kind in FILES)
        if both := images & maps:
            return CAMERAS * place + max(both)
    return 0


def _odd_counts(lists: Mapping[str, list[str]]) -> Iterator[str]:
    for part, expected in SCENARIOS.items():
        if part in lists and len(lists[part]) != expected:
            yield f"the list {part} names {len(lists[part]):,} scenarios, where papers speak of {expected:,}"


def read(source: str, part: str, start: int, stop: int) -> Iterator[Scene]:
    """The scenes of a split list with an index in [start, stop), in index order, at 224x224; of "hdf5" at 64x64.

    The index is 16 times the scenario's place in the list, plus the camera less one. Views that lack a file are passed
    over. DataError where not one scene of several has any foreground: a tool has then spoilt the maps.
    """
    if part == oclib.PART:
        return oclib.read(source, oclib.SHAPESTACKS, start, stop)
    if part not in PARTS:
        raise UnknownNameError("part of shapestacks", part, [*PARTS, oclib.PART])
    return _with_foreground(map(_scene, raw_scenes(source, part, start, stop)), source, part)


def _with_foreground(scenes: Iterable[Scene], source: str, part: str) -> Iterator[Scene]:
    count, shown = 0, False
    for scene in scenes:
        count += 1
        shown = shown or bool(scene.mask.any())
        yield scene
    if count > 1 and not shown:
        raise DataError(
            f"not one of {count:,} scenes of '{part}' in '{source}' has any foreground",
            expected="instance maps of 32 times the label",
            found="maps that are black throughout",
            hint="fetch shapestacks-iseg.tar.gz again, and leave it packed or unpack it with no other tool than tar",
        )


def _scene(raw: RawScene) -> Scene:
    about = SCENARIO.fullmatch(raw.view.scenario)
    textures = FILES["recordings"].fullmatch(raw.image.name)
    assert about is not None
    assert textures is not None
    image, mask = _picture(raw.image), _mask(raw.labels, int(about["height"]))
    meta = {
        "scenario": raw.view.scenario, "camera": raw.view.camera, "height": int(about["height"]),
        "stable": int(about["vcom"]) == 0 and int(about["vpsf"]) == 0,
        **{name: int(textures[name]) for name in ("wall", "floor", "light")}, "colours": textures["colours"],
        "num_objects": int(np.count_nonzero(np.bincount(mask.ravel())[1:])),
    }  # fmt: skip
    name = raw.view.scenario.removeprefix("env_").replace("=", "")
    return Scene(f"shapestacks-{name}-cam{raw.view.camera}", image, mask, meta, index=raw.index)


def _picture(file: RawFile) -> np.ndarray:
    """uint8 [224, 224, 3]."""
    picture = decode_image(file.data, f"'{file.where}'")
    if picture.shape[:2] != (SIDE, SIDE):
        height, width = picture.shape[:2]
        raise DataError(f"'{file.where}' has a wrong size", expected=f"{SIDE}x{SIDE}", found=f"{width}x{height}")
    return picture


def _mask(file: RawFile, height: int) -> np.ndarray:
    """uint8 [224, 224] of an instance map; DataError where it is none of a stack of that height."""
    colours = _picture(file)
    red = colours[:, :, 0]
    coloured = (colours != red[:, :, None]).any(axis=2)
    if coloured.any():
        found = f"RGB {tuple(colours[coloured][0].tolist())}"
        raise _no_map(file, "is no instance map: its colours differ", "red = green = blue", found)
    values = np.unique(red)
    between = values[values % STEP > 0].tolist()
    if between:
        found = "values " + ", ".join(map(str, between[:6]))
        raise _no_map(file, "has values between labels", f"multiples of {STEP}", found)
    if (label := int(values[-1]) // STEP) > height:
        raise _no_map(file, "has a label above the height of its stack", f"labels 0..{height}", f"label {label}")
    return red // np.uint8(STEP)


def _no_map(file: RawFile, what: str, expected: str, found: str) -> DataError:
    hint = "fetch shapestacks-iseg.tar.gz again: another kind of map, or a tool that changes pixels, got in between"
    return DataError(f"'{file.where}' {what}", expected=expected, found=found, hint=hint)


def _splits(name: str) -> tuple[Split, ...]:
    return tuple(
        Split(split, f"{name}-{file}") for split, file in (("train", "train"), ("val", "eval"), ("test", "test"))
    )


def _downloads() -> tuple[Download, ...]:
    # Sizes as the project page has them, in round figures: to warn before a download, never to check one.
    sizes = {"shapestacks-meta": 156_000, "shapestacks-rgb": 33_000_000_000, "shapestacks-iseg": 352_000_000}
    return tuple(
        Download(
            f"{name}.tar.gz",
            tuple(f"{base}{name}.tar.gz" for base in BASES),
            size,
            license_note=LICENSE_NOTE,
            parts=PARTS,
            checksum_urls=tuple(f"{base}{name}.md5" for base in BASES),
        )
        for name, size in sizes.items()
    )


AST_PAPER = Protocol(
    name="ast-paper",
    version=1,
    size=(64, 64),
    max_objects=MAX_OBJECTS,
    splits=_splits("default"),
    crop=(14, 14, 196),
    image_filter="bilinear-antialias",
    mask_filter="nearest-floor",
    summary="AST-Seg, by the class of GENESIS: centre crop 196, 64x64, masks by the floor rule",
)
DATASET = DatasetSpec(
    name="shapestacks",
    title="ShapeStacks",
    protocols=(
        AST_PAPER,
        replace(AST_PAPER, name="genesis", subset=(320, 0), summary="GENESIS: as ast-paper, scored on 320 scenes"),
        replace(
            AST_PAPER,
            name="centre-masks",
            mask_filter="nearest-centre",
            summary="as ast-paper, but masks that lie where the image does",
        ),
        replace(
            AST_PAPER,
            name="ccs_all",
            splits=_splits("ccs_all"),
            summary="as ast-paper, on cylinders, cuboids and spheres alone",
        ),
        replace(AST_PAPER, name="blocks_all", splits=_splits("blocks_all"), summary="as ast-paper, on blocks alone"),
        oclib.protocol(oclib.SHAPESTACKS),
    ),
    parts=parts,
    read=read,
    downloads=(*_downloads(), oclib.download(oclib.SHAPESTACKS)),
    citation="Groth, Fuchs, Posner, Vedaldi: ShapeStacks, ECCV 2018",
    license=LICENSE_NOTE,
)
