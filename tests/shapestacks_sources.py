"""Writes a small ShapeStacks in the published layout, as a tree and as the three archives, with every decoy.

Few scenarios, of which some have all sixteen cameras only where a test asks for them; texture codes differ from
scenario to scenario, and a map's name always says `w=0-f=0-l=0-c=original`.
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 224
SCENARIOS = (
    "env_ccs-hard-h=2-vcom=0-vpsf=0-v=60",
    "env_blocks-easy-h=6-vcom=3-vpsf=0-v=12",
    "env_ccs-easy-h=4-vcom=0-vpsf=2-v=7",
    "env_blocks-hard-h=3-vcom=0-vpsf=0-v=101",
)
LISTS = {
    "default/train": SCENARIOS[:2], "default/eval": SCENARIOS[2:3], "default/test": SCENARIOS[3:],
    "ccs_all/train": SCENARIOS[:1], "ccs_all/eval": SCENARIOS[2:3], "ccs_all/test": SCENARIOS[2:3],
    "blocks_all/train": SCENARIOS[3:], "blocks_all/eval": SCENARIOS[1:2], "blocks_all/test": SCENARIOS[1:2],
}  # fmt: skip
CAMERAS = (1, 2, 10, 16)
ALL_CAMERAS = tuple(range(1, 17))
ARCHIVES = {"meta": ("meta", "splits"), "rgb": ("recordings",), "iseg": ("iseg",)}


def drawn_view(scenario: str, camera: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [224, 224, 3] and uint8 [224, 224]: a stack of as many boxes as the name says, number 1 at the bottom."""
    height = int(re.search(r"h=(\d)", scenario)[1])  # type: ignore[index]
    random = np.random.default_rng([224, camera, *scenario.encode()])
    image = np.empty((SIDE, SIDE, 3), np.uint8)
    image[:] = random.integers(60, 190, 3)
    image[::7, ::5] += 20
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for label in range(1, height + 1):
        left, bottom = 60 + int(random.integers(0, 40)), 210 - 30 * (label - 1)
        box = (slice(bottom - 30, bottom), slice(left, left + 60))
        image[box], mask[box] = random.integers(0, 256, 3), label
    return image, mask


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def map_png(mask: np.ndarray) -> bytes:
    """The instance map as published: RGBA, red = green = blue = 32 times the label, alpha 255."""
    grey = mask * np.uint8(32)
    return png(np.dstack([grey, grey, grey, np.full_like(grey, 255)]))


def image_name(scenario: str, camera: int) -> str:
    place = SCENARIOS.index(scenario)
    colours = ("original", "unique")[place % 2]
    return f"rgb-w={place}-f={5 - place}-l={place % 5}-c={colours}-cam_{camera}-mono-0.png"


def map_name(camera: int) -> str:
    return f"iseg-w=0-f=0-l=0-c=original-cam_{camera}-mono-0.map"


def write_tree(
    root: Path, *, cameras: Sequence[int] = CAMERAS, lists: Mapping[str, Sequence[str]] = LISTS, end: str = "\n"
) -> Path:
    """The tree; `end` is what follows the last line of a list."""
    for scenario in {name for names in lists.values() for name in names}:
        recordings, maps = root / "recordings" / scenario, root / "iseg" / scenario
        recordings.mkdir(parents=True)
        maps.mkdir(parents=True)
        for camera in cameras:
            image, mask = drawn_view(scenario, camera)
            (recordings / image_name(scenario, camera)).write_bytes(png(image))
            (maps / map_name(camera)).write_bytes(map_png(mask))
        decoy = png(np.zeros((2, 2), np.uint8))
        (recordings / "log.txt").write_text("rendered")
        for name in ("depth-w=0-f=0-l=0-c=original-cam_1-mono-0.png", "vseg-w=0-f=0-l=0-c=original-cam_1-mono-0.png"):
            (recordings / name).write_bytes(decoy)
        for ending in ("mono-1", "stereo-0"):
            name = image_name(scenario, 1).replace("mono-0", ending)
            (recordings / name).write_bytes(decoy)
    for name, scenarios in lists.items():
        path = root / "splits" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(scenarios) + end)
        np.save(path.with_name(f"{path.stem}_bgr_mean.npy"), np.zeros(3))
    (root / "meta").mkdir(parents=True)
    for name in ("stable", "unstable"):
        (root / "meta" / f"blacklist_{name}.txt").touch()
    return root


def write_archives(
    tree: Path, to: Path, *, top: str = "shapestacks", order: Callable[[list[Path]], Iterable[Path]] = sorted
) -> dict[str, Path]:
    """shapestacks-meta, -rgb and -iseg.tar.gz of the tree, by short name; `order` arranges the files of each."""
    to.mkdir(parents=True, exist_ok=True)
    archives = {}
    for name, folders in ARCHIVES.items():
        archives[name] = to / f"shapestacks-{name}.tar.gz"
        files = [path for folder in folders for path in (tree / folder).rglob("*") if path.is_file()]
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for path in order(files):
                archive.add(path, f"{top}/{path.relative_to(tree)}")
        archives[name].write_bytes(gzip.compress(buffer.getvalue(), 1, mtime=0))
    return archives
