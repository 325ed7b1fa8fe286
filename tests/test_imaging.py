"""Pixels: what is decoded and refused, what a round trip keeps, and the arithmetic of the resize rules."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from ocbench import imaging
from ocbench.errors import DataError
from ocbench.scene import Protocol

COLOURS = ((0, 0, 0), (255, 0, 0), (0, 128, 0), (0, 0, 255))
CENTRE = Protocol("p", 1, (128, 128), 10, splits=())
FLOOR = replace(CENTRE, image_filter="nearest-floor", mask_filter="nearest-floor")


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def image(random: np.random.Generator) -> np.ndarray:
    return random.integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.fixture
def mask(random: np.random.Generator) -> np.ndarray:
    return random.integers(0, 4, (5, 7), dtype=np.uint8)


def indexed(mask: np.ndarray, entries: int = 4) -> Image.Image:
    picture = Image.fromarray(mask).copy()
    picture.putpalette([value for colour in COLOURS * 64 for value in colour][: 3 * entries])
    return picture


# Decoding


def test_images_come_as_rgb_from_every_mode(image: np.ndarray, mask: np.ndarray) -> None:
    alpha = np.dstack([image, np.full(image.shape[:2], 7, np.uint8)])
    assert np.array_equal(imaging.decode_image(encoded(Image.fromarray(image))), image)
    assert np.array_equal(imaging.decode_image(encoded(Image.fromarray(alpha))), image)
    grey = imaging.decode_image(encoded(Image.fromarray(image[:, :, 0])))
    assert np.array_equal(grey, np.repeat(image[:, :, :1], 3, axis=2))
    assert np.array_equal(imaging.decode_image(encoded(indexed(mask))), np.array(COLOURS, np.uint8)[mask])
    assert imaging.decode_image(encoded(indexed(mask), transparency=1)).shape == (5, 7, 3)


@pytest.mark.parametrize("entries", [4, 56, 256])
def test_label_maps_are_the_indices_of_a_palette_or_the_grey_values(mask: np.ndarray, entries: int) -> None:
    assert np.array_equal(imaging.decode_labels(encoded(indexed(mask, entries))), mask)
    assert np.array_equal(imaging.decode_labels(encoded(Image.fromarray(mask))), mask)
    wide = Image.fromarray(mask.astype(np.uint16))
    assert np.array_equal(imaging.decode_labels(encoded(wide)), mask)
    assert np.array_equal(imaging.decode_labels(encoded(Image.fromarray(mask > 1))), mask > 1)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_are_inverted_exactly_through_a_palette(mask: np.ndarray, mode: str) -> None:
    coloured = indexed(mask).convert(mode)
    assert np.array_equal(imaging.decode_labels(encoded(coloured), palette=COLOURS), mask)
    with pytest.raises(DataError, match=r"flat is no label map\n.*palette or 8-bit grey"):
        imaging.decode_labels(encoded(coloured), "flat")
    coloured.putpixel((3, 2), (1, 2, 3))
    with pytest.raises(DataError, match=r"none of its palette's\n.*\n.*RGB \(1, 2, 3\)"):
        imaging.decode_labels(encoded(coloured), palette=COLOURS)


def test_what_has_more_than_eight_bits_is_refused(mask: np.ndarray) -> None:
    deep = encoded(Image.fromarray(np.full((5, 7), 256, np.uint16)))
    with pytest.raises(DataError, match=r"label above 255\n.*\n.*256"):
        imaging.decode_labels(deep)
    with pytest.raises(DataError, match="no 8-bit picture"):
        imaging.decode_image(deep)
    with pytest.raises(DataError, match="no label map"):
        imaging.decode_labels(encoded(Image.fromarray(mask).convert("LA")))


@pytest.mark.parametrize(("kind", "checks"), [("png", 20), ("webp", 0)])
def test_every_cut_that_loses_a_pixel_is_noticed(image: np.ndarray, kind: str, checks: int) -> None:
    """At the end of a PNG there are only checksums and an end mark, 20 bytes."""
    whole = imaging.encode_image(image, kind)
    for cut in range(len(whole) - checks):
        with pytest.raises(DataError, match=r"picture 3 cannot be decoded\n.*whole picture"):
            imaging.decode_image(whole[:cut], "picture 3")


@pytest.mark.parametrize("data", [b"", b"not a picture", b"<html>404</html>", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    for decode in (imaging.decode_image, imaging.decode_labels):
        with pytest.raises(DataError, match="cannot be decoded"):
            decode(data)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be enormous."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_a_bomb_is_refused_before_memory_is_taken(side: int) -> None:
    with pytest.raises(DataError, match=r"cannot be decoded\n.*\n.*exceeds limit"):
        imaging.decode_image(bomb(side, side))


@given(st.data())
@settings(max_examples=150)
def test_damaged_pictures_decode_or_are_data_errors(data: st.DataObject) -> None:
    picture = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    labels = encoded(indexed(picture[:, :, 0] % 4))
    whole = bytearray(
        data.draw(st.sampled_from([imaging.encode_image(picture), encoded(Image.fromarray(picture)), labels]))
    )
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        whole[place] = data.draw(st.integers(0, 255))
    for decode in (imaging.decode_image, imaging.decode_labels):
        try:
            found = decode(bytes(whole))
        except DataError:
            continue
        assert found.dtype == np.uint8


# Encoding


@pytest.mark.parametrize("kind", imaging.IMAGE_FORMATS)
def test_images_survive_bit_for_bit_and_always_give_the_same_bytes(random: np.random.Generator, kind: str) -> None:
    for size in ((1, 1), (16, 16), (31, 57)):
        image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
        data = imaging.encode_image(image, kind)
        assert np.array_equal(imaging.decode_image(data), image)
        assert imaging.encode_image(image.copy(), kind) == data


def test_label_maps_survive_bit_for_bit(random: np.random.Generator) -> None:
    mask = random.integers(0, 256, (31, 57), dtype=np.uint8)
    assert np.array_equal(imaging.decode_labels(imaging.encode_labels(mask)), mask)


def test_there_is_no_lossy_format(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="webp or png, not 'jpeg'"):
        imaging.encode_image(image, "jpeg")


# Resizing


@pytest.mark.parametrize(
    ("source", "target", "floor", "centre"),
    [
        (192, 128, [0, 1, 3, 4, 6, 7, 9, 10, 12, 13], [0, 2, 3, 5, 6, 8, 9, 11, 12, 14]),
        (196, 64, [0, 3, 6, 9, 12, 15, 18, 21, 24, 27], [1, 4, 7, 10, 13, 16, 19, 22, 26, 29]),
    ],
)
def test_nearest_neighbours_are_those_of_the_published_tables(
    source: int, target: int, floor: list[int], centre: list[int]
) -> None:
    rows = np.repeat(np.arange(source, dtype=np.uint8)[:, None], source, axis=1)
    for protocol, expected in ((FLOOR, floor), (CENTRE, centre)):
        protocol = replace(protocol, size=(target, target))
        assert imaging.fit_mask(rows, protocol)[:10, 0].tolist() == expected
        assert imaging.fit_mask(rows.T, protocol)[0, :10].tolist() == expected


@pytest.mark.parametrize(
    ("height", "width", "size"), [(192, 192, (128, 128)), (196, 196, (64, 64)), (24, 31, (50, 17))]
)
def test_the_centre_rule_and_the_antialiased_filter_are_pillows(
    random: np.random.Generator, height: int, width: int, size: tuple[int, int]
) -> None:
    image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    protocol = replace(CENTRE, size=size)
    box = size[::-1]
    nearest = Image.fromarray(image[:, :, 0]).resize(box, Image.Resampling.NEAREST)
    assert np.array_equal(imaging.fit_mask(image[:, :, 0], protocol), np.asarray(nearest))
    bilinear = Image.fromarray(image).resize(box, Image.Resampling.BILINEAR)
    assert np.array_equal(imaging.fit_image(image, protocol), np.asarray(bilinear))


def test_bilinear_without_antialias_is_torchs(random: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    image = random.integers(0, 256, (192, 192, 3), dtype=np.uint8)
    ours = imaging.fit_image(image, replace(CENTRE, image_filter="bilinear"))
    floats = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float64))
    theirs = torch.nn.functional.interpolate(floats, (128, 128), mode="bilinear", align_corners=False)[0]
    assert np.array_equal(ours, np.rint(theirs.numpy()).astype(np.uint8).transpose(1, 2, 0))


def test_the_crop_comes_first_and_nothing_outside_it_is_read(random: np.random.Generator) -> None:
    inside = random.integers(0, 256, (192, 192, 3), dtype=np.uint8)
    for beyond in (0, 255):
        image = np.full((240, 320, 3), beyond, np.uint8)
        image[24:216, 64:256] = inside
        for image_filter in ("bilinear-antialias", "bilinear", "nearest-floor", "nearest-centre"):
            whole = replace(CENTRE, image_filter=image_filter)
            fitted = imaging.fit_image(image, replace(whole, crop=(24, 64, 192)))
            assert np.array_equal(fitted, imaging.fit_image(inside, whole))


def test_a_picture_of_the_right_size_is_left_as_it_is(random: np.random.Generator) -> None:
    image = random.integers(0, 256, (128, 128, 3), dtype=np.uint8)
    for protocol in (CENTRE, replace(CENTRE, image_filter="bilinear"), FLOOR):
        assert np.array_equal(imaging.fit_image(image, protocol), image)
        assert np.array_equal(imaging.fit_mask(image[:, :, 0], protocol), image[:, :, 0])


@pytest.mark.parametrize("shape", [(215, 320, 3), (240, 255, 3)])
def test_a_picture_smaller_than_the_crop_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=rf"at least 216x256 \(crop 192 at 24, 64\)\n.*{shape[0]}x{shape[1]}"):
        imaging.fit_image(np.zeros(shape, np.uint8), replace(CENTRE, crop=(24, 64, 192)))


@given(arrays(np.uint8, (6, 7)))
def test_objects_are_the_labels_above_zero(mask: np.ndarray) -> None:
    assert imaging.object_count(mask) == len({*mask.ravel().tolist()} - {0})


@pytest.mark.parametrize(("rows", "columns"), [(60, 90), (90, 60), (7, 200), (64, 64), (1, 1), (129, 128)])
@pytest.mark.parametrize("size", [(64, 64), (32, 64)])
def test_a_picture_of_any_shape_is_fitted(rows, columns, size):
    picture = np.zeros((rows, columns, 3), np.uint8)
    picture[:, columns // 2 :] = 200
    for fit in ("crop", "pad"):
        found = imaging.fit_picture(picture, size, fit)
        assert (found.shape, found.dtype) == ((*size, 3), np.uint8)


def test_the_middle_is_cropped_and_the_mean_is_padded():
    picture = np.zeros((40, 80, 3), np.uint8)
    picture[:, 20:60] = 100
    assert (imaging.fit_picture(picture, (40, 40), "crop") == 100).all()
    padded = imaging.fit_picture(picture, (80, 80), "pad")
    assert (padded[:20] == 50).all()
    assert (padded[60:] == 50).all()
    assert np.array_equal(padded[20:60], picture)
    assert np.array_equal(imaging.fit_picture(picture, (40, 80), "none"), picture)
    with pytest.raises(DataError, match="of another size"):
        imaging.fit_picture(picture, (40, 40), "none")
