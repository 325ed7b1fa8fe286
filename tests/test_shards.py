"""Shards: nothing is lost, bytes depend on scenes alone, damage is noticed; manifests and records of them."""

from __future__ import annotations

import io
import json
import os
import resource
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dots
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocbench import imaging, storage
from ocbench.errors import DataError
from ocbench.scene import Scene
from ocbench.shards import Manifest, ShardRecord, fingerprint, read_shard, recorded, scene_digest, write_shard


def scenes(count: int = 3) -> list[Scene]:
    return [Scene(f"dots-{n:06d}", *dots.draw(n), meta={"index": n, "é": [1.5, None]}) for n in range(count)]


def same(one: Scene, other: Scene) -> bool:
    parts = (one.background_parts is None) == (other.background_parts is None)
    if parts and one.background_parts is not None:
        parts = np.array_equal(one.background_parts, other.background_parts)
    pixels = np.array_equal(one.image, other.image) and np.array_equal(one.mask, other.mask)
    return pixels and parts and (one.key, dict(one.meta)) == (other.key, dict(other.meta))


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "000000.tar"
    write_shard(str(path), scenes())
    return path


# Writing and reading back


@pytest.mark.parametrize("image_format", imaging.IMAGE_FORMATS)
def test_scenes_come_back_whole(tmp_path: Path, image_format: str) -> None:
    written = scenes()
    written[1] = replace(written[1], background_parts=written[1].mask + 1)
    path = str(tmp_path / "000000.tar")
    record = write_shard(
        path, written, image_format, notes={"flagged": ["dots-000002"], "unreadable": ["dots-000009: cut"]}
    )
    assert all(map(same, read_shard(path), written))
    assert record == ShardRecord(
        "000000.tar", storage.sha256_of(path), os.path.getsize(path), tuple(scene.key for scene in written),
        tuple(map(scene_digest, written)), ("dots-000002",), ("dots-000009: cut",),
    )  # fmt: skip
    assert recorded(str(tmp_path)) == {"000000.tar": record}
    assert [scene.key for scene in read_shard(path, "dots-000001")] == ["dots-000001"]
    assert list(read_shard(path, "dots-000007")) == []


def test_a_shard_is_a_plain_tar_whose_bytes_depend_on_its_scenes_alone(shard: Path) -> None:
    with tarfile.open(shard) as tar:
        members = tar.getmembers()
    assert [member.name for member in members[:3]] == [
        f"dots-000000.{kind}" for kind in ("image.webp", "mask.png", "meta.json")
    ]
    assert {(m.mtime, m.uid, m.gid, m.mode, m.uname, m.gname, m.type) for m in members} == {
        (0, 0, 0, 0o644, "", "", tarfile.REGTYPE)
    }
    before = shard.read_bytes()
    write_shard(str(shard), (replace(scene, image=scene.image.copy()) for scene in scenes()))
    assert shard.read_bytes() == before


def test_webdataset_reads_shards(shard: Path) -> None:
    import webdataset

    samples = list(webdataset.WebDataset(str(shard), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [scene.key for scene in scenes()]
    for sample, scene in zip(samples, scenes(), strict=True):
        assert np.array_equal(imaging.decode_image(sample["image.webp"]), scene.image)
        assert np.array_equal(imaging.decode_labels(sample["mask.png"]), scene.mask)
        assert json.loads(sample["meta.json"]) == scene.meta


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([*scenes(), scenes()[0]], "scene 'dots-000000' comes twice"),
        ([replace(scenes()[0], key="k" * 85)], "has a key of more than 84 characters"),
        ([replace(scenes()[0], meta={"a": np.int64(1)})], r"the meta of scene 'dots-000000' cannot be stored\n.*plain"),
    ],
)
def test_scenes_that_cannot_be_stored_leave_the_shard_as_it_was(shard: Path, bad: list[Scene], message: str) -> None:
    before = {path: path.read_bytes() for path in shard.parent.iterdir()}
    with pytest.raises(DataError, match=message):
        write_shard(str(shard), bad)
    assert {path: path.read_bytes() for path in shard.parent.iterdir()} == before


def test_the_longest_key_fits(tmp_path: Path) -> None:
    scene = replace(scenes()[0], key="k" * 84, background_parts=np.zeros((24, 24), np.uint8))
    write_shard(str(tmp_path / "000000.tar"), [scene])
    assert same(next(read_shard(str(tmp_path / "000000.tar"))), scene)


def test_a_disk_that_gives_back_other_pixels_is_noticed(shard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in shard.parent.iterdir()}
    decode = imaging.decode_labels
    monkeypatch.setattr(imaging, "decode_labels", lambda *words: decode(*words) ^ 1)
    with pytest.raises(DataError, match=r"000000\.tar' did not come back from the disk as it was written"):
        write_shard(str(shard), scenes())
    assert {path: path.read_bytes() for path in shard.parent.iterdir()} == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device that is always full")
