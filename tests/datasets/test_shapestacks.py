"""ShapeStacks: pixels, order, keys and facts, the same from the tree and from the archives; the published protocols."""

from __future__ import annotations

import json
import logging
import random as shuffling
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest
import shapestacks_sources as sources
from PIL import Image

import ocbench
from ocbench.datasets.shapestacks import DATASET, LISTS, parts, read
from ocbench.imaging import decode_image
from ocbench.jobs import fit
from ocbench.scene import Scene

REAL = Path(ocbench.__file__).parents[2] / "shared" / "samples" / "shapestacks" / "recordings"
INDICES = [16 * place + camera - 1 for place in range(2) for camera in sources.CAMERAS]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scenarios with four of their sixteen cameras; never changed."""
    return sources.write_tree(tmp_path_factory.mktemp("shapestacks"))


def same(one: Scene, other: Scene) -> bool:
    facts = (one.key, one.index, one.meta) == (other.key, other.index, other.meta)
    return facts and np.array_equal(one.image, other.image) and np.array_equal(one.mask, other.mask)


def test_scenes_are_the_pixels_and_ids_of_the_files_in_the_order_of_list_and_cameras(tree: Path) -> None:
    scenes = list(read(str(tree), "default-train", 0, 32))
    assert [scene.index for scene in scenes] == INDICES
    views = [(scenario, camera) for scenario in sources.SCENARIOS[:2] for camera in sources.CAMERAS]
    for scene, (scenario, camera) in zip(scenes, views, strict=True):
        image, mask = sources.drawn_view(scenario, camera)
        assert np.array_equal(scene.image, image)
        assert np.array_equal(scene.mask, mask)
        assert scene.mask.dtype == np.uint8
        assert (scene.meta["scenario"], scene.meta["camera"]) == (scenario, camera)
    assert [scene.index for scene in read(str(tree), "default-train", 1, 17)] == [1, 9, 15, 16]


def test_keys_and_facts_are_those_of_the_names(tree: Path) -> None:
    first, *_, last = read(str(tree), "default-train", 0, 32)
    assert first.key == "shapestacks-ccs-hard-h2-vcom0-vpsf0-v60-cam1"
    assert last.key == "shapestacks-blocks-easy-h6-vcom3-vpsf0-v12-cam16"
    assert last.meta == {
        "scenario": "env_blocks-easy-h=6-vcom=3-vpsf=0-v=12", "camera": 16, "height": 6, "stable": False,
        "wall": 1, "floor": 4, "light": 1, "colours": "unique", "num_objects": 6,
    }  # fmt: skip
    assert first.meta["stable"] is True
    assert json.loads(json.dumps(last.meta)) == last.meta
    assert next(read(str(tree), "default-eval", 0, 1)).meta["stable"] is False  # vpsf alone
    assert next(read(str(tree), "ccs_all-train", 0, 1)).key == first.key


def test_objects_are_counted_in_the_picture(tmp_path: Path) -> None:
    tree = sources.write_tree(tmp_path, cameras=[3])
    scenario = sources.SCENARIOS[1]
    mask = sources.drawn_view(scenario, 3)[1]
    mask[mask == 2] = 0
    (tree / "iseg" / scenario / sources.map_name(3)).write_bytes(sources.map_png(mask))
    assert next(read(str(tree), "default-train", 16, 32)).meta["num_objects"] == 5


def test_a_whole_tree_is_16_views_a_scenario(tmp_path: Path) -> None:
    lists = dict.fromkeys(sources.LISTS, sources.SCENARIOS[:1])
    tree = sources.write_tree(tmp_path / "shapestacks", cameras=sources.ALL_CAMERAS, lists=lists)
    found = parts(str(tree))
    assert set(found) == {f"{name}-{file}" for name in LISTS for file in ("train", "eval", "test")}
    assert {(part.scenes, part.seekable, part.expected) for part in found.values()} == {(16, True, 16)}
    assert [scene.meta["camera"] for scene in read(str(tmp_path), "default-test", 0, 16)] == list(range(1, 17))
    sources.write_archives(tree, tmp_path / "packed")
    packed = parts(str(tmp_path / "packed"))["default-test"]
    assert (packed.scenes, packed.seekable, packed.expected) == (None, False, 16)


@pytest.mark.parametrize("end", ["\n", "", "\n\n", "\r\n"])
def test_a_list_may_end_with_a_newline_or_without(tmp_path: Path, end: str) -> None:
    tree = sources.write_tree(tmp_path, cameras=[1], end=end)
    assert parts(str(tree), partial=True)["default-train"].expected == 32
    assert len(list(read(str(tree), "default-train", 0, 32))) == 2


def shuffled(paths: list[Path]) -> list[Path]:
    return shuffling.Random(3).sample(sorted(paths), len(paths))


@pytest.mark.parametrize("order", [sorted, shuffled, lambda paths: sorted(paths, reverse=True)])
@pytest.mark.parametrize("top", ["shapestacks", "."])
def test_archives_give_what_the_tree_gives(tree: Path, tmp_path: Path, order: Callable, top: str) -> None:
    sources.write_archives(tree, tmp_path, order=order, top=top)
    packed, unpacked = parts(str(tmp_path), partial=True), parts(str(tree), partial=True)
    assert {name: (part.scenes, part.expected) for name, part in packed.items()} == {
        name: (part.scenes, part.expected) for name, part in unpacked.items()
    }
    for start, stop in ((0, 32), (1, 17)):
        scenes = list(read(str(tmp_path), "default-train", start, stop))
        assert all(map(same, scenes, read(str(tree), "default-train", start, stop)))
        assert len(scenes) == len([index for index in INDICES if start <= index < stop])


def test_prepare_gives_the_same_shards_from_both(ocbench: Callable, tree: Path, tmp_path: Path) -> None:
    sources.write_archives(tree, tmp_path / "packed", order=shuffled)
    digests = []
    for source in (tree, tmp_path / "packed"):
        words = ("--partial", "--raw", source, "--data-dir", tmp_path / source.name, "--executor", "local:1")
        ended = ocbench("prepare", "shapestacks", *words)
        assert ended.code == 0, ended.err
        manifests = sorted((tmp_path / source.name).rglob("manifest.json"))
        assert [path.parent.name for path in manifests] == ["test", "train", "val"]
        digests.append([json.loads(path.read_text())["shards"][0]["sha256"] for path in manifests])
    assert digests[0] == digests[1]


def test_what_comes_early_is_set_aside_on_disk_and_removed(tree: Path, tmp_path: Path, monkeypatch) -> None:
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(room))
    sources.write_archives(tree, tmp_path, order=lambda paths: sorted(paths, reverse=True))
    scenes = read(str(tmp_path), "default-train", 0, 32)
    next(scenes)
    assert len([path for path in room.rglob("*") if path.is_file()]) == 6  # cameras 2, 16 and 10 of both kinds
    scenes.close()
    assert not list(room.iterdir())


def test_each_kind_may_lie_in_the_source_or_in_a_folder_of_it_or_stay_packed(tree: Path, tmp_path: Path) -> None:
    expected = list(read(str(tree), "default-train", 0, 32))
    (tmp_path / "masks").mkdir()
    (tmp_path / "shapestacks").mkdir()
    for link, kind in (("masks/iseg", "iseg"), ("shapestacks/recordings", "recordings"), ("splits", "splits")):
        (tmp_path / link).symlink_to(tree / kind)
    assert parts(str(tmp_path), partial=True)["default-train"].seekable
    assert all(map(same, read(f"{tmp_path}/", "default-train", 0, 32), expected))
    archives = sources.write_archives(tree, tmp_path / "packed")
    for name, link in (("meta", "splits"), ("iseg", "masks/iseg")):
        (tmp_path / link).unlink()
        archives[name].rename(tmp_path / f"shapestacks-{name}.tgz")
    assert not parts(str(tmp_path), partial=True)["default-train"].seekable
    assert all(map(same, read(str(tmp_path), "default-train", 0, 32), expected))


def test_a_source_may_be_remote(tree: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(tree), "/ocbench-stacks/shapestacks", recursive=True)
    for archive in sources.write_archives(tree, tmp_path).values():
        memory.put(str(archive), f"/ocbench-packed-stacks/{archive.name}")
    expected = list(read(str(tree), "default-train", 0, 32))
    for root in ("memory://ocbench-stacks", "memory://ocbench-packed-stacks"):
        assert parts(root, partial=True)["default-train"].scenes == 32
        assert all(map(same, read(root, "default-train", 0, 32), expected))
    memory.rm("/ocbench-stacks", recursive=True)
    memory.rm("/ocbench-packed-stacks", recursive=True)


def test_one_scene_costs_no_listing_of_the_whole_tree(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    listed: list[str] = []
    walk = os.walk
    monkeypatch.setattr("os.walk", lambda top, *rest, **more: listed.append(str(top)) or walk(top, *rest, **more))
    assert len(list(read(str(tree), "default-train", 16, 17))) == 1
    scenario = sources.SCENARIOS[1]
    assert listed == [str(tree), *(str(tree / kind / scenario) for kind in ("recordings", "iseg"))]


def test_lists_of_another_length_than_in_the_papers_are_warned_about(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="ocbench"):
        parts(str(tree), partial=True)
    assert "the list default-train names 2 scenarios, where papers speak of 13,618" in caplog.text
    assert "ccs_all-train names" not in caplog.text


def test_masks_are_taken_by_the_floor_rule_and_images_by_the_triangle_filter(tree: Path) -> None:
    """The pixels that datasets.md 9 lists: rows 0, 3, 6, 9, 12, 15, 18, 21, 24, 27 … of the crop for 196 to 64."""
    scene = next(read(str(tree), "default-train", 16, 17))
    fitted, _ = fit(scene, DATASET.protocol())
    rows = [14 + int(i * 3.0625) for i in range(64)]
    assert rows[:10] == [14 + row for row in (0, 3, 6, 9, 12, 15, 18, 21, 24, 27)]
    assert np.array_equal(fitted.mask, scene.mask[rows][:, rows])
    centre = [14 + int((i + 0.5) * 3.0625) for i in range(64)]
    assert centre[:10] == [14 + row for row in (1, 4, 7, 10, 13, 16, 19, 22, 26, 29)]
    moved, _ = fit(scene, DATASET.protocol("centre-masks"))
    assert np.array_equal(moved.mask, scene.mask[centre][:, centre])
    assert not np.array_equal(moved.mask, fitted.mask)
    assert np.array_equal(moved.image, fitted.image)


def triangle(image: np.ndarray, target: int) -> np.ndarray:
    """uint8 [target, target, 3]: the antialiased bilinear filter from its definition, a triangle as wide as the scale.

    Columns come first; weights have 22 bits behind the point, and each of the two passes is rounded.
    """
    scale = len(image) / target
    centres = (np.arange(target) + 0.5) * scale
    weights = np.maximum(1 - np.abs(np.arange(len(image)) + 0.5 - centres[:, None]) / scale, 0)
    weights /= weights.sum(axis=1, keepdims=True)
    whole = np.floor(weights * 2**22 + 0.5).astype(np.int64)
    across = (np.einsum("sj,ijc->isc", whole, image.astype(np.int64)) + 2**21) >> 22
    return ((np.einsum("ri,isc->rsc", whole, across) + 2**21) >> 22).astype(np.uint8)


@pytest.mark.skipif(not REAL.is_dir(), reason="no real ShapeStacks view on this machine")
def test_the_real_view_decodes_and_resizes_as_specified(tmp_path: Path) -> None:
    (folder,) = REAL.iterdir()
    (path,) = folder.glob("rgb-*")
    pixels = np.array(Image.open(path))
    assert (pixels.shape, pixels.dtype) == ((224, 224, 3), np.uint8)
    name = folder.name
    for kind, where in (("recordings", REAL), ("iseg", tmp_path / "maps")):
        (tmp_path / "maps" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / kind).symlink_to(where)
    mask = sources.drawn_view(name, 1)[1]
    (tmp_path / "maps" / name / sources.map_name(1)).write_bytes(sources.map_png(mask))
    (tmp_path / "splits" / "default").mkdir(parents=True)
    (tmp_path / "splits" / "default" / "test.txt").write_text(name)
    (scene,) = read(str(tmp_path), "default-test", 0, 16)
    assert np.array_equal(scene.image, pixels)
    assert np.array_equal(scene.image, decode_image(path.read_bytes()))
    assert scene.meta["height"] == 5
    fitted, _ = fit(scene, DATASET.protocol())
    expected = triangle(pixels[14:210, 14:210], 64)
    assert np.array_equal(fitted.image, expected)
    assert np.array_equal(fitted.mask, mask[14:210, 14:210][np.arange(64) * 196 // 64][:, np.arange(64) * 196 // 64])


def test_downloads_name_the_three_archives_and_where_their_checksums_lie() -> None:
    archives = [download for download in DATASET.downloads if download.name.endswith(".tar.gz")]
    assert [download.name for download in archives] == [
        f"shapestacks-{name}.tar.gz" for name in ("meta", "rgb", "iseg")
    ]
    for download in archives:
        assert [url.rpartition("/")[2] for url in download.urls] == [download.name] * 3
        checksums = [url.replace("tar.gz", "md5") for url in download.urls]
        assert download.checksum_urls == tuple(checksums)
