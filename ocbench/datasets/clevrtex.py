"""CLEVRTEX: rendered scenes of 3 to 10 textured objects on textured ground, with masks, in six variants.

    full     50,000 scenes, any photographed material          train, val and test
    outd     10,000, other shapes and unseen materials         ood
    camo     20,000, one material for ground and objects       camo      (and camo-train, camo-val)
    pbg, vbg, grassbg   20,000 each: plain ground, plain objects, one grass ground

Source: the unpacked trees `clevrtex_<variant>/`, or the archives as downloaded, in one folder. Images are 320x240 RGBA
PNGs, of which alpha is dropped; label maps are palette PNGs whose indices are the object numbers of the metadata,
counted from 1. The folder may also hold object-centric-library's HDF5 file, the part "hdf5" (see oclib.py; nothing
else on this page is about it). Laurynas Karazija, Iro Laina, Christian Rupprecht: "ClevrTex: A Texture-Rich Benchmark
for Unsupervised Multi-Object Segmentation", NeurIPS 2021 Datasets and Benchmarks.

`Scene.meta`: variant, version (1), index, num_objects, ground_material, and per object label, shape, size, material,
rotation (degrees) and pixel_coords (column, row in pixels of the source, depth); `color` in `vbg` alone, where it means
something. Version 1 misnames one material: where it occurs, `material_corrected` (`ground_material_corrected`) stands
beside the name as published.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ocbench import storage
from ocbench.datasets import oclib
from ocbench.datasets.clevrtex_inventory import SCENES, refuse
from ocbench.datasets.clevrtex_source import (
    RawScene,
    Survey,
    archive_faults,
    archive_inventory,
    file_name,
    raw_scenes,
    survey,
)
from ocbench.errors import DataError, UnknownNameError
from ocbench.imaging import decode_image, decode_labels
from ocbench.scene import DatasetSpec, Download, Part, Protocol, Scene, Split

PROJECT_PAGE = "https://www.robots.ox.ac.uk/~vgg/data/clevrtex/"
BASES = (
    "https://thor.robots.ox.ac.uk/datasets/clevrtex/",
    "https://thor.robots.ox.ac.uk/~vgg/data/clevrtex/clevrtex_packaged/",
)
LICENSE_NOTE = f"the data's licence is stated, if anywhere, on the project page: {PROJECT_PAGE}"

SIZE = (240, 320)  # H, W of every source file
MAX_OBJECTS = 10
PALETTE = (
    (0, 0, 0), (255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 0), (141, 211, 199), (255, 255, 179), (190, 186, 218),
    (251, 128, 114), (128, 177, 211), (253, 180, 98), (179, 222, 105), (252, 205, 229), (217, 217, 217),
)  # fmt: skip
# What the palette becomes when a tool turns the label map to grey: Rec. 601 luma, whichever way it rounds.
GREYS = {round((299 * r + 587 * g + 114 * b) / 1000 + shift) for r, g, b in PALETTE for shift in (-0.5, 0, 0.5)}

MISNAMED = "fabricupholsterybrightanglepattern001"
RIGHT_NAME = "fabricupholsterymidcenturypebbles001"


def parts(source: str, partial: bool = False) -> dict[str, Part]:
    """The variants below a folder; one DataError for all that is wrong there.

    With `partial`, scenes that are missing altogether are no fault; `Part.scenes` is then one above the highest index
    found, for which archives are listed to their end. Without it, the scenes of an archive are None: only a full pass
    could tell.
    """
    found, present = survey(source), oclib.parts(source, oclib.CLEVRTEX)
    if not found.trees and not found.archives and not present:
        raise _nothing(found)
    faults: list[str] = []
    hint = None
    for variant, expected in SCENES.items():
        inventory, archives = found.trees.get(variant), found.archives.get(variant, [])
        if inventory is None and not archives:
            continue
        packed = inventory is None
        if packed:
            faults += (wrong := archive_faults(variant, archives, partial))
            hint = hint or (_hint(variant, False) if wrong and not partial else None)
            inventory = archive_inventory(variant, archives) if partial and not wrong else None
        if inventory is not None:
            faults += inventory.faults()
            if not partial and (shortage := inventory.shortage()):
                faults += shortage
                hint = _hint(variant, bool(archives))
        present[variant] = Part(
            inventory.stop if inventory else None, seekable=not packed, expected=expected,
            aside=sum(storage.size_of(path) for _, path in archives) if packed else 0,
        )  # fmt: skip
    refuse(faults, source, hint)
    return present


def read(source: str, part: str, start: int, stop: int) -> Iterator[Scene]:
    """The scenes of a variant with an index in [start, stop), in index order, at 240x320; of "hdf5" at 128x128.

    Indices that are not there are passed over. Where a tree and archives lie side by side, the tree is read.
    """
    if part == oclib.PART:
        return oclib.read(source, oclib.CLEVRTEX, start, stop)
    if part not in SCENES:
        raise UnknownNameError("part of clevrtex", part, [*SCENES, oclib.PART])
    return (_scene(raw) for raw in raw_scenes(source, part, start, stop))


def _scene(raw: RawScene) -> Scene:
    try:
        image, mask = decode_image(raw.image), decode_labels(raw.labels, palette=PALETTE)
        _check(image, mask)
        meta = _meta(raw)
    except DataError as error:
        raise DataError(
            f"'{file_name(raw.variant, raw.index)}' in '{raw.where}': {error.message}",
            expected=error.expected,
            found=error.found,
            hint=error.hint,
        ) from error
    return Scene(f"clevrtex-{raw.variant}-{raw.index:06d}", image, mask, meta)


def _check(image: np.ndarray, mask: np.ndarray) -> None:
    for name, array in (("image", image), ("label map", mask)):
        if array.shape[:2] != SIZE:
            height, width = array.shape[:2]
            raise DataError(f"the {name} has a wrong size", expected="320x240", found=f"{width}x{height}")
    if mask.max() > MAX_OBJECTS:
        values = np.unique(mask).tolist()
        grey = GREYS.issuperset(values)
        raise DataError(
            "the label map was turned to grey: its palette is lost" if grey else "a label above 10",
            expected="palette indices, 0 the ground and 1 to 10 the objects",
            found=f"values {', '.join(map(str, values[:12]))}{' …' if len(values) > 12 else ''}",
            hint="unpack the archive again; a tool that expands palettes has saved this file anew" if grey else None,
        )


def _meta(raw: RawScene) -> dict[str, Any]:
    meta: dict[str, Any] = {"variant": raw.variant, "version": 1, "index": raw.index}
    if raw.metadata is None:
        return meta
    try:
        source = json.loads(raw.metadata)
        meta |= {"num_objects": int(source["num_objects"]), **_material(source, "ground_material")}
        meta["objects"] = [_object(entry, raw.variant) for entry in source["objects"]]
    except (ValueError, KeyError, TypeError) as cause:
        raise DataError(
            "the metadata (.json) cannot be read",
            expected="num_objects, ground_material and objects",
            found=f"{type(cause).__name__}: {cause}",
        ) from cause
    return meta


def _object(entry: Mapping[str, Any], variant: str) -> dict[str, Any]:
    kept = {"label": entry["index"], **{name: entry[name] for name in ("shape", "size", "rotation", "pixel_coords")}}
    return kept | _material(entry, "material") | ({"color": entry["color"]} if variant == "vbg" else {})


def _material(entry: Mapping[str, Any], name: str) -> dict[str, str]:
    published = entry[name]
    corrected = published.lower().replace(MISNAMED, RIGHT_NAME)
    return {name: published} | ({f"{name}_corrected": corrected} if corrected != published.lower() else {})


def _hint(variant: str, packed: bool) -> str:
    if packed:
        return f"remove the folder clevrtex_{variant}: the archives beside it are read as they are; or --partial"
    return "unpack each archive by itself, or leave it packed; to go on with fewer scenes: --partial"


def _nothing(found: Survey) -> DataError:
    if found.version_2:
        lies = f"CLEVRTEX version 2 only ('{found.version_2[0]}'), which no published number is about"
    elif found.other:
        lies = "other files, such as " + ", ".join(f"'{name}'" for name in found.other[:3])
    else:
        lies = "nothing"
    return DataError(
        f"no raw CLEVRTEX under '{found.source}'",
        expected="clevrtex_full/0/CLEVRTEX_full_000000.png … or clevrtex_full_part1.tar.gz … part5.tar.gz, "
        f"or for the protocol oclib '{oclib.CLEVRTEX.name}'",
        found=lies,
        hint="place the archives there (no need to unpack), or: ocbench prepare clevrtex --download   (full: 23.5 GB; "
        f"see the licence at {PROJECT_PAGE})",
    )


def _splits() -> tuple[Split, ...]:
    ranges = [
        ("train", "full", 10_000, 50_000), ("val", "full", 5_000, 10_000), ("test", "full", 0, 5_000),
        ("ood", "outd", 0, 10_000),
    ]  # fmt: skip
    for variant in ("camo", "pbg", "vbg", "grassbg"):
        ranges += [(variant, variant, 0, 2_000), (f"{variant}-train", variant, 4_000, 20_000)]
        ranges += [(f"{variant}-val", variant, 2_000, 4_000)]
    return tuple(Split(name, part, start, stop, scenes=stop - start) for name, part, start, stop in ranges)


def _downloads() -> tuple[Download, ...]:
    # Sizes as users report them, in round figures: to warn before a download, never to check one.
    files: list[tuple[str, str, int | None]] = [
        ("full", f"clevrtex_full_part{number}.tar.gz", 4_700_000_000) for number in range(1, 6)
    ]
    files += [("outd", "clevrtex_outd.tar.gz", 5_300_000_000)]
    files += [(variant, f"clevrtex_{variant}.tar.gz", None) for variant in ("camo", "pbg", "vbg", "grassbg")]
    return tuple(
        Download(name, tuple(base + name for base in BASES), size, license_note=LICENSE_NOTE, parts=(variant,))
        for variant, name, size in files
    )


AST_PAPER = Protocol(
    name="ast-paper",
    version=1,
    size=(128, 128),
    max_objects=MAX_OBJECTS,
    splits=_splits(),
    crop=(24, 64, 192),
    image_filter="bilinear-antialias",
    mask_filter="nearest-centre",
    summary="AST-Seg, equal to the official CLEVRTEX loader: centre crop 192, 128x128",
)
CLEVRTEX_BENCHMARK = replace(
    AST_PAPER,
    name="clevrtex-benchmark",
    summary="the official CLEVRTEX loader; the same pixels and ranges as ast-paper",
)
DATASET = DatasetSpec(
    name="clevrtex",
    title="CLEVRTEX",
    protocols=(AST_PAPER, CLEVRTEX_BENCHMARK, oclib.protocol(oclib.CLEVRTEX)),
    parts=parts,
    read=read,
    downloads=(*_downloads(), oclib.download(oclib.CLEVRTEX)),
    citation="Karazija, Laina, Rupprecht: ClevrTex, NeurIPS 2021 Datasets and Benchmarks",
    license=LICENSE_NOTE,
)
