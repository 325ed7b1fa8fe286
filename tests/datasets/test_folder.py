"""A folder of the user's own pictures: what pairs with what, in which order and split, and each refusal."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from ocbench.datasets.folder import DATASET, parts, read
from ocbench.errors import DataError, UnknownNameError
from ocbench.imaging import encode_image, encode_labels

SIDE = 20


def drawn(index: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [20, 20, 3] and uint8 [20, 20] with 1 + index % 3 squares."""
    random = np.random.default_rng([20, index])
    image, mask = random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    for label in range(1, 2 + index % 3):
        mask[5 * label : 5 * label + 4, 2:18] = label
    return image, mask


def write(
    root: Path,
    names: Sequence[str] = ("img0",),
    folders: tuple[str, str] = ("images", "masks"),
    mask_name: Callable[[str], str] = str,
) -> Path:
    """Pictures of these stems; `mask_name` turns an image's stem into its mask's."""
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        image, mask = drawn(index)
        (root / folders[0] / f"{name}.png").write_bytes(encode_image(image, "png"))
        (root / folders[1] / f"{mask_name(name)}.png").write_bytes(encode_labels(mask))
    return root


def numbered(count: int) -> list[str]:
    return [f"img{number}" for number in range(count)]


def fault(root: Path, partial: bool = False) -> DataError:
    with pytest.raises(DataError) as caught:
        parts(str(root), partial=partial)
    return caught.value


def counts(root: Path | str) -> dict[str, int | None]:
    return {name: part.scenes for name, part in parts(str(root)).items()}


@pytest.mark.parametrize(
    ("count", "expected"),
    [(30, {"test": 3, "val": 3, "train": 24}), (19, {"test": 1, "val": 1, "train": 17}), (9, {"train": 9})],
)
def test_one_folder_is_cut_into_test_val_and_train_from_the_front(tmp_path: Path, count: int, expected: dict) -> None:
    write(tmp_path, numbered(count))
    assert counts(tmp_path) == expected
    assert all(part.seekable for part in parts(str(tmp_path)).values())
    found = [scene for part in ("test", "val", "train") for scene in read(str(tmp_path), part, 0, count)]
    assert [scene.meta["image"] for scene in found] == [f"{name}.png" for name in numbered(count)]  # 2 before 10
    for index, scene in enumerate(found):
        image, mask = drawn(index)
        assert np.array_equal(scene.image, image)
        assert np.array_equal(scene.mask, mask)


def test_a_range_is_of_the_part(tmp_path: Path) -> None:
    write(tmp_path, numbered(30))
    assert [scene.key for scene in read(str(tmp_path), "val", 1, 3)] == [
        "folder-val-img4-000001",
        "folder-val-img5-000002",
    ]
    assert [scene.meta["image"] for scene in read(str(tmp_path), "train", 22, 99)] == ["img28.png", "img29.png"]


def test_a_folder_for_each_split_is_taken_whole(tmp_path: Path) -> None:
    write(tmp_path / "train", numbered(12))
    write(tmp_path / "test", numbered(3))
    assert counts(tmp_path) == {"train": 12, "test": 3}
    assert len(list(read(f"{tmp_path}/", "test", 0, 3))) == 3
    with pytest.raises(DataError, match="no folder 'val' in"):
        list(read(str(tmp_path), "val", 0, 1))
    with pytest.raises(UnknownNameError, match="no part of folder named 'all'"):
        list(read(str(tmp_path), "all", 0, 1))


@pytest.mark.parametrize("folders", [("images", "masks"), ("image", "mask"), ("input", "GT_masks")])
def test_folders_have_one_of_three_pairs_of_names(tmp_path: Path, folders: tuple[str, str]) -> None:
    write(tmp_path, numbered(4), folders)
    assert counts(tmp_path) == {"train": 4}


