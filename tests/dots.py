"""A small dataset with a source on disk, and its spec: for tests of what turns sources into shards.

`<source>/dots-000003.png` and `.mask.png`, 24x24, with one square of each label 1 … 1 + index % 3; the label 9 of
`write(…, lonely=…)` lies in the corner that the crop removes. A file `packed` in the source makes the part one that can
only be read from its beginning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from ocbench import imaging, jobs, prepare
from ocbench.prepared import PreparedSplit, split_directory
from ocbench.scene import DatasetSpec, Part, Protocol, Scene, Split

SIDE, COUNT, OBJECTS = 24, 20, 9
SPLITS = {"train": (4, 20), "val": (2, 4), "test": (0, 2)}
PROTOCOL = Protocol(
    name="small", version=1, size=(16, 16), crop=(4, 4, 16), max_objects=OBJECTS,
    splits=tuple(Split(name, "dots", start, stop, scenes=stop - start) for name, (start, stop) in SPLITS.items()),
)  # fmt: skip


def draw(index: int, lonely: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [24, 24, 3] and uint8 [24, 24]."""
    random = np.random.default_rng([24, index])
    image = random.integers(0, 40, (SIDE, SIDE, 3), dtype=np.uint8)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for label in range(1, 2 + index % 3):
        square = slice(2 + 5 * label, 6 + 5 * label)
        image[square, square], mask[square, square] = random.integers(60, 256, 3), label
    if lonely:
        mask[:3, :3] = OBJECTS
    return image, mask


def write(source: Path, indices: Sequence[int] = range(COUNT), *, packed: bool = False, lonely: int = -1) -> Path:
    """The source, with the scenes of these indices added."""
    source.mkdir(parents=True, exist_ok=True)
    for index in indices:
        image, mask = draw(index, index == lonely)
        (source / f"dots-{index:06d}.png").write_bytes(imaging.encode_image(image, "png"))
        (source / f"dots-{index:06d}.mask.png").write_bytes(imaging.encode_labels(mask))
    if packed:
        (source / "packed").touch()
    return source


def indices(source: str) -> list[int]:
    names = (re.fullmatch(r"dots-(\d{6})\.png", path.name) for path in Path(source).iterdir())
    return sorted(int(name[1]) for name in names if name)


def parts(source: str, partial: bool = False) -> dict[str, Part]:
    there, packed = indices(source), (Path(source) / "packed").exists()
    scenes = there[-1] + 1 if partial else None if packed else len(there)
    return {"dots": Part(scenes=scenes, seekable=not packed, expected=COUNT)}


def read(source: str, part: str, start: int, stop: int) -> Iterator[Scene]:
    for index in indices(source):
        if start <= index < stop:
            path = Path(source) / f"dots-{index:06d}.png"
            image = imaging.decode_image(path.read_bytes(), f"'{path}'")
            mask = imaging.decode_labels(path.with_suffix(".mask.png").read_bytes(), f"'{path}'")
            yield Scene(f"dots-{index:06d}", image, mask, {"index": index})


SPEC = DatasetSpec(name="dots", title="Dots", protocols=(PROTOCOL,), parts=parts, read=read)


def plan(
    data_dir: Path, source: Path, splits: Sequence[str] | None = None, spec: DatasetSpec = SPEC, **options: object
) -> jobs.Plan:
    """What `prepare` takes."""
    chosen = jobs.Options(**options)  # type: ignore[arg-type]
    return jobs.plan(spec, spec.protocol(), str(data_dir), raw=str(source), splits=splits, options=chosen)


def prepared(folder: Path, split: str = "train", per_shard: int = 3) -> PreparedSplit:
    """A split prepared under `<folder>/data` from `<folder>/raw`, in small shards."""
    if not (folder / "raw").exists():
        write(folder / "raw")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "SCENES_PER_SHARD", per_shard)
        prepare.prepare(plan(folder / "data", folder / "raw", [split]))
    return PreparedSplit(split_directory(str(folder / "data"), SPEC.name, PROTOCOL.name, split))
