"""Decode, encode, crop and resize: the only user of the image codec, whose filters define the protocols' pixels.

Images are uint8 [H, W, 3] RGB, label maps uint8 [H, W]. Cropping comes before resizing, and nothing outside the crop is
read.

    bilinear-antialias   Pillow's BILINEAR, a triangle as wide as the scale
    bilinear             four neighbours, half-pixel centres, rounded half to even
    nearest-centre       row floor((i + 1/2) s), s = source / target, as Pillow's NEAREST
    nearest-floor        row floor(i s)
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

from ocbench.errors import DataError
from ocbench.scene import Protocol

FORMATS = ("PNG", "WEBP", "JPEG", "BMP", "GIF", "TIFF", "PPM")  # none whose decoder starts another program
IMAGE_FORMATS = ("webp", "png")  # of stored images, both lossless
SAVE_NUMBERS = "save the number of the object at each pixel, one byte, as a grey or palette PNG; 0 is the background"
MODES = ("RGB", "RGBA", "RGBX", "L", "LA", "P", "PA", "1", "CMYK", "YCbCr")


def decode_image(data: bytes, name: str = "image", upright: bool = False) -> np.ndarray:
    """uint8 [H, W, 3] RGB of an encoded picture; alpha is dropped, grey and palette are expanded. DataError if cut.

    `upright` turns it as its EXIF orientation says, which is how a camera's pictures are shown.
    """
    picture = _open(data, name)
    if upright:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode not in MODES:
        raise DataError(
            f"{name} is no 8-bit picture", expected="RGB, RGBA, grey or palette", found=f"mode {picture.mode}"
        )
    return np.array(picture.convert("RGB"))


def decode_labels(
    data: bytes, name: str = "label map", palette: Sequence[tuple[int, int, int]] | None = None
) -> np.ndarray:
    """uint8 [H, W] of an encoded label map: palette indices or grey values, never colours or luminances.

    A colour file is inverted exactly through `palette` (colour of label 0, 1, ...), and refused without one.
    """
    picture = _open(data, name)
    if picture.mode in ("P", "L"):
        return np.array(picture)
    if picture.mode in ("1", "I;16", "I"):
        wide = np.asarray(picture).astype(np.int64)
        if wide.min(initial=0) >= 0 and wide.max(initial=0) <= 255:
            return wide.astype(np.uint8)
        found = f"values to {wide.max()}"
        raise DataError(f"{name} has a label above 255", expected="8-bit labels", found=found, hint=SAVE_NUMBERS)
    if palette is None or picture.mode not in ("RGB", "RGBA"):
        found = f"mode {picture.mode}"
        raise DataError(
            f"{name} is no label map", expected="a palette or 8-bit grey PNG", found=found, hint=SAVE_NUMBERS
        )
    return _labels_of_colours(np.asarray(picture)[:, :, :3], palette, name)


def decode_any_labels(data: bytes, name: str = "label map") -> np.ndarray:
    """As `decode_labels`; a colour file gets one label a colour, in the order of the colours' bytes.

    DataError for more than 256 colours, as anti-aliasing or lossy compression give.
    """
    picture = _open(data, name)
    if picture.mode not in ("RGB", "RGBA", "LA"):
        return decode_labels(data, name)
    pixels = np.asarray(picture.convert("RGB"))
    codes = pixels.astype(np.int64) @ np.array([65536, 256, 1])
    colours, labels = np.unique(codes, return_inverse=True)
    if len(colours) > 256:
        raise DataError(
            f"{name} is no label map", expected="one flat colour a segment, at most 256",
            found=f"{len(colours):,} colours: drawn with smooth edges, or compressed with losses?", hint=SAVE_NUMBERS,
        )  # fmt: skip
    return labels.reshape(codes.shape).astype(np.uint8)


def _labels_of_colours(colours: np.ndarray, palette: Sequence[tuple[int, int, int]], name: str) -> np.ndarray:
    codes = colours.astype(np.int64) @ np.array([65536, 256, 1])
    known = np.array(palette, np.int64) @ np.array([65536, 256, 1])
    order = np.argsort(known, kind="stable")  # of a colour given twice, the first label counts
    place = np.searchsorted(known[order], codes).clip(max=len(known) - 1)
    labels = order[place]
    wrong = known[labels] != codes
    if wrong.any():
        found = tuple(int(v) for v in colours[wrong][0])
        raise DataError(
            f"{name} has a colour that is none of its palette's", expected="an index map", found=f"RGB {found}"
        )
    return labels.astype(np.uint8)


def _open(data: bytes, name: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
            picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as wrong:
        raise DataError(
            f"{name} cannot be decoded", expected="a whole picture", found=f"{wrong} ({len(data):,} bytes)"
        ) from wrong
    return picture


def encode_image(image: np.ndarray, kind: str = "webp") -> bytes:
    """Lossless bytes of uint8 [H, W, 3]; `kind` is webp or png, else ValueError."""
    file = io.BytesIO()
    if kind not in IMAGE_FORMATS:
        raise ValueError(f"images are stored as {' or '.join(IMAGE_FORMATS)}, not '{kind}'")
    if kind == "webp":
        Image.fromarray(image).save(file, "WEBP", lossless=True, method=0, quality=20)
    else:
        Image.fromarray(image).save(file, "PNG", compress_level=6)
    return file.getvalue()


def encode_labels(mask: np.ndarray) -> bytes:
    """8-bit grey PNG of uint8 [H, W]."""
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG", compress_level=6)
    return file.getvalue()


def fit_image(image: np.ndarray, protocol: Protocol) -> np.ndarray:
    """uint8 [*protocol.size, 3]: cropped, then resized by the protocol's image filter."""
    image = _cropped(image, protocol)
    height, width = protocol.size
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    if protocol.image_filter == "bilinear-antialias":
        return _antialiased(image, height, width)
    if protocol.image_filter == "bilinear":
        return _bilinear(image, height, width)
    return _nearest(image, height, width, protocol.image_filter)