def test_a_full_disk_leaves_the_shard_as_it_was(shard: Path) -> None:
    before = {path: path.read_bytes() for path in shard.parent.iterdir()}
    os.symlink("/dev/full", storage.beside_of(str(shard)))
    with pytest.raises(DataError, match=r"the disk is full: cannot write '.*000000\.tar'\n(.*\n)*.*free some space"):
        write_shard(str(shard), scenes(20))
    assert {path: path.read_bytes() for path in shard.parent.iterdir()} == before


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_any_other_failed_write_leaves_the_shard_as_it_was(shard: Path) -> None:
    """The kernel stops the file in the middle of a member."""
    before = {path: path.read_bytes() for path in shard.parent.iterdir()}
    with largest_file(20_000), pytest.raises(DataError, match=r"cannot write '.*000000\.tar'\n.*File too large"):
        write_shard(str(shard), scenes(20))
    assert {path: path.read_bytes() for path in shard.parent.iterdir()} == before


# Damage


def test_every_cut_is_noticed(shard: Path) -> None:
    whole = shard.read_bytes()
    with tarfile.open(shard) as tar:
        members = tar.getmembers()
    last = members[-1]
    end = last.offset_data + 512 * -(-last.size // 512)
    between = [member.offset for member in members]
    for cut in (0, 100, *between, last.offset_data, end, end + 100):
        shard.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=r"archive '.*000000\.tar' (is empty|ends early)\n(.*\n)*.*verify --repair"):
            list(read_shard(str(shard)))


