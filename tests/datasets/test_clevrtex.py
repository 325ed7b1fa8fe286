"""CLEVRTEX: pixels, keys and facts from trees and archives; and the message for each way in which a source goes bad."""

from __future__ import annotations

import json
import random as shuffling
import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest
import sources
from PIL import Image

from ocbench import imaging
from ocbench.datasets import clevrtex, clevrtex_inventory
from ocbench.datasets.clevrtex import DATASET, parts, read
from ocbench.errors import DataError, UnknownNameError

COUNT = 12  # scenes of the shared tree, in folders of five


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole `camo` of twelve scenes (see `small`), never changed."""
    root = tmp_path_factory.mktemp("clevrtex")
    sources.write_clevrtex(root, "camo", COUNT, folder_size=5)
    return root


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The public distribution has twelve scenes of camo and ten of outd."""
    monkeypatch.setitem(clevrtex_inventory.SCENES, "camo", COUNT)
    monkeypatch.setitem(clevrtex_inventory.SCENES, "outd", 10)


@pytest.fixture
def copy(source: Path, tmp_path: Path) -> Path:
    """The tree, to be damaged."""
    return Path(shutil.copytree(source / "clevrtex_camo", tmp_path / "raw" / "clevrtex_camo")).parent


def file(root: Path, index: int, ending: str = ".png") -> Path:
    return next(root.rglob(f"CLEVRTEX_*_{index:06d}{ending}"))


def fault(root: Path, partial: bool = False) -> DataError:
    with pytest.raises(DataError) as caught:
        parts(str(root), partial=partial)
    return caught.value


# what is read


def test_scenes_are_the_pixels_ids_and_facts_of_the_files(source: Path) -> None:
    assert parts(str(source))["camo"].scenes == COUNT
    scenes = list(read(str(source), "camo", 0, COUNT))
    assert [scene.key for scene in scenes] == [f"clevrtex-camo-{index:06d}" for index in range(COUNT)]
    for index, scene in enumerate(scenes):
        image, mask = sources.drawn_scene(index)
        assert np.array_equal(scene.image, image)
        assert np.array_equal(scene.mask, mask)
        assert scene.mask.dtype == np.uint8
        assert scene.meta["num_objects"] == 3 + index % 8
        assert scene.meta["variant"] == "camo"
        assert json.loads(json.dumps(scene.meta)) == scene.meta
    assert [scene.key[-2:] for scene in read(str(source), "camo", 4, 7)] == ["04", "05", "06"]


def test_the_misnamed_material_is_corrected_beside_the_published_name(source: Path) -> None:
    objects = [entry for scene in read(str(source), "camo", 0, 4) for entry in scene.meta["objects"]]
    wrong = [entry for entry in objects if "brightangle" in entry["material"]]
    assert wrong
    assert {entry["material_corrected"] for entry in wrong} == {"poliigonfabricupholsterymidcenturypebbles001"}
    assert all("material_corrected" not in entry for entry in objects if entry not in wrong)
    ground = next(read(str(source), "camo", 1, 2)).meta
    assert ground["ground_material"] == "poliigonfabricupholsterybrightanglepattern001"
    assert ground["ground_material_corrected"] == "poliigonfabricupholsterymidcenturypebbles001"


def test_objects_keep_what_the_protocol_says(source: Path, tmp_path: Path) -> None:
    entry = next(read(str(source), "camo", 0, 1)).meta["objects"][0]
    assert list(entry)[:6] == ["label", "shape", "size", "rotation", "pixel_coords", "material"]
    assert "color" not in entry
    sources.write_clevrtex(tmp_path, "vbg", 1)
    assert next(read(str(tmp_path), "vbg", 0, 1)).meta["objects"][0]["color"] == "red"


def test_a_source_may_be_the_tree_itself_or_lie_deeper(source: Path, tmp_path: Path) -> None:
    expected = [scene.key for scene in read(str(source), "camo", 0, COUNT)]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "link").symlink_to(source)
    (tmp_path / "deep" / "loop").symlink_to(tmp_path)
    for root in (source / "clevrtex_camo", tmp_path):
        assert parts(str(root))["camo"].scenes == COUNT
        assert [scene.key for scene in read(str(root), "camo", 0, COUNT)] == expected


