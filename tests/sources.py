"""Writes small sources in the layouts of the public distributions, for tests of the readers and of `prepare`.

CLEVRTEX: `write_clevrtex` makes a tree `clevrtex_<variant>/`, six PNGs and a JSON a scene, and `write_archives` packs
it into `.tar.gz` parts. Pictures are drawn with NumPy unless they are handed in.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

HEIGHT, WIDTH = 240, 320
COLOURS = (
    (0, 0, 0), (255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 0), (141, 211, 199), (255, 255, 179), (190, 186, 218),
    (251, 128, 114), (128, 177, 211), (253, 180, 98), (179, 222, 105), (252, 205, 229), (217, 217, 217),
)  # fmt: skip
MATERIALS = ("poliigonbricks01", "poliigonfabricupholsterybrightanglepattern001", "whitemarble", "polyhaven_wood")
PASSES = ("depth", "albedo", "normal", "shadow")


def drawn_scene(index: int, objects: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [240, 320, 3] and uint8 [240, 320]: discs and boxes in a grid of twelve cells, 3 to 10 of them."""
    random = np.random.default_rng([240, index])
    count = objects or 3 + index % 8
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    image = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    image[:] = random.integers(60, 190, 3)
    image[(rows // 8 + columns // 8) % 2 == 0] += 20
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for label, cell in enumerate(random.permutation(12)[:count], start=1):
        top, left = 40 + 80 * (cell // 4), 40 + 80 * (cell % 4)
        down, right = np.abs(rows - top), np.abs(columns - left)
        inside = np.hypot(down, right) < 34 if label % 2 else np.maximum(down, right) < 30
        image[inside], mask[inside] = random.integers(0, 256, 3), label
    return image, mask


def rendered_scene(style: str, index: int) -> tuple[np.ndarray, np.ndarray]:
    """The same from the built-in renderer, in one of its styles (tex, ood, camo); every object shows 200 pixels."""
    from ocbench.datasets.rendering import draw, sampling

    for attempt in range(100):
        random = np.random.default_rng([index, attempt])
        stage = sampling.sample(sampling.STYLES[style], sampling.FULL, random, (HEIGHT, WIDTH))
        if stage is None:
            continue
        mask = draw.mask(stage, HEIGHT, WIDTH)
        if np.bincount(mask.ravel(), minlength=len(stage.bodies) + 1)[1:].min() > 200:
            return draw.image(stage, HEIGHT, WIDTH, samples=1), mask
    raise AssertionError(f"no scene {index} in style {style}")


def png(array: np.ndarray, info: PngImagePlugin.PngInfo | None = None) -> bytes:
    """The array as a PNG, quickly."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG", compress_level=1, pnginfo=info, dpi=(72, 72))
    return buffer.getvalue()


def image_png(image: np.ndarray) -> bytes:
    """The image as the renderer saves it: RGBA with text chunks."""
    info = PngImagePlugin.PngInfo()
    for name in ("File", "Date", "Time", "Frame", "Camera", "Scene", "RenderTime"):
        info.add_text(name, "1")
    return png(np.dstack([image, np.full(image.shape[:2], 255, np.uint8)]), info)


def labels_png(mask: np.ndarray, palette: int = 56) -> bytes:
    """The label map in mode P, with a palette of 56 or 256 entries."""
    picture = Image.frombytes("P", mask.shape[::-1], mask.tobytes())
    entries = [value for colour in COLOURS * 4 for value in colour]
    picture.putpalette((entries + [0] * 768)[: 3 * palette])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1, bits=8)
    return buffer.getvalue()


def metadata(variant: str, index: int, mask: np.ndarray) -> dict:
    """The scene's JSON with the keys of the published files."""
    labels = [int(label) for label in np.unique(mask) if label]
    stem = f"CLEVRTEX_{variant}_{index:06d}"
    directions = ("left", "right", "front", "behind", "above", "below")
    objects = []
    for label in labels:
        rows, columns = np.nonzero(mask == label)
        objects.append({
            "shape": ("cube", "sphere", "cylinder", "monkey")[label % 4], "rotation": 36.5 * label,
            "size": ("large", "medium", "small")[label % 3], "3d_coords": [0.1 * label, -0.2, 0.9],
            "pixel_coords": [float(columns.mean()), float(rows.mean()), 10.0 + label], "index": label, "color": "red",
            "material": MATERIALS[(index + label) % len(MATERIALS)],
        })  # fmt: skip
    return {
        "num_objects": len(labels), "split": variant, "image_index": index, "image_filename": f"{stem}.png",
        "ground_material": MATERIALS[index % len(MATERIALS)],
        "directions": {name: [0.0, 0.0, 1.0] for name in directions},
        "objects": objects, "relationships": {name: [[] for _ in labels] for name in directions[:4]},
        "mask_filename": f"{stem}_flat.png",
        **{f"{name}_filename": f"{stem}_{name}_0001.png" for name in PASSES},
    }  # fmt: skip


def write_clevrtex(
    root: Path, variant: str, count: int, *, folder_size: int = 1000, palette: int = 56, first: int = 0,
    draw: Callable[[int], tuple[np.ndarray, np.ndarray]] = drawn_scene,
) -> Path:  # fmt: skip
    """A tree `root/clevrtex_<variant>` of scenes first … first + count - 1; `draw(index)` gives image and mask.

    `folder_size` stands in for the thousand scenes of a folder, so that few scenes fill several.
    """
    tree = root / f"clevrtex_{variant}"
    extra = png(np.zeros((1, 1), np.uint8))
    for index in range(first, first + count):
        folder = tree / str(index // folder_size)
        folder.mkdir(parents=True, exist_ok=True)
        image, mask = draw(index)
        stem = f"CLEVRTEX_{variant}_{index:06d}"
        (folder / f"{stem}.png").write_bytes(image_png(image))
        (folder / f"{stem}_flat.png").write_bytes(labels_png(mask, palette))
        (folder / f"{stem}.json").write_text(json.dumps(metadata(variant, index, mask), indent=2))
        for name in PASSES:
            (folder / f"{stem}_{name}_0001.png").write_bytes(extra)
    return tree


def write_archives(
    tree: Path,
    to: Path,
    parts: int = 1,
    *,
    order: Callable[[list[Path]], Iterable[Path]] = sorted,
    ending: str = "tar.gz",
) -> list[Path]:
    """The tree packed into `parts` archives of whole folders, as published; `order` arranges the files of each."""
    to.mkdir(parents=True, exist_ok=True)
    folders = sorted((path for path in tree.iterdir() if path.is_dir()), key=lambda path: int(path.name))
    archives = []
    for part in range(parts):
        name = tree.name if parts == 1 else f"{tree.name}_part{part + 1}"
        archives.append(to / f"{name}.{ending}")
        mine = folders[part * len(folders) // parts : (part + 1) * len(folders) // parts]
        packing = {} if ending == "tar" else {"compresslevel": 1}
        with tarfile.open(archives[-1], "w" if ending == "tar" else "w:gz", **packing) as archive:
            archive.add(tree, tree.name, recursive=False)
            for path in order([path for folder in mine for path in folder.iterdir()]):
                archive.add(path, f"{tree.name}/{path.parent.name}/{path.name}")
    return archives
