"""CLEVRTEX: pixels, keys and facts, the same from trees and from archives; the published ranges and addresses."""

from __future__ import annotations

import json
import random as shuffling
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest
import sources
from PIL import Image

import ocbench
from ocbench import imaging
from ocbench.datasets import clevrtex, clevrtex_inventory
from ocbench.datasets.clevrtex import DATASET, parts, read

COUNT = 12  # scenes of `camo`
RENDERS = Path(ocbench.__file__).parents[2] / "shared" / "samples" / "clevrtex"


def file(root: Path, index: int, ending: str = ".png") -> Path:
    return next(root.rglob(f"CLEVRTEX_*_{index:06d}{ending}"))


def same(one, other) -> bool:
    pixels = np.array_equal(one.image, other.image) and np.array_equal(one.mask, other.mask)
    return pixels and one.key == other.key and one.meta == other.meta


@pytest.mark.skipif(not RENDERS.is_dir(), reason="the real renders are not here")
@pytest.mark.parametrize("name", ["1.png", "2.png"])
def test_real_renders_lose_their_alpha_and_are_cropped_and_resized_as_published(name: str) -> None:
    picture = Image.open(RENDERS / name)
    assert (picture.mode, picture.size) == ("RGBA", (320, 240))
    pixels = np.asarray(picture)
    image = imaging.decode_image((RENDERS / name).read_bytes())
    assert np.array_equal(image, pixels[:, :, :3])
    centre = Image.fromarray(pixels[24:216, 64:256, :3].copy())
    expected = np.asarray(centre.resize((128, 128), Image.Resampling.BILINEAR))
    assert np.array_equal(imaging.fit_image(image, clevrtex.AST_PAPER), expected)


def test_scenes_are_the_pixels_ids_and_facts_of_the_files(camo: Path) -> None:
    assert parts(str(camo))["camo"].scenes == COUNT
    scenes = list(read(str(camo), "camo", 0, COUNT))
    assert [scene.key for scene in scenes] == [f"clevrtex-camo-{index:06d}" for index in range(COUNT)]
    for index, scene in enumerate(scenes):
        image, mask = sources.drawn_scene(index)
        assert np.array_equal(scene.image, image)
        assert np.array_equal(scene.mask, mask)
        assert scene.mask.dtype == np.uint8
        assert scene.meta["num_objects"] == 3 + index % 8
        assert scene.meta["variant"] == "camo"
        assert json.loads(json.dumps(scene.meta)) == scene.meta
    assert [scene.key[-2:] for scene in read(str(camo), "camo", 4, 7)] == ["04", "05", "06"]


def test_the_misnamed_material_is_corrected_beside_the_published_name(camo: Path) -> None:
    objects = [entry for scene in read(str(camo), "camo", 0, 4) for entry in scene.meta["objects"]]
    wrong = [entry for entry in objects if "brightangle" in entry["material"]]
    assert wrong
    assert {entry["material_corrected"] for entry in wrong} == {"poliigonfabricupholsterymidcenturypebbles001"}
    assert all("material_corrected" not in entry for entry in objects if entry not in wrong)
    ground = next(read(str(camo), "camo", 1, 2)).meta
    assert ground["ground_material"] == "poliigonfabricupholsterybrightanglepattern001"
    assert ground["ground_material_corrected"] == "poliigonfabricupholsterymidcenturypebbles001"


def test_objects_keep_what_the_protocol_says(camo: Path, tmp_path: Path) -> None:
    entry = next(read(str(camo), "camo", 0, 1)).meta["objects"][0]
    assert list(entry)[:6] == ["label", "shape", "size", "rotation", "pixel_coords", "material"]
    assert "color" not in entry
    sources.write_clevrtex(tmp_path, "vbg", 1)
    assert next(read(str(tmp_path), "vbg", 0, 1)).meta["objects"][0]["color"] == "red"


def test_a_source_may_be_the_tree_itself_or_lie_deeper(camo: Path, tmp_path: Path) -> None:
    expected = [scene.key for scene in read(str(camo), "camo", 0, COUNT)]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "link").symlink_to(camo)
    (tmp_path / "deep" / "loop").symlink_to(tmp_path)
    for root in (camo / "clevrtex_camo", tmp_path):
        assert parts(str(root))["camo"].scenes == COUNT
        assert [scene.key for scene in read(str(root), "camo", 0, COUNT)] == expected


def test_folder_names_mean_nothing(camo_copy: Path) -> None:
    tree = camo_copy / "clevrtex_camo"
    (tree / "0").rename(tree / "first")
    (tree / "1").rename(tree / "0")  # the usual place of an index below 1000, with other scenes in it
    assert parts(str(camo_copy))["camo"].scenes == COUNT
    assert [scene.meta["index"] for scene in read(str(camo_copy), "camo", 2, 9)] == list(range(2, 9))