def test_where_no_name_is_shared_the_number_at_the_end_pairs(tmp_path: Path) -> None:
    names = [f"objects_room_input_{number:07d}" for number in (3, 20, 100)]
    write(tmp_path, names, ("input", "GT_masks"), lambda name: f"objects_room_GT_mask_{int(name[-7:])}")
    scenes = list(read(str(tmp_path), "train", 0, 9))
    assert [scene.meta["mask"] for scene in scenes] == [f"objects_room_GT_mask_{n}.png" for n in (3, 20, 100)]
    assert all(np.array_equal(scene.mask, drawn(index)[1]) for index, scene in enumerate(scenes))


def test_where_a_name_is_shared_numbers_do_not_pair(tmp_path: Path) -> None:
    write(tmp_path, ["a1", "b2"])
    (tmp_path / "masks" / "b2.png").rename(tmp_path / "masks" / "c2.png")
    error = fault(tmp_path)
    assert "1 images without a mask: b2.png" in (error.found or "")
    assert "1 masks without an image: c2.png" in (error.found or "")
    assert "--partial" in (error.hint or "")
    assert parts(str(tmp_path), partial=True)["train"].scenes == 1
    assert [scene.meta["image"] for scene in read(str(tmp_path), "train", 0, 9)] == ["a1.png"]


def test_numbers_that_two_files_end_in_pair_with_none(tmp_path: Path) -> None:
    write(tmp_path, ["in_1", "in_2"], mask_name=lambda name: name.replace("in", "out"))
    for folder, name in (("masks", "old_2.png"), ("images", "old_01.png")):
        (tmp_path / folder / name).write_bytes(encode_labels(drawn(0)[1]))
    error = fault(tmp_path)
    assert "2 images that claim one mask: in_1.png, old_01.png" in (error.found or "")
    assert "2 masks that claim one image: old_2.png, out_2.png" in (error.found or "")
    (tmp_path / "images" / "old_01.png").unlink()
    assert [scene.meta["image"] for scene in read(str(tmp_path), "train", 0, 9)] == ["in_1.png"]


def test_keys_are_made_of_names_of_any_kind(tmp_path: Path) -> None:
    names = ["Foto 3. Größe", "x" * 120, "-a_b-7"]
    write(tmp_path, names)
    keys = [scene.key for scene in read(str(tmp_path), "train", 0, 9)]
    assert keys == ["folder-train--a_b-7-000000", "folder-train-Foto_3_Gr_e-000001", f"folder-train-{'x' * 60}-000002"]
    assert max(map(len, keys)) <= 84


def test_hidden_files_and_other_endings_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, numbered(2))
    for name in ("._img0.png", "Thumbs.db", "img9.jpg"):
        (tmp_path / "images" / name).write_bytes(b"x")
    (tmp_path / "masks" / "img1.png").rename(tmp_path / "masks" / "img1.PNG")
    assert counts(tmp_path) == {"train": 2}


def test_a_source_may_be_remote(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(write(tmp_path / "mine", numbered(20))), "/ocbench-mine", recursive=True)
    assert counts("memory://ocbench-mine") == {"test": 2, "val": 2, "train": 16}
    assert next(read("memory://ocbench-mine", "val", 1, 2)).key == "folder-val-img3-000001"
    memory.rm("/ocbench-mine", recursive=True)


def save_mask(root: Path, picture: Image.Image) -> None:
    picture.save(root / "masks" / "img0.png")


@pytest.mark.parametrize("mode", ["L", "P", "I;16", "1"])
def test_masks_are_grey_values_or_palette_indices(tmp_path: Path, mode: str) -> None:
    write(tmp_path)
    mask = drawn(0)[1]  # labels 0 and 1
    picture = Image.fromarray(mask.astype(np.uint16)) if mode == "I;16" else Image.fromarray(mask)
    if mode == "P":
        picture.putpalette([0, 0, 0, 255, 0, 0])
    if mode == "1":
        picture = Image.fromarray(mask > 0)
    assert picture.mode == mode
    save_mask(tmp_path, picture)
    assert np.array_equal(next(read(str(tmp_path), "train", 0, 1)).mask, mask)


