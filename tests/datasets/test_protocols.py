"""Every protocol of the benchmark datasets against a table written by hand from the papers' code and words.

Ranges are those of the complete public distribution. A row of the table says what differs from its dataset's default.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from ocbench import imaging, registry
from ocbench.jobs import fit
from ocbench.ranges import resolve
from ocbench.scene import Part, Protocol, Scene
from ocbench.shards import fingerprint, scene_digest

Ranges = dict[str, tuple[str, int, int]]  # split -> part, start, stop


def front(part: str, count: int, test: int, val: int) -> Ranges:
    """Test first, then validation, then training to the end."""
    return {"train": (part, test + val, count), "val": (part, test, test + val), "test": (part, 0, test)}


def oclib(used: int) -> Ranges:
    """Train first; the last ten thousand are validation and test. The rest of the row: stored as it is scored."""
    bounds = (("train", 0, used - 10_000), ("val", used - 10_000, used - 5_000), ("test", used - 5_000, used))
    return {name: ("hdf5", start, stop) for name, start, stop in bounds}


def whole(name: str, counts: tuple[int, int, int]) -> Ranges:
    files = (("train", "train"), ("val", "eval"), ("test", "test"))
    return {split: (f"{name}-{file}", 0, count) for (split, file), count in zip(files, counts, strict=True)}


VARIANTS = ("camo", "pbg", "vbg", "grassbg")
CLEVRTEX = front("full", 50_000, 5_000, 5_000) | {"ood": ("outd", 0, 10_000)}
for variant in VARIANTS:
    CLEVRTEX |= {
        variant: (variant, 0, 2_000),
        f"{variant}-val": (variant, 2_000, 4_000),
        f"{variant}-train": (variant, 4_000, 20_000),
    }

SMALL_ROOMS = ("empty_room", "six_objects", "identical_color")
ROOMS = {name: (name, 0, 1_000) for name in SMALL_ROOMS}
SLOT_ATTENTION = {"train": ("clevr", 0, 70_000), "test": ("clevr", 70_000, 70_320)}
BENCHMARK = {
    "image_filter": "bilinear", "mask_filter": "nearest-floor", "ranges": front("clevr", 100_000, 15_000, 15_000),
}  # fmt: skip

# Scenes of each part, as published; of ShapeStacks' smaller lists and ObjectsRoom's test files any number will do.
COUNTS = {
    "clevr": {"clevr": 100_000, "hdf5": 100_000},
    "objectsroom": {"train": 1_000_000, **dict.fromkeys(SMALL_ROOMS, 1_000), "hdf5": 1_000_000},
    "clevrtex": {"full": 50_000, "outd": 10_000, **dict.fromkeys(VARIANTS, 20_000), "hdf5": 50_000},
    "shapestacks": {
        "default-train": 217_888, "default-eval": 46_656, "default-test": 46_656,
        "ccs_all-train": 30, "ccs_all-eval": 20, "ccs_all-test": 10,
        "blocks_all-train": 30, "blocks_all-eval": 20, "blocks_all-test": 10, "hdf5": 311_200,
    },
}  # fmt: skip
SOURCE = {"clevr": (240, 320), "clevrtex": (240, 320), "objectsroom": (64, 64), "shapestacks": (224, 224)}
DEFAULTS: dict[str, dict[str, Any]] = {
    "clevr": {
        "size": (128, 128), "max_objects": 10, "crop": (24, 64, 192), "image_filter": "bilinear-antialias",
        "mask_filter": "nearest-centre", "most_objects": None, "subset": None, "reading": {},
        "ranges": front("clevr", 100_000, 10_000, 10_000),
    },
    "objectsroom": {
        "size": (64, 64), "max_objects": 3, "crop": None, "most_objects": None, "subset": None, "reading": {},
        "ranges": front("train", 1_000_000, 10_000, 10_000) | ROOMS,
    },
    "clevrtex": {
        "size": (128, 128), "max_objects": 10, "crop": (24, 64, 192), "image_filter": "bilinear-antialias",
        "mask_filter": "nearest-centre", "most_objects": None, "subset": None, "reading": {}, "ranges": CLEVRTEX,
    },
    "shapestacks": {
        "size": (64, 64), "max_objects": 6, "crop": (14, 14, 196), "image_filter": "bilinear-antialias",
        "mask_filter": "nearest-floor", "most_objects": None, "subset": None, "reading": {},
        "ranges": whole("default", (217_888, 46_656, 46_656)),
    },
}  # fmt: skip
TABLE: dict[str, dict[str, dict[str, Any]]] = {
    "clevr": {
        "ast-paper": {},
        "ast-exact": {"reading": {"channel_order": "bgr"}},
        "clevrtex-benchmark": BENCHMARK,
        "genesis": {"image_filter": "nearest-floor", "mask_filter": "nearest-floor", "subset": (320, 0)},
        "iodine-crop": {"crop": (29, 64, 192)},
        "slot-attention": {"crop": (29, 64, 192), "image_filter": "bilinear", "ranges": SLOT_ATTENTION},
        "slot-attention6": {
            "crop": (29, 64, 192), "image_filter": "bilinear", "ranges": SLOT_ATTENTION, "most_objects": 6,
            "max_objects": 6,
        },
        "clevr6": {"most_objects": 6, "max_objects": 6},
        "clevr6-strict5": {"most_objects": 5, "max_objects": 6},
        "clevr6-ctb": BENCHMARK | {"crop": (0, 40, 240), "most_objects": 6, "max_objects": 6},
        "oclib": {"crop": None, "ranges": oclib(100_000)},
    },
    "objectsroom": {
        "ast-paper": {},
        "genesis": {"subset": (320, 0)},
        "separate-background": {"reading": {"background": "separate"}, "max_objects": 6},
        "background-fix": {"reading": {"background_fix": True}},
        "oclib": {"ranges": oclib(100_000)},
    },
    "clevrtex": {
        "ast-paper": {},
        "clevrtex-benchmark": {},
        "oclib": {"crop": None, "ranges": oclib(50_000)},
    },
    "shapestacks": {
        "ast-paper": {},
        "genesis": {"subset": (320, 0)},
        "centre-masks": {"mask_filter": "nearest-centre"},
        "ccs_all": {"ranges": whole("ccs_all", (30, 20, 10))},
        "blocks_all": {"ranges": whole("blocks_all", (30, 20, 10))},
        "oclib": {"crop": None, "mask_filter": "nearest-centre", "ranges": oclib(100_000)},
    },
}  # fmt: skip

every_dataset = pytest.mark.parametrize("dataset", TABLE)
every_protocol = pytest.mark.parametrize(("dataset", "name"), [(d, name) for d in TABLE for name in TABLE[d]])


def ranges(dataset: str, protocol: Protocol) -> Ranges:
    """The protocol's splits on the complete public distribution."""
    parts = {name: Part(count, seekable=True, expected=count) for name, count in COUNTS[dataset].items()}
    found, missing = resolve(protocol, parts)
    assert not missing
    return {each.split.name: (each.split.part, each.start, each.stop) for each in found}