def fit_picture(image: np.ndarray, size: tuple[int, int], fit: str) -> np.ndarray:
    """uint8 [*size, 3] of a picture of any shape, resized with antialiasing.

    `fit` is crop (what its middle shows in the shape of `size`), pad (all of it, with its mean colour beside it) or
    none (it has that size; else DataError).
    """
    (height, width), (rows, columns) = size, image.shape[:2]
    if fit == "none":
        if (rows, columns) != size:
            raise DataError(
                "a picture is of another size than the model's", expected=f"{height}x{width}",
                found=f"{rows}x{columns}", hint="--fit crop, or --fit pad",
            )  # fmt: skip
        return np.ascontiguousarray(image)
    if fit == "crop":
        down, across = min(rows, round(columns * height / width)), min(columns, round(rows * width / height))
        top, left = (rows - down) // 2, (columns - across) // 2
        image = image[top : top + max(down, 1), left : left + max(across, 1)]
    else:
        down, across = max(rows, round(columns * height / width)), max(columns, round(rows * width / height))
        whole = np.empty((down, across, 3), np.uint8)
        whole[:] = np.rint(image.mean(axis=(0, 1)))
        top, left = (down - rows) // 2, (across - columns) // 2
        whole[top : top + rows, left : left + columns] = image
        image = whole
    return _antialiased(image, height, width)


def fit_mask(mask: np.ndarray, protocol: Protocol) -> np.ndarray:
    """uint8 [*protocol.size]: cropped, then resized by the protocol's nearest-neighbour rule."""
    return _nearest(_cropped(mask, protocol), *protocol.size, protocol.mask_filter)


def resize_labels(mask: np.ndarray, size: tuple[int, int], rule: str) -> np.ndarray:
    """The label map, uint8 [H, W], at another size by nearest-centre or nearest-floor."""
    return _nearest(mask, *size, rule)


def object_count(mask: np.ndarray) -> int:
    """How many labels above 0 a label map, uint8 [H, W], has."""
    return sum(map(bool, Image.fromarray(mask).histogram()[1:]))


def _cropped(array: np.ndarray, protocol: Protocol) -> np.ndarray:
    if protocol.crop is None:
        return array
    top, left, side = protocol.crop
    if top + side > array.shape[0] or left + side > array.shape[1]:
        raise DataError(
            "the picture is smaller than the protocol's crop",
            expected=f"at least {top + side}x{left + side} (crop {side} at {top}, {left})",
            found=f"{array.shape[0]}x{array.shape[1]}",
        )
    return array[top : top + side, left : left + side]


def _antialiased(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pillow's BILINEAR, a triangle as wide as the scale."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize((width, height), Image.Resampling.BILINEAR))


def _nearest(array: np.ndarray, height: int, width: int, rule: str) -> np.ndarray:
    """Rows and columns taken at floor(i s) or, for the centre rule, floor((i + 1/2) s); s = source / target."""
    shift = 0 if rule == "nearest-floor" else 1
    rows = (2 * np.arange(height) + shift) * array.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + shift) * array.shape[1] // (2 * width)
    return np.ascontiguousarray(array[rows][:, columns])


def _bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear without antialiasing, half-pixel centres, rounded half to even."""

    def weights(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        place = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
        low = np.floor(place).astype(int)
        return low, np.minimum(low + 1, source - 1), (place - low).astype(np.float32)

    top, bottom, down = weights(image.shape[0], height)
    left, right, across = weights(image.shape[1], width)
    rows = image[top] * (1 - down)[:, None, None] + image[bottom] * down[:, None, None]
    full = rows[:, left] * (1 - across)[None, :, None] + rows[:, right] * across[None, :, None]
    return np.rint(full).clip(0, 255).astype(np.uint8)