@pytest.mark.parametrize(
    ("damage", "message", "found", "hint"),
    [
        (lambda root: save_mask(root, Image.new("RGB", (20, 20))), "is no label map", "mode RGB", "one byte"),
        (lambda root: save_mask(root, Image.new("I;16", (20, 20), 256)), "above 255", "256", "one byte"),
        (lambda root: save_mask(root, Image.new("L", (20, 19))), "another size than its picture", "20x19", ""),
        (lambda root: (root / "masks" / "img0.png").write_bytes(b""), "cannot be decoded", "0 bytes", ""),
        (lambda root: (root / "images" / "img0.png").write_bytes(b"PNG"), "cannot be decoded", "3 bytes", ""),
        (
            lambda root: Image.new("RGB", (32, 20)).save(root / "images" / "img0.png"),
            "is not square", "32x20", "crop or pad pictures and masks",
        ),
    ],
)  # fmt: skip
def test_a_bad_file_is_named(tmp_path: Path, damage: Callable, message: str, found: str, hint: str) -> None:
    damage(write(tmp_path))
    with pytest.raises(DataError, match=message) as caught:
        list(read(str(tmp_path), "train", 0, 1))
    assert "img0.png" in caught.value.message
    assert found in (caught.value.found or "")
    assert hint in (caught.value.hint or "")


def test_nothing_there_says_what_to_put_where(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "missing"):
        error = fault(root)
        assert error.message == f"no folders of images and masks in '{root}'"
        assert "images/NAME.png and masks/NAME.png" in (error.expected or "")
    (tmp_path / "images").mkdir()
    assert fault(tmp_path).found == "the folders images"
    (tmp_path / "masks").mkdir()
    assert fault(tmp_path).message == f"no PNG in '{tmp_path}/images'"


def test_pictures_beside_folders_of_splits_are_ambiguous(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path / "test")
    assert "holds pictures of its own beside the folders test" in fault(tmp_path).message


def test_prepare_makes_shards_of_them(ocbench: Callable, tmp_path: Path) -> None:
    """From the command line, under each protocol; a label above K is refused with the ids that are there."""
    raw = write(tmp_path / "mine", numbered(20))
    mask = drawn(0)[1]
    mask[0, 0] = 32
    (raw / "masks" / "img7.png").write_bytes(encode_labels(mask))
    ended = ocbench("prepare", "folder", "--raw", raw, "--executor", "local:1")
    assert ended.code == 5
    assert "ids 0..10" in ended.err
    ended = ocbench("prepare", "folder", "--raw", raw, "--executor", "local:1", "--protocol", "128-k32")
    assert ended.code == 0, ended.err
    manifest = json.loads((tmp_path / "data/shards/folder/128-k32/train/manifest.json").read_text())
    assert manifest["max_objects"] == 32
    assert len(manifest["shards"][0]["keys"]) == 16
    assert [protocol.size for protocol in DATASET.protocols] == [(128, 128), (64, 64), (128, 128)]


def damaged(root: Path, number: int, place: float, change: int) -> None:
    files = sorted(path for path in root.rglob("*.png"))
    path = files[number % len(files)]
    whole = path.read_bytes()
    at = int(place * len(whole))
    path.write_bytes(whole[:at] if change == 0 else whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :])
    try:
        with suppress(DataError):
            for scene in read(str(root), "train", 0, 9):
                assert scene.mask.shape == scene.image.shape[:2]
    finally:
        path.write_bytes(whole)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("small"), numbered(3))


DAMAGE = {
    "number": some.integers(0, 5), "place": some.floats(0, 1, exclude_max=True), "change": some.integers(0, 255),
}  # fmt: skip


@settings(max_examples=100)
@given(**DAMAGE)
def test_any_damage_reads_or_ends_in_a_data_error(small: Path, **damage) -> None:
    damaged(small, **damage)


@pytest.mark.slow
@settings(max_examples=2000)
@given(**DAMAGE)
def test_two_thousand_damages_read_or_end_in_a_data_error(small: Path, **damage) -> None:
    damaged(small, **damage)