def test_folder_names_mean_nothing(copy: Path) -> None:
    tree = copy / "clevrtex_camo"
    (tree / "0").rename(tree / "first")
    (tree / "1").rename(tree / "0")  # the usual place of an index below 1000, with other scenes in it
    assert parts(str(copy))["camo"].scenes == COUNT
    assert [scene.meta["index"] for scene in read(str(copy), "camo", 2, 9)] == list(range(2, 9))


def same(one, other) -> bool:
    pixels = np.array_equal(one.image, other.image) and np.array_equal(one.mask, other.mask)
    return pixels and one.key == other.key and one.meta == other.meta


def test_a_source_may_be_remote(source: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(source / "clevrtex_camo"), "/ocbench-tree/clevrtex_camo", recursive=True)
    archive = sources.write_archives(source / "clevrtex_camo", tmp_path)[0]
    memory.put(str(archive), "/ocbench-packed/clevrtex_camo.tar.gz")
    expected = list(read(str(source), "camo", 2, 8))
    for root in ("memory://ocbench-tree", "memory://ocbench-packed", "memory://ocbench-packed/clevrtex_camo.tar.gz"):
        assert parts(root, partial=True)["camo"].scenes == COUNT
        assert all(map(same, read(root, "camo", 2, 8), expected))
    memory.rm("/ocbench-tree", recursive=True)
    memory.rm("/ocbench-packed", recursive=True)


def shuffled(paths: list[Path]) -> list[Path]:
    return shuffling.Random(3).sample(sorted(paths), len(paths))


@pytest.mark.parametrize("order", [sorted, shuffled, lambda paths: sorted(paths, reverse=True)])
@pytest.mark.parametrize("ending", ["tar.gz", "tar"])
def test_archives_give_what_the_tree_gives(source: Path, tmp_path: Path, order: Callable, ending: str) -> None:
    sources.write_archives(source / "clevrtex_camo", tmp_path, order=order, ending=ending)
    part = parts(str(tmp_path))["camo"]
    assert (part.scenes, part.seekable, part.expected) == (None, False, COUNT)
    assert parts(str(tmp_path), partial=True)["camo"].scenes == COUNT
    for start, stop in ((0, COUNT), (3, 9)):
        packed = list(read(str(tmp_path), "camo", start, stop))
        assert all(map(same, packed, read(str(source), "camo", start, stop)))
        assert len(packed) == stop - start


def test_parts_are_independent_archives_in_any_order(source: Path, tmp_path: Path) -> None:
    first, second, third = sources.write_archives(source / "clevrtex_camo", tmp_path, parts=3)
    first.rename(tmp_path / "kept")
    third.rename(first)
    (tmp_path / "kept").rename(third)
    second.rename(second.with_name("clevrtex_camo_part2.tgz"))
    assert all(map(same, read(str(tmp_path), "camo", 0, COUNT), read(str(source), "camo", 0, COUNT)))


def test_what_comes_early_is_set_aside_on_disk_and_removed(source: Path, tmp_path: Path, monkeypatch) -> None:
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(room))
    sources.write_archives(source / "clevrtex_camo", tmp_path, order=lambda paths: sorted(paths, reverse=True))
    scenes = read(str(tmp_path), "camo", 0, COUNT)
    next(scenes)
    assert len(list(room.rglob("*"))) > 2 * (COUNT - 8)
    scenes.close()
    assert not list(room.iterdir())


def test_pictures_may_come_as_rgb_and_label_maps_in_every_lossless_form(copy: Path) -> None:
    expected = list(read(str(copy), "camo", 0, 5))
    Image.open(file(copy, 0)).convert("RGB").save(file(copy, 0))
    file(copy, 1, "_flat.png").write_bytes(sources.labels_png(expected[1].mask, palette=256))
    Image.open(file(copy, 2, "_flat.png")).convert("RGB").save(file(copy, 2, "_flat.png"))
    Image.open(file(copy, 3, "_flat.png")).convert("RGBA").save(file(copy, 3, "_flat.png"))
    Image.fromarray(expected[4].mask).save(file(copy, 4, "_flat.png"))
    assert all(map(same, read(str(copy), "camo", 0, 5), expected))


