"""Coloured squares on grey: a dataset that needs no source, 24x24 raw, cropped to 16x16."""

import numpy as np

from ocbench import DatasetSpec, Part, Protocol, Scene, Split

SIDE = 24
COUNTS = {"train": 64, "val": 16, "test": 24}
SEEDS = {"train": 1, "val": 2, "test": 3}


def parts(source, partial=False):
    return {name: Part(scenes=count, seekable=True, expected=count) for name, count in COUNTS.items()}


def read(source, part, start, stop):
    for index in range(start, stop):
        random = np.random.default_rng([SEEDS[part], index])
        image = np.full((SIDE, SIDE, 3), 110, np.uint8)
        image += random.integers(0, 12, image.shape, dtype=np.uint8)
        mask = np.zeros((SIDE, SIDE), np.uint8)
        for label in range(1, 2 + index % 2 + 1):
            top, left = random.integers(4, 15, 2)
            image[top : top + 5, left : left + 5] = random.integers(0, 256, 3)
            mask[top : top + 5, left : left + 5] = label
        yield Scene(f"squares-{part}-{index:06d}", image, mask, {"index": index})


PROTOCOL = Protocol(
    name="native",
    version=1,
    size=(16, 16),
    crop=(4, 4, 16),
    max_objects=3,
    splits=tuple(Split(name, name, 0, count, scenes=count) for name, count in COUNTS.items()),
    summary="the toy package's own",
)
DATASET = DatasetSpec(
    name="squares", title="Squares", protocols=(PROTOCOL,), parts=parts, read=read, needs_source=False,
    citation="none", license="CC0-1.0",
)  # fmt: skip
