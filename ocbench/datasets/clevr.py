"""CLEVR with masks: 100,000 rendered scenes of 3 to 10 plain objects on grey ground. Not the images of CLEVR v1.0.

Source: the one public file, a GZIP TFRecord, as downloaded; a folder that holds it, or its path. It can only be read
from its beginning, in one pass that feeds all splits. Shards that OCLF has made of it (see oclf.py) give the same
scenes. The folder may also hold object-centric-library's HDF5 file, the part "hdf5" (see oclib.py). Images are 240x320
RGB, masks eleven channels of 0 or 255, the background first. Rishabh Kabra et al.: "Multi-Object Datasets",
github.com/deepmind/multi-object-datasets, 2019; Justin Johnson et al.: "CLEVR", CVPR 2017.

`Scene.meta`: index, num_objects (visible in the whole picture), and per object label, shape, size, material, color,
rotation (degrees), coords (x, y, z) and pixel_coords (column, row, depth).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ocbench.datasets import multi_object, oclib
from ocbench.errors import DataError, UnknownNameError
from ocbench.scene import DatasetSpec, Download, Part, Protocol, Scene, Split

FILE = "clevr_with_masks_train.tfrecords"
URL = f"https://storage.googleapis.com/multi-object-datasets/clevr_with_masks/{FILE}"
LICENSE_NOTE = "the loader is Apache-2.0; no licence of the data is stated: github.com/deepmind/multi-object-datasets"
NAMES = {"clevr": (FILE, f"clevr_with_masks_{FILE}")}  # the second is what a browser makes of it

COUNT = 100_000
SIZE = (240, 320)  # H, W of every scene
ENTITIES = 11
CODES = {
    "size": ("large", "small"),
    "material": ("rubber", "metal"),
    "shape": ("sphere", "cylinder", "cube"),
    "color": ("red", "cyan", "green", "blue", "brown", "gray", "purple", "yellow"),
}
NUMBERS = {"visibility": 1, "x": 1, "y": 1, "z": 1, "rotation": 1, "pixel_coords": 3}  # floats an entity
FEATURES = ("image", "mask", *CODES, *NUMBERS)


def parts(source: str, partial: bool = False) -> dict[str, Part]:
    """What lies in the folder: "clevr" and "hdf5". With `partial` the records are counted, which takes a full pass."""
    found = oclib.parts(source, oclib.CLEVR)
    found |= {
        part: multi_object.counted(records, COUNT, partial)
        for part, records in multi_object.found(source, NAMES, FEATURES).items()
    }
    if not found:
        raise DataError(
            f"no raw CLEVR under '{source}'",
            expected=f"'{FILE}', or OCLF's train/shard-000000.tar …, or for the protocol oclib '{oclib.CLEVR.name}'",
            hint=f"place it there as it is, or: ocbench prepare clevr --download   (10.5 GB; {LICENSE_NOTE})",
        )
    return found


def read(source: str, part: str, start: int, stop: int, channel_order: str = "rgb") -> Iterator[Scene]:
    """The scenes of [start, stop) in index order at 240x320; of "hdf5" at 128x128. `channel_order` is rgb or bgr."""
    if part == oclib.PART:
        return oclib.read(source, oclib.CLEVR, start, stop)
    if part not in NAMES:
        raise UnknownNameError("part of clevr", part, [*NAMES, oclib.PART])
    step = {"rgb": 1, "bgr": -1}[channel_order]
    records = multi_object.examples(source, NAMES, FEATURES, part, start, stop)
    return (_scene(*record, step) for record in records)


def _scene(index: int, where: str, features: multi_object.Features, step: int) -> Scene:
    image, masks = multi_object.image_and_masks(features, where, SIZE, ENTITIES)
    image = np.ascontiguousarray(image[:, :, ::step])
    return Scene(f"clevr-{index:06d}", image, multi_object.channel_of(masks), _meta(index, where, features))


def _meta(index: int, where: str, features: multi_object.Features) -> dict[str, Any]:
    kinds = dict.fromkeys(CODES, (np.uint8, 1)) | {name: (np.float32, count) for name, count in NUMBERS.items()}
    wrong = [
        name
        for name, (kind, count) in kinds.items()
        if name not in features or features[name].dtype != kind or features[name].size != ENTITIES * count
    ]
    if wrong:
        raise DataError(
            f"{where} lacks facts of its objects",
            expected=f"{', '.join(wrong)} of {ENTITIES} entities",
            found=", ".join(f"{name} {values.dtype} [{values.size}]" for name, values in features.items()),
            hint="is this another dataset's file?",
        )
    visible = features["visibility"] > 0.5
    objects = [_object(features, label, where) for label in range(1, ENTITIES) if visible[label]]
    return {"index": index, "num_objects": int(visible.sum()) - 1, "objects": objects}


def _object(features: multi_object.Features, label: int, where: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"label": label}
    for name, words in CODES.items():
        code = int(features[name][label])
        if not 1 <= code <= len(words):
            raise DataError(f"{where} has an unknown {name}", expected=f"codes 1..{len(words)}", found=str(code))
        facts[name] = words[code - 1]
    x, y, z, rotation = (_rounded(features[name][label]) for name in ("x", "y", "z", "rotation"))
    place = [_rounded(value) for value in features["pixel_coords"].reshape(ENTITIES, 3)[label]]
    return facts | {"rotation": rotation, "coords": [x, y, z], "pixel_coords": place}


def _rounded(value: np.float32) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def _splits(test: int, val: int) -> tuple[Split, ...]:
    """Test in front, then val, then train: so many scenes each, the rest for train."""
    bounds = (("train", test + val, COUNT), ("val", test, test + val), ("test", 0, test))
    return tuple(Split(name, "clevr", start, stop, scenes=stop - start) for name, start, stop in bounds)


AST_PAPER = Protocol(
    name="ast-paper", version=1, size=(128, 128), max_objects=10, splits=_splits(10_000, 10_000), crop=(24, 64, 192),
    image_filter="bilinear-antialias", mask_filter="nearest-centre",
    summary="AST-Seg in true colours: centre crop 192, 128x128, test in front",
)  # fmt: skip
AST_EXACT = replace(
    AST_PAPER, name="ast-exact", reading={"channel_order": "bgr"},
    summary="ast-paper with red and blue swapped, as in the authors' converted images",
)  # fmt: skip
CLEVRTEX_BENCHMARK = replace(
    AST_PAPER, name="clevrtex-benchmark", splits=_splits(15_000, 15_000), image_filter="bilinear",
    mask_filter="nearest-floor",
    summary="the CLEVRTEX benchmark: 15,000 test scenes in front, bilinear without antialiasing (rounded half to even)",
)  # fmt: skip
GENESIS = replace(
    AST_PAPER, name="genesis", image_filter="nearest-floor", mask_filter="nearest-floor", subset=(320, 0),
    summary="GENESIS-V2: nearest neighbours, scored on 320 scenes drawn with seed 0",
)  # fmt: skip
IODINE_CROP = replace(
    AST_PAPER, name="iodine-crop", crop=(29, 64, 192), summary="ast-paper with IODINE's crop, five rows lower"
)
SLOT_ATTENTION = replace(
    AST_PAPER, name="slot-attention", crop=(29, 64, 192), image_filter="bilinear",
    splits=(
        Split("train", "clevr", 0, 70_000, scenes=70_000), Split("test", "clevr", 70_000, 70_320, scenes=320),
    ),
    summary="Slot Attention: 70,000 to train, the next 320 to test, no val",
)  # fmt: skip
SLOT_ATTENTION6 = replace(
    SLOT_ATTENTION, name="slot-attention6", most_objects=6, max_objects=6,
    summary="Slot Attention's CLEVR6: its scenes with at most 6 objects",
)  # fmt: skip
CLEVR6 = replace(
    AST_PAPER, name="clevr6", most_objects=6, max_objects=6,
    summary="ast-paper's scenes with at most 6 objects before the crop",
)  # fmt: skip
CLEVR6_STRICT5 = replace(
    CLEVR6, name="clevr6-strict5", most_objects=5,
    summary="clevr6 as OCLF's rule really selects: at most 5 objects",
)  # fmt: skip
CLEVR6_CTB = replace(
    CLEVRTEX_BENCHMARK, name="clevr6-ctb", crop=(0, 40, 240), most_objects=6, max_objects=6,
    summary="the CLEVRTEX benchmark's CLEVR6: at most 6 objects, centre crop 240",
)  # fmt: skip

DATASET = DatasetSpec(
    name="clevr",
    title="CLEVR with masks",
    protocols=(
        AST_PAPER, AST_EXACT, CLEVRTEX_BENCHMARK, GENESIS, IODINE_CROP, SLOT_ATTENTION, SLOT_ATTENTION6, CLEVR6,
        CLEVR6_STRICT5, CLEVR6_CTB, oclib.protocol(oclib.CLEVR),
    ),
    parts=parts,
    read=read,
    downloads=(
        Download(FILE, (URL,), 10_500_000_000, license_note=LICENSE_NOTE, parts=("clevr",)),
        oclib.download(oclib.CLEVR),
    ),
    citation="Kabra et al.: Multi-Object Datasets, 2019",
    license=LICENSE_NOTE,
)  # fmt: skip