def test_the_fixture_has_the_published_form() -> None:
    """RGBA with text chunks, as measured on published renders; label maps in mode P with 56 entries."""
    picture = Image.open(sources.io.BytesIO(sources.image_png(sources.drawn_scene(0)[0])))
    assert (picture.mode, picture.size) == ("RGBA", (320, 240))
    labels = Image.open(sources.io.BytesIO(sources.labels_png(sources.drawn_scene(0)[1])))
    assert (labels.mode, labels.size, len(labels.getpalette() or [])) == ("P", (320, 240), 168)


def test_foreign_files_are_passed_over(copy: Path) -> None:
    folder = copy / "clevrtex_camo" / "0"
    for name in (
        "._CLEVRTEX_camo_000001.png",
        "CLEVRTEX_camo_abcdef.png",
        "CLEVRTEX_camo_00001²_flat.png",
        ".DS_Store",
    ):
        (folder / name).write_bytes(b"x")
    (copy / "clevrtex_materials.tar.gz").write_bytes(b"x")
    assert parts(str(copy))["camo"].scenes == COUNT


# what is wrong


def test_nothing_there_says_what_to_put_where(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "missing"):
        error = fault(root)
        assert error.message == f"no raw CLEVRTEX under '{root}'"
        assert "clevrtex_full/0/CLEVRTEX_full_000000.png" in (error.expected or "")
        assert "part5.tar.gz" in (error.expected or "")
        assert "place the archives there (no need to unpack)" in (error.hint or "")
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    assert "'holiday.jpg'" in (fault(tmp_path).found or "")
    with pytest.raises(DataError, match="no raw CLEVRTEX of the variant 'camo'"):
        list(read(str(tmp_path), "camo", 0, 1))
    with pytest.raises(UnknownNameError, match="no part of clevrtex named 'cameo'"):
        read(str(tmp_path), "cameo", 0, 1)


def test_a_gap_and_a_missing_end_are_noticed_and_tolerated_only_with_partial(copy: Path) -> None:
    for index in (4, 10, 11):
        for path in list(copy.rglob(f"CLEVRTEX_camo_{index:06d}*")):
            path.unlink()
    error = fault(copy)
    assert error.found == "camo: 9 of 12 scenes; missing 000004, 000010, 000011"
    assert "--partial" in (error.hint or "")
    assert parts(str(copy), partial=True)["camo"].scenes == 10  # one above the highest index
    keys = [scene.key[-6:] for scene in read(str(copy), "camo", 0, 12)]
    assert keys == ["000000", "000001", "000002", "000003", "000005", "000006", "000007", "000008", "000009"]


def test_half_unpacked_parts_are_named_by_their_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    found = clevrtex_inventory.Inventory("full")
    for index in range(20_000):
        if not 3_100 <= index < 4_000 and not 7_000 <= index < 9_000:
            found.add("image", index, "clevrtex_full/0")
    assert found.shortage() == [
        "full: 17,100 of 50,000 scenes; missing 900 of the 1,000 of folder 3, all of folders 7 to 8, "
        "all of folders 20 to 49"
    ]


def test_all_faults_come_in_one_error(copy: Path) -> None:
    file(copy, 1, "_flat.png").unlink()
    file(copy, 3, ".png").unlink()
    file(copy, 5, ".json").unlink()
    shutil.copy(file(copy, 2), copy / "clevrtex_camo" / "2")
    sources.write_clevrtex(copy, "outd", 9)
    (copy / "clevrtex_camo" / "0" / "CLEVRTEX_outd_000009.png").write_bytes(b"x")
    (copy / "clevrtex_camo" / "0" / "CLEVRTEX_camo_000012.png").write_bytes(b"x")
    (copy / "clevrtex_camo" / "0" / "CLEVRTEX_camo_000012_flat.png").write_bytes(b"x")
    for line in (
        "camo: 1 files twice: 000002.png (in ",
        "camo: 1 images without a label map (_flat.png): 000001",
        "camo: 1 label maps without an image: 000003",
        "camo: 2 scenes without metadata (.json): 000005, 000012",
        "camo: 1 indices too high: 000012",
        "outd: 1 files in '",
    ):
        assert line in (fault(copy, partial=True).found or "")
    assert "camo: 11 of 12 scenes; missing 000003" in (fault(copy).found or "")


