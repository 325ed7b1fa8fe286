"""ShapeStacks: the message for each way in which a source goes bad."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shapestacks_sources as sources
from PIL import Image

from ocbench import prepare
from ocbench.datasets.shapestacks import DATASET, parts, read
from ocbench.errors import DataError, UnknownNameError
from ocbench.jobs import Options, plan

FIRST, SECOND = sources.SCENARIOS[:2]
LISTS = {"default/train": (FIRST, SECOND), "default/test": (SECOND,)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenarios with all their cameras."""
    return sources.write_tree(tmp_path_factory.mktemp("whole"), cameras=sources.ALL_CAMERAS, lists=LISTS)


@pytest.fixture
def tree(whole: Path, tmp_path: Path) -> Path:
    """The same, to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "raw"))


def map_file(tree: Path, scenario: str = SECOND, camera: int = 2) -> Path:
    return tree / "iseg" / scenario / sources.map_name(camera)


def image_file(tree: Path, scenario: str = SECOND, camera: int = 2) -> Path:
    return tree / "recordings" / scenario / sources.image_name(scenario, camera)


def fault(root: Path, partial: bool = False) -> DataError:
    with pytest.raises(DataError) as caught:
        parts(str(root), partial=partial)
    return caught.value


def test_nothing_there_says_what_to_fetch(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "missing"):
        error = fault(root)
        assert error.message == f"no raw ShapeStacks in '{root}'"
        assert "recordings/ (or shapestacks-rgb.tar.gz)" in (error.expected or "")
        for name in ("shapestacks-meta.tar.gz", "shapestacks-rgb.tar.gz", "shapestacks-iseg.tar.gz", "--download"):
            assert name in (error.hint or "")
    with pytest.raises(UnknownNameError, match="no part of shapestacks named 'default-trian'"):
        read(str(tmp_path), "default-trian", 0, 1)


@pytest.mark.parametrize("packed", [False, True])
def test_missing_instance_maps_are_noticed_before_the_start(tree: Path, tmp_path: Path, packed: bool) -> None:
    """Who follows GENESIS has all but these."""
    source = tree
    if packed:
        source = tmp_path / "packed"
        sources.write_archives(tree, source)["iseg"].unlink()
    else:
        shutil.rmtree(tree / "iseg")
    error = fault(source, partial=True)
    assert error.message == f"the ShapeStacks in '{source}' lacks iseg"
    assert "place shapestacks-iseg.tar.gz there (no need to unpack), or: ocbench prepare" in (error.hint or "")
    assert "an archive of their own" in (error.hint or "")


def test_all_faults_come_in_one_error_and_are_passed_over_only_with_partial(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(tree / "recordings" / FIRST)
    shutil.rmtree(tree / "iseg" / FIRST)
    map_file(tree, camera=2).unlink()
    image_file(tree, camera=10).unlink()
    error = fault(tree)
    assert error.message == f"the raw ShapeStacks in '{tree}' is not whole"
    for line in (
        f"default-train: 1 scenarios that are not there: {FIRST}",
        f"default-train: 1 views without an image (rgb-….png): {SECOND}/cam_10",
        f"default-train: 1 views without a map (.map): {SECOND}/cam_2",
        f"default-test: 1 views without a map (.map): {SECOND}/cam_2",
    ):
        assert line in (error.found or "")
    assert "--partial" in (error.hint or "")
    assert parts(str(tree), partial=True)["default-train"].scenes == 32
    assert f"default-train: 1 scenarios that are not there: {FIRST}" in caplog.text
    there = [scene.index for scene in read(str(tree), "default-train", 0, 32)]
    assert there == [index for index in range(16, 32) if index not in (16 + 1, 16 + 9)]


def test_with_partial_a_part_ends_with_its_last_whole_view_and_one_without_any_is_left_out(tree: Path) -> None:
    shutil.rmtree(tree / "recordings" / SECOND)
    image_file(tree, FIRST, 16).unlink()
    found = parts(str(tree), partial=True)
    assert {name: part.scenes for name, part in found.items()} == {"default-train": 15}


def test_a_missing_map_in_an_archive_is_named_before_the_pass_over_the_images(tree: Path, tmp_path: Path) -> None:
    map_file(tree).unlink()
    sources.write_archives(tree, tmp_path / "packed")
    assert f"1 views without a map (.map): {SECOND}/cam_2" in (fault(tmp_path / "packed").found or "")


def test_a_missing_image_in_an_archive_is_noticed_in_the_pass(tree: Path, tmp_path: Path) -> None:
    image_file(tree).unlink()
    sources.write_archives(tree, tmp_path / "packed")
    raw = str(tmp_path / "packed")
    found = plan(DATASET, DATASET.protocol(), str(tmp_path), raw=raw, splits=["train"], options=Options())
    with pytest.raises(DataError, match="the source has 31 of the 32 scenes 0 to 31 of 'default-train'"):
        prepare.prepare(found)


def coloured(path: Path) -> None:
    array = np.array(Image.open(path))
    array[0, 0] = (32, 64, 32, 255)
    path.write_bytes(sources.png(array))


def valued(value: int) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        array = np.array(Image.open(path))
        array[0, 0, :3] = value
        path.write_bytes(sources.png(array))

    return change


def sized(path: Path) -> None:
    path.write_bytes(sources.map_png(np.zeros((223, 224), np.uint8)))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(
    ("file", "damage", "message", "found"),
    [
        (map_file, valued(33), "has values between labels", "values 33"),
        (map_file, coloured, "is no instance map: its colours differ", "RGB (32, 64, 32)"),
        (map_file, valued(7 * 32), "has a label above the height of its stack", "label 7"),
        (map_file, sized, "has a wrong size", "224x223"),
        (map_file, cut, "cannot be decoded", "bytes"),
        (image_file, sized, "has a wrong size", "224x223"),
        (image_file, cut, "cannot be decoded", "bytes"),
    ],
)
def test_a_bad_file_is_named(
    tree: Path, tmp_path: Path, file: Callable, damage: Callable, message: str, found: str
) -> None:
    damage(file(tree))
    sources.write_archives(tree, tmp_path / "packed")
    for root in (tree, tmp_path / "packed"):
        with pytest.raises(DataError, match=message) as caught:
            list(read(str(root), "default-train", 0, 32))
        assert f"{SECOND}/{file(tree).name}" in caught.value.message
        assert str(root) in caught.value.message
        assert found in (caught.value.found or "")


def test_the_height_in_the_name_is_what_labels_are_checked_against(tree: Path) -> None:
    valued(3 * 32)(map_file(tree, FIRST, 1))  # a third shape in a stack of two
    with pytest.raises(DataError, match="above the height of its stack") as caught:
        next(read(str(tree), "default-train", 0, 1))
    assert caught.value.expected == "labels 0..2"


@pytest.mark.parametrize("packed", [False, True])
def test_a_split_without_any_foreground_is_refused(tree: Path, tmp_path: Path, packed: bool) -> None:
    """As when every label was truncated to 0."""
    for path in tree.glob("iseg/*/*.map"):
        path.write_bytes(sources.map_png(np.zeros((224, 224), np.uint8)))
    source = tree
    if packed:
        source = tmp_path / "packed"
        sources.write_archives(tree, source)
    with pytest.raises(DataError, match=r"not one of 32 scenes of 'default-train' .* has any foreground"):
        list(read(str(source), "default-train", 0, 32))
    map_file(tree).write_bytes(sources.map_png(sources.drawn_view(SECOND, 2)[1]))
    assert len(list(read(str(tree), "default-train", 0, 32))) == 32


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{FIRST}\nlog.txt\n", "line 2 of the split list '.*train.txt' is no scenario"),
        (f"{FIRST}\n../../{FIRST}\n", "line 2 of the split list '.*train.txt' is no scenario"),
        (f"{FIRST.replace('h=2', 'h=7')}\n", "line 1 of the split list '.*train.txt' is no scenario"),
        (f"{FIRST}\n{SECOND}\n{FIRST}\n", "line 3 of the split list '.*train.txt' is there twice"),
        ("\n", "the split list '.*train.txt' is empty"),
    ],
)
def test_a_bad_list_is_named(tree: Path, text: str, message: str) -> None:
    (tree / "splits" / "default" / "train.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        parts(str(tree))


def test_splits_without_any_list_are_refused(tree: Path) -> None:
    shutil.rmtree(tree / "splits" / "default")
    assert "no split list" in fault(tree).message
    with pytest.raises(DataError, match="no split list 'default-train'"):
        list(read(str(tree), "default-train", 0, 1))


@pytest.mark.parametrize("packed", [False, True])
def test_two_files_of_one_view_are_refused(tree: Path, tmp_path: Path, packed: bool) -> None:
    other = image_file(tree).with_name("rgb-w=5-f=0-l=0-c=original-cam_2-mono-0.png")
    shutil.copy(image_file(tree), other)
    source = tree
    if packed:
        source = tmp_path / "packed"
        sources.write_archives(tree, source)
    assert f"the view '{SECOND}/cam_2' is there twice" in fault(source, partial=True).message
    with pytest.raises(DataError, match="is there twice"):
        list(read(str(source), "default-train", 0, 32))


def test_bad_archives_are_named_at_once(whole: Path, tmp_path: Path) -> None:
    archives = sources.write_archives(whole, tmp_path)
    images, data = archives["rgb"], archives["rgb"].read_bytes()
    shutil.copy(archives["iseg"], images)
    assert f"no file of ShapeStacks' recordings among the first 64 of '{images}'" in fault(tmp_path).message
    images.write_bytes(b"<html>404</html>")
    assert "is a web page" in fault(tmp_path).message
    images.write_bytes(data[: len(data) // 2])
    assert parts(str(tmp_path))["default-train"].scenes is None
    with pytest.raises(DataError, match="ends early") as caught:
        list(read(str(tmp_path), "default-train", 0, 32))
    assert str(images) in caught.value.message
    maps = archives["iseg"]
    maps.write_bytes(maps.read_bytes()[:-9])
    assert f"archive '{maps}' ends early" in fault(tmp_path).message


def test_a_huge_member_is_not_read(tree: Path, tmp_path: Path) -> None:
    with open(image_file(tree), "ab") as file:
        file.truncate(9 << 20)
    sources.write_archives(tree, tmp_path / "packed")
    with pytest.raises(DataError, match="is too large") as caught:
        list(read(str(tmp_path / "packed"), "default-train", 0, 32))
    assert caught.value.found == f"{9 << 20:,}"