@every_dataset
def test_the_table_has_every_protocol_once_and_the_default_first(dataset: str) -> None:
    protocols = registry.dataset(dataset).protocols
    assert protocols[0].name == "ast-paper"
    assert sorted(protocol.name for protocol in protocols) == sorted(TABLE[dataset])
    assert {protocol.version for protocol in protocols} == {1}
    assert all(protocol.summary for protocol in protocols)


@every_protocol
def test_a_protocol_is_what_the_table_says(dataset: str, name: str) -> None:
    protocol = registry.dataset(dataset).protocol(name)
    expected = DEFAULTS[dataset] | TABLE[dataset][name]
    found = {key: getattr(protocol, key) for key in expected if key != "ranges"}
    assert found | {"ranges": ranges(dataset, protocol)} == expected


@every_protocol
def test_a_split_says_its_count_where_its_range_is_fixed(dataset: str, name: str) -> None:
    protocol = registry.dataset(dataset).protocol(name)
    counts = {split: stop - start for split, (_, start, stop) in ranges(dataset, protocol).items()}
    assert {split.name: split.scenes for split in protocol.splits if split.scenes is not None}.items() <= counts.items()


@every_protocol
def test_no_two_splits_of_a_protocol_share_a_scene(dataset: str, name: str) -> None:
    found = sorted(ranges(dataset, registry.dataset(dataset).protocol(name)).values())
    for (part, _, stop), (following, start, _) in pairwise(found):
        assert part != following or stop <= start