def test_what_is_no_shard_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "000000.tar"
    for content, message in ((b"x" * 2000, "is not a tar archive"), (b"<html>", "is a web page")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            list(read_shard(str(path)))
    with pytest.raises(DataError, match="cannot read"):
        list(read_shard(str(tmp_path / "000001.tar")))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.mask.png", None, r"scene 'a' in '.*' lacks its image or mask\n.*image\.webp, meta\.json"),
        ("a.image.webp", None, "lacks its image or mask"),
        ("a.image.webp", b"junk", "image of 'a' cannot be decoded"),
        ("a.mask.png", b"junk", "mask of 'a' cannot be decoded"),
        ("a.meta.json", b"{", "the meta of scene 'a' is damaged"),
        ("a.meta.json", b"[1]", r"the meta of scene 'a' is damaged\n.*a JSON object"),
        ("a.background.png", b"junk", "background of 'a' cannot be decoded"),
    ],
)
def test_a_damaged_scene_is_named(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    image, mask = dots.draw(0)
    files = {
        "a.image.webp": imaging.encode_image(image), "a.mask.png": imaging.encode_labels(mask), "a.meta.json": b"{}",
        name: content,
    }  # fmt: skip
    path = tmp_path / "000000.tar"
    with tarfile.open(path, "w") as tar:
        for member, data in files.items():
            if data is not None:
                header = tarfile.TarInfo(member)
                header.size = len(data)
                tar.addfile(header, io.BytesIO(data))
    with pytest.raises(DataError, match=message):
        list(read_shard(str(path)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "000000.tar"
    write_shard(str(path), scenes())
    return path.read_bytes()


def mutate_and_read(whole: bytes, path: Path, data: st.DataObject) -> None:
    damaged = bytearray(whole[: data.draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))])
    for place in data.draw(st.lists(st.integers(0, max(len(damaged), 1) - 1), max_size=5)):
        damaged[place : place + 1] = bytes([data.draw(st.integers(0, 255))])
    path.write_bytes(damaged)
    try:
        found = list(read_shard(str(path)))
    except DataError:
        return
    assert [scene.key for scene in found if scene.image.dtype == scene.mask.dtype == np.uint8]


@given(st.data())
@settings(max_examples=200)
def test_mutated_shards_are_read_or_are_data_errors(
    whole: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    mutate_and_read(whole, tmp_path_factory.getbasetemp() / "mutated.tar", data)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=10_000)
def test_ten_thousand_mutated_shards(
    whole: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    mutate_and_read(whole, tmp_path_factory.getbasetemp() / "mutated.tar", data)


# Digests and manifests


def test_a_digest_sees_every_pixel_and_the_shape() -> None:
    scene = scenes()[0]
    others = [
        replace(scene, image=scene.image ^ 1),
        replace(scene, mask=scene.mask ^ 1),
        replace(scene, background_parts=scene.mask),
        replace(scene, image=scene.image.reshape(12, 48, 3), mask=scene.mask.reshape(12, 48)),
    ]
    assert len({scene_digest(other) for other in [scene, *others]}) == 5
    assert scene_digest(replace(scene, key="other", image=np.asfortranarray(scene.image))) == scene_digest(scene)


def test_a_fingerprint_tells_protocols_versions_keys_pixels_and_order_apart() -> None:
    names = [
        fingerprint(*words)
        for words in (
            ("p", 1, "ab", "xy"), ("q", 1, "ab", "xy"), ("p", 2, "ab", "xy"), ("p", 1, "ac", "xy"),
            ("p", 1, "ab", "xz"), ("p", 1, "ba", "yx"), ("p", 1, "a", "x"),
        )
    ]  # fmt: skip
    assert len(set(names)) == len(names)
    assert names[0] == fingerprint("p", 1, ["a", "b"], iter("xy"))


def manifest() -> Manifest:
    head = Manifest(
        dataset="dots", split="test", protocol="small", version=1, size=(16, 16), max_objects=9, image_format="webp",
        rule={"crop": [4, 4, 16], "range": [0, 4]}, partial={"expected": 9, "found": 4}, limit=5,
    )  # fmt: skip
    shards = [
        ShardRecord(
            f"00000{n}.tar",
            "0" * 64,
            9,
            (f"{n}a", f"{n}b"),
            ("x", "y"),
            (f"{n}a",),
            (f"{n}c: cut",),
            (f"{n}d",),
            (4 + n,),
        )
        for n in range(2)
    ]  # fmt: skip
    return head.holding(shards)


def test_a_manifest_comes_back_equal(tmp_path: Path) -> None:
    manifest().save(str(tmp_path))
    assert Manifest.load(str(tmp_path)) == manifest()
    assert manifest().keys == ("0a", "0b", "1a", "1b")
    assert (manifest().scenes, manifest().flagged, manifest().unreadable) == (4, ("0a", "1a"), ("0c: cut", "1c: cut"))
    assert (manifest().filtered, manifest().missing) == (("0d", "1d"), (4, 5))
    assert manifest().head().holding(manifest().shards) == manifest()


def test_a_set_says_how_it_falls_short() -> None:
    assert manifest().incomplete() == {
        "limit": 5, "partial": {"expected": 9, "found": 4}, "missing": 2, "unreadable": 2
    }  # fmt: skip
    assert replace(manifest().head(), partial=None, limit=None).incomplete() is None


@pytest.mark.parametrize(("count", "keys"), [(1, ("0a",)), (2, ("0a", "0b")), (3, ("0a", "0b", "1a"))])
def test_the_first_scenes_of_a_set_are_a_set_of_their_own(count: int, keys: tuple[str, ...]) -> None:
    cut = manifest().first(count)
    assert cut.keys == keys
    assert cut.limit == count
    assert cut.fingerprint == fingerprint("small", 1, keys, "xyxy"[:count])


def test_scenes_drawn_by_a_seed_are_a_set_of_their_own_in_the_order_of_the_whole() -> None:
    drawn = manifest().drawn(3, seed=0)
    assert drawn.subset == (3, 0)
    assert len(set(drawn.keys)) == 3
    assert [key for key in manifest().keys if key in drawn.keys] == list(drawn.keys)
    assert drawn.fingerprint == fingerprint("small", 1, drawn.keys, drawn.digests) != manifest().fingerprint
    assert manifest().drawn(3, seed=0) == drawn
    assert len({manifest().drawn(2, seed).keys for seed in range(20)}) > 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda record: record.pop("shards"), "is damaged\n.*KeyError: 'shards'"),
        (lambda record: record.update(shards=[{}]), "is damaged"),
        (lambda record: record.update(surprise=1), "is damaged\n.*surprise"),
        (lambda record: record.update(format="ocbench.shards/9"), "another format\n.*ocbench.shards/1\n.*shards/9"),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, damage, message: str) -> None:
    manifest().save(str(tmp_path))
    path = tmp_path / "manifest.json"
    record = json.loads(path.read_bytes())
    damage(record)
    path.write_text(json.dumps(record))
    with pytest.raises(DataError, match=message):
        Manifest.load(str(tmp_path))


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\xff"])
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content, encoding="latin-1")
    with pytest.raises(DataError, match=r"manifest\.json' is damaged\n(.*\n)*.*--overwrite"):
        Manifest.load(str(tmp_path))


def test_records_come_from_the_manifest_and_newer_ones_from_beside_the_shards(tmp_path: Path) -> None:
    assert recorded(str(tmp_path)) == {}
    manifest().save(str(tmp_path))
    assert recorded(str(tmp_path)) == {shard.name: shard for shard in manifest().shards}
    newer = write_shard(str(tmp_path / "000001.tar"), scenes())
    (tmp_path / "000000.tar.json").write_text("{")  # damaged: as if there were none
    assert recorded(str(tmp_path)) == {"000001.tar": newer}