def test_a_source_may_be_remote(camo: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(camo / "clevrtex_camo"), "/ocbench-tree/clevrtex_camo", recursive=True)
    archive = sources.write_archives(camo / "clevrtex_camo", tmp_path)[0]
    memory.put(str(archive), "/ocbench-packed/clevrtex_camo.tar.gz")
    expected = list(read(str(camo), "camo", 2, 8))
    for root in ("memory://ocbench-tree", "memory://ocbench-packed", "memory://ocbench-packed/clevrtex_camo.tar.gz"):
        assert parts(root, partial=True)["camo"].scenes == COUNT
        assert all(map(same, read(root, "camo", 2, 8), expected))
    memory.rm("/ocbench-tree", recursive=True)
    memory.rm("/ocbench-packed", recursive=True)


def shuffled(paths: list[Path]) -> list[Path]:
    return shuffling.Random(3).sample(sorted(paths), len(paths))


@pytest.mark.parametrize("order", [sorted, shuffled, lambda paths: sorted(paths, reverse=True)])
@pytest.mark.parametrize("ending", ["tar.gz", "tar"])
def test_archives_give_what_the_tree_gives(camo: Path, tmp_path: Path, order: Callable, ending: str) -> None:
    sources.write_archives(camo / "clevrtex_camo", tmp_path, order=order, ending=ending)
    part = parts(str(tmp_path))["camo"]
    assert (part.scenes, part.seekable, part.expected) == (None, False, COUNT)
    assert parts(str(tmp_path), partial=True)["camo"].scenes == COUNT
    for start, stop in ((0, COUNT), (3, 9)):
        packed = list(read(str(tmp_path), "camo", start, stop))
        assert all(map(same, packed, read(str(camo), "camo", start, stop)))
        assert len(packed) == stop - start


def test_parts_are_independent_archives_in_any_order(camo: Path, tmp_path: Path) -> None:
    first, second, third = sources.write_archives(camo / "clevrtex_camo", tmp_path, parts=3)
    first.rename(tmp_path / "kept")
    third.rename(first)
    (tmp_path / "kept").rename(third)
    second.rename(second.with_name("clevrtex_camo_part2.tgz"))
    assert all(map(same, read(str(tmp_path), "camo", 0, COUNT), read(str(camo), "camo", 0, COUNT)))


def test_what_comes_early_is_set_aside_on_disk_and_removed(camo: Path, tmp_path: Path, monkeypatch) -> None:
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(room))
    sources.write_archives(camo / "clevrtex_camo", tmp_path, order=lambda paths: sorted(paths, reverse=True))
    scenes = read(str(tmp_path), "camo", 0, COUNT)
    next(scenes)
    assert len(list(room.rglob("*"))) > 2 * (COUNT - 8)
    scenes.close()
    assert not list(room.iterdir())


def test_pictures_may_come_as_rgb_and_label_maps_in_every_lossless_form(camo_copy: Path) -> None:
    expected = list(read(str(camo_copy), "camo", 0, 5))
    Image.open(file(camo_copy, 0)).convert("RGB").save(file(camo_copy, 0))
    file(camo_copy, 1, "_flat.png").write_bytes(sources.labels_png(expected[1].mask, palette=256))
    Image.open(file(camo_copy, 2, "_flat.png")).convert("RGB").save(file(camo_copy, 2, "_flat.png"))
    Image.open(file(camo_copy, 3, "_flat.png")).convert("RGBA").save(file(camo_copy, 3, "_flat.png"))
    Image.fromarray(expected[4].mask).save(file(camo_copy, 4, "_flat.png"))
    assert all(map(same, read(str(camo_copy), "camo", 0, 5), expected))


def test_the_fixture_has_the_published_form() -> None:
    """RGBA with text chunks, as measured on published renders; label maps in mode P with 56 entries."""
    picture = Image.open(sources.io.BytesIO(sources.image_png(sources.drawn_scene(0)[0])))
    assert (picture.mode, picture.size) == ("RGBA", (320, 240))
    labels = Image.open(sources.io.BytesIO(sources.labels_png(sources.drawn_scene(0)[1])))
    assert (labels.mode, labels.size, len(labels.getpalette() or [])) == ("P", (320, 240), 168)


def test_foreign_files_are_passed_over(camo_copy: Path) -> None:
    folder = camo_copy / "clevrtex_camo" / "0"
    for name in (
        "._CLEVRTEX_camo_000001.png",
        "CLEVRTEX_camo_abcdef.png",
        "CLEVRTEX_camo_00001²_flat.png",
        ".DS_Store",
    ):
        (folder / name).write_bytes(b"x")
    (camo_copy / "clevrtex_materials.tar.gz").write_bytes(b"x")
    assert parts(str(camo_copy))["camo"].scenes == COUNT


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
    for download in DATASET.downloads[:-1]:  # the last is object-centric-library's
        assert [url.rpartition("/")[2] for url in download.urls] == [download.name] * 2
        assert clevrtex.PROJECT_PAGE in download.license_note