@every_protocol
def test_rows_and_columns_of_masks_are_those_of_the_published_rule(dataset: str, name: str) -> None:
    """The first ten that each rule takes, written out: the resize arithmetic of crops 192, 196 and 240."""
    taken = {
        (192, "nearest-floor"): [0, 1, 3, 4, 6, 7, 9, 10, 12, 13],
        (192, "nearest-centre"): [0, 2, 3, 5, 6, 8, 9, 11, 12, 14],
        (196, "nearest-floor"): [0, 3, 6, 9, 12, 15, 18, 21, 24, 27],
        (196, "nearest-centre"): [1, 4, 7, 10, 13, 16, 19, 22, 26, 29],
        (240, "nearest-floor"): [0, 1, 3, 5, 7, 9, 11, 13, 15, 16],
        (240, "nearest-centre"): [0, 2, 4, 6, 8, 10, 12, 14, 15, 17],
    }
    protocol = registry.dataset(dataset).protocol(name)
    height, width = SOURCE[dataset] if protocol.crop else protocol.size
    top, left, side = protocol.crop or (0, 0, height)
    expected = taken[side, protocol.mask_filter] if protocol.crop else list(range(10))
    rows = np.arange(height, dtype=np.uint8)[:, None].repeat(width, axis=1)
    columns = (np.arange(width) % 256).astype(np.uint8)[None].repeat(height, axis=0)
    fitted = imaging.fit_mask(rows, protocol), imaging.fit_mask(columns, protocol)
    assert fitted[0].shape == protocol.size
    assert fitted[0][:10, 0].tolist() == [top + place for place in expected]
    assert fitted[1][0, :10].tolist() == [left + place for place in expected]


@every_protocol
def test_images_are_filtered_as_the_table_says(dataset: str, name: str) -> None:
    """Every third row is 200, the others 0, seen through each filter from 192 to 128: worked out by hand."""
    protocol = registry.dataset(dataset).protocol(name)
    if protocol.crop is None or protocol.crop[2] != 192:
        pytest.skip("no picture of 192 rows is made smaller")
    top = protocol.crop[0]
    image = np.zeros((*SOURCE[dataset], 3), np.uint8)
    image[top + 1 :: 3] = 200
    rows = imaging.fit_image(image, protocol)[2:6, 5, 1].tolist()
    assert (
        rows
        == {
            "bilinear-antialias": [67] * 4,  # 200 / 3: weights 5/9, 3/9, 1/9
            "bilinear": [50] * 4,  # 200 / 4: weights 3/4, 1/4
            "nearest-floor": [0, 200] * 2,
        }[protocol.image_filter]
    )


@every_dataset
def test_two_protocols_never_give_one_fingerprint(dataset: str) -> None:
    """Even where both make the same pixels of the same scene."""
    found = {}
    for protocol in registry.dataset(dataset).protocols:
        shape = SOURCE[dataset] if protocol.crop else protocol.size
        scene = Scene("scene-0", np.full((*shape, 3), 90, np.uint8), np.zeros(shape, np.uint8))
        fitted, _ = fit(scene, protocol)
        found[protocol.name] = fingerprint(protocol.name, protocol.version, [fitted.key], [scene_digest(fitted)])
    assert len(set(found.values())) == len(found)