def test_a_source_without_any_metadata_is_whole(copy: Path, tmp_path: Path) -> None:
    for path in list(copy.rglob("*.json")):
        path.unlink()
    assert parts(str(copy))["camo"].scenes == COUNT
    scenes = list(read(str(copy), "camo", 0, COUNT))
    assert scenes[2].meta == {"variant": "camo", "version": 1, "index": 2}
    sources.write_archives(copy / "clevrtex_camo", tmp_path / "packed")
    assert all(map(same, read(str(tmp_path / "packed"), "camo", 0, COUNT), scenes))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: file(root, 2).write_bytes(file(root, 2).read_bytes()[:900]), "cannot be decoded"),
        (lambda root: file(root, 2, "_flat.png").write_bytes(b""), "cannot be decoded"),
        (lambda root: file(root, 2, ".json").write_text("{"), r"metadata \(.json\) cannot be read"),
        (lambda root: file(root, 2, ".json").write_text("{}"), r"metadata \(.json\) cannot be read"),
        (lambda root: grey(file(root, 2, "_flat.png")), "turned to grey: its palette is lost"),
        (lambda root: relabel(file(root, 2, "_flat.png"), 11), "a label above 10"),
        (lambda root: Image.new("RGB", (320, 240), (1, 2, 3)).save(file(root, 2, "_flat.png")), "none of its palette"),
        (lambda root: Image.new("P", (320, 239)).save(file(root, 2, "_flat.png")), "label map has a wrong size"),
        (lambda root: Image.new("RGB", (128, 128)).save(file(root, 2)), "image has a wrong size"),
    ],
)
def test_a_bad_file_is_named(copy: Path, tmp_path: Path, damage: Callable, message: str) -> None:
    damage(copy)
    sources.write_archives(copy / "clevrtex_camo", tmp_path / "packed")
    for root in (copy, tmp_path / "packed"):
        with pytest.raises(DataError, match=message) as caught:
            list(read(str(root), "camo", 0, COUNT))
        assert "CLEVRTEX_camo_000002.png" in caught.value.message
        assert str(root) in caught.value.message


def test_the_luminances_that_the_specification_measured_are_known() -> None:
    assert {0, 76, 75, 29, 225, 188, 246, 190, 163, 166, 192} <= clevrtex.GREYS
    assert not clevrtex.GREYS & set(range(1, 11))


def grey(path: Path) -> None:
    """As a tool leaves it that expands palettes: 76, 75, 29 … instead of 1, 2, 3 …"""
    Image.open(path).convert("L").save(path)


def relabel(path: Path, label: int) -> None:
    mask = imaging.decode_labels(path.read_bytes()).copy()
    mask[:3] = label
    path.write_bytes(sources.labels_png(mask))


def test_version_2_is_never_mixed_in(copy: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    sources.write_clevrtex(other, "camo", 3).rename(other / "clevrtexv2_camo")
    assert "version 2 only" in (fault(other).found or "")
    assert "version 2 only" in (fault(other / "clevrtexv2_camo").found or "")
    shutil.copytree(other / "clevrtexv2_camo", copy / "clevrtexv2_camo")
    assert parts(str(copy))["camo"].scenes == COUNT
    archive = sources.write_archives(other / "clevrtexv2_camo", tmp_path / "packed")[0]
    assert "version 2 only" in (fault(tmp_path / "packed").found or "")
    archive.rename(archive.with_name("clevrtex_camo.tar.gz"))
    assert "holds CLEVRTEX version 2" in (fault(tmp_path / "packed").found or "")


def test_bad_archives_are_named_at_once(source: Path, tmp_path: Path) -> None:
    archive = sources.write_archives(source / "clevrtex_camo", tmp_path)[0]
    whole = archive.read_bytes()
    shutil.copy(archive, tmp_path / "clevrtex_outd.tar.gz")
    (tmp_path / "clevrtex_full_part1.tar.gz").write_bytes(b"<html>404</html>")
    (tmp_path / "clevrtex_full_part3.tar.gz").write_bytes(b"")
    error = fault(tmp_path)
    for line in (
        "full: no archive part2, part4, part5",
        "clevrtex_full_part1.tar.gz' is a web page",
        "clevrtex_full_part3.tar.gz' is empty",
        "clevrtex_outd.tar.gz' holds the variant 'camo'",
    ):
        assert line in (error.found or "")
    assert "no archive part2" not in (fault(tmp_path, partial=True).found or "")
    for path in tmp_path.iterdir():
        path.unlink()
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="ends early") as caught:
        list(read(str(tmp_path), "camo", 0, COUNT))
    assert str(archive) in caught.value.message
    assert "download it again" in (caught.value.hint or "")


def test_incomplete_scenes_in_an_archive_are_named_at_its_end(copy: Path, tmp_path: Path) -> None:
    file(copy, 1, "_flat.png").unlink()
    file(copy, 6, ".json").unlink()
    sources.write_archives(copy / "clevrtex_camo", tmp_path / "packed")
    with pytest.raises(DataError) as caught:
        list(read(str(tmp_path / "packed"), "camo", 0, COUNT))
    assert "000001" in (caught.value.found or "")
    assert "000006" in (caught.value.found or "")
    assert fault(tmp_path / "packed", partial=True).found == caught.value.found


def test_scenes_twice_in_archives_are_a_fault(source: Path, tmp_path: Path) -> None:
    archive = sources.write_archives(source / "clevrtex_camo", tmp_path)[0]
    archive.rename(tmp_path / "clevrtex_camo_part1.tar.gz")
    shutil.copy(tmp_path / "clevrtex_camo_part1.tar.gz", tmp_path / "clevrtex_camo_part2.tar.gz")
    assert "files twice: 000000.json" in (fault(tmp_path, partial=True).found or "")
    shutil.copy(tmp_path / "clevrtex_camo_part1.tar.gz", tmp_path / "clevrtex_camo_part1.tgz")
    assert "2 archives of part 1" in (fault(tmp_path).found or "")
    shutil.copy(tmp_path / "clevrtex_camo_part1.tar.gz", tmp_path / "clevrtex_camo.tar.gz")
    assert "without a part number" in (fault(tmp_path).found or "")


def test_a_short_tree_beside_its_archives_says_what_to_do(copy: Path) -> None:
    sources.write_archives(copy / "clevrtex_camo", copy)
    assert parts(str(copy))["camo"].seekable  # the tree is read
    for path in list(copy.rglob("CLEVRTEX_camo_000011*")):
        path.unlink()
    assert "remove the folder clevrtex_camo" in (fault(copy).hint or "")


# the record


def test_protocols_are_the_published_ones() -> None:
    protocol = DATASET.protocol()
    assert (protocol.name, protocol.version, protocol.size, protocol.crop) == (
        "ast-paper",
        1,
        (128, 128),
        (24, 64, 192),
    )
    assert (protocol.image_filter, protocol.mask_filter) == ("bilinear-antialias", "nearest-centre")
    assert protocol.max_objects == 10
    ranges = {split.name: (split.part, split.start, split.stop) for split in protocol.splits}
    assert ranges["train"] == ("full", 10_000, 50_000)
    assert ranges["val"] == ("full", 5_000, 10_000)
    assert ranges["test"] == ("full", 0, 5_000)
    assert ranges["ood"] == ("outd", 0, 10_000)
    for variant in ("camo", "pbg", "vbg", "grassbg"):
        assert ranges[variant] == (variant, 0, 2_000)
        assert ranges[f"{variant}-val"] == (variant, 2_000, 4_000)
        assert ranges[f"{variant}-train"] == (variant, 4_000, 20_000)
    assert DATASET.protocol("clevrtex-benchmark").splits == protocol.splits
    assert all(split.scenes == split.stop - split.start for split in protocol.splits)


def test_downloads_name_every_archive_at_both_addresses() -> None:
    names = [download.name for download in DATASET.downloads]
    assert names[:5] == [f"clevrtex_full_part{number}.tar.gz" for number in range(1, 6)]
    assert {f"clevrtex_{variant}.tar.gz" for variant in clevrtex_inventory.SCENES} - {"clevrtex_full.tar.gz"} <= set(
        names
    )
    for download in DATASET.downloads:
        assert [url.rpartition("/")[2] for url in download.urls] == [download.name] * 2
        assert clevrtex.PROJECT_PAGE in download.license_note
