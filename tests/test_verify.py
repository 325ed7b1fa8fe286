"""verify finds every damage that a shard can take, and repair gives back the very bytes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dots
import pytest

from ocbench import imaging, registry
from ocbench.errors import DataError
from ocbench.prepared import PreparedSplit
from ocbench.shards import Manifest, write_shard
from ocbench.verify import repair, verify


@pytest.fixture
def split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PreparedSplit:
    """Six shards; 'dots' is registered, and its shards stay small."""
    monkeypatch.setattr(registry, "dataset", lambda name: {"dots": dots.SPEC}[name])
    monkeypatch.setattr("ocbench.jobs.SCENES_PER_SHARD", 3)
    return dots.prepared(tmp_path)


def path(split: PreparedSplit, number: int = 1) -> Path:
    return Path(split.directory) / f"00000{number}.tar"


def recorded_anew(split: PreparedSplit) -> None:
    """As if the damage had been there from the start: the manifest has the digest of the bytes as they are."""
    import hashlib

    content = path(split).read_bytes()
    shards = list(split.manifest.shards)
    shards[1] = replace(shards[1], sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    split.manifest.holding(shards).save(split.directory)


def flip(split: PreparedSplit) -> None:
    content = bytearray(path(split).read_bytes())
    content[700] ^= 1
    path(split).write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[PreparedSplit], object], str]] = {
    "missing": (lambda split: path(split).unlink(), "missing"),
    "cut": (lambda split: os.truncate(path(split), 4000), "other bytes than the"),
    "flipped": (flip, "other bytes than the"),
    "swapped": (lambda split: shutil.copy(path(split, 2), path(split)), "other bytes than the"),
    "a folder": (lambda split: (path(split).unlink(), path(split).mkdir()), "cannot read"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_and_repaired_to_the_very_bytes(split: PreparedSplit, tmp_path: Path, damage: str) -> None:
    before = {file: (Path(split.directory) / file).read_bytes() for file in os.listdir(split.directory)}
    assert verify(split, deep=True) == []
    harm, fault = DAMAGES[damage]
    harm(split)
    (finding,) = verify(split)
    assert finding.name == "000001.tar"
    assert fault in finding.fault
    if damage == "a folder":
        path(split).rmdir()
    repaired = repair(split, [finding], raw=str(tmp_path / "raw"), data_dir="elsewhere")
    assert {file: (Path(split.directory) / file).read_bytes() for file in os.listdir(split.directory)} == before
    assert verify(repaired, deep=True) == []


def test_only_a_deep_look_sees_what_the_digests_of_bytes_do_not(split: PreparedSplit) -> None:
    scenes = split[3:6]
    worse = [replace(scenes[0], image=scenes[0].image ^ 1), *scenes[1:]]
    for damaged, fault in (
        (worse, "other pixels in dots-000007"),
        (scenes[:2], "other scenes than the manifest lists"),
        ([replace(scenes[0], mask=scenes[0].mask + 9), *scenes[1:]], "scene 'dots-000007' has a label above K"),
    ):
        write_shard(str(path(split)), damaged)
        recorded_anew(split)
        found = PreparedSplit(split.directory)
        assert verify(found) == []
        assert [finding.fault for finding in verify(found, deep=True)] == [fault]


def test_a_shard_that_does_not_decode_is_named(split: PreparedSplit) -> None:
    content = path(split).read_bytes().replace(b"RIFF", b"JUNK")
    path(split).write_bytes(content)
    recorded_anew(split)
    (finding,) = verify(PreparedSplit(split.directory), deep=True)
    assert "image of 'dots-000007' cannot be decoded" in finding.fault


def test_a_manifest_whose_content_was_changed_is_found_and_not_repairable(split: PreparedSplit) -> None:
    file = Path(split.directory) / "manifest.json"
    record = json.loads(file.read_bytes())
    record["shards"][0]["digests"][0] = "0" * 64
    file.write_text(json.dumps(record))
    found = PreparedSplit(split.directory)
    (finding,) = verify(found)
    assert (finding.name, finding.fault) == ("manifest.json", "its fingerprint is not that of its keys and digests")
    with pytest.raises(DataError, match=r"cannot be repaired shard by shard\n.*a damaged manifest\n.*--overwrite"):
        repair(found, [finding], raw=None, data_dir="data")


def test_progress_counts_shards(split: PreparedSplit) -> None:
    seen: list[tuple[int, int]] = []
    verify(split, progress=lambda done, total, note: seen.append((done, total)))
    assert seen == [(n, 6) for n in range(1, 7)]


def test_repair_from_a_source_that_has_changed_is_refused(split: PreparedSplit, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "raw" / "dots-000001.png", tmp_path / "raw" / "dots-000008.png")
    before = (Path(split.directory) / "manifest.json").read_bytes()
    path(split).unlink()
    with pytest.raises(
        DataError, match=r"came out with other pixels .* first 'dots-000008'\n.*has changed\n.*overwrite"
    ):
        repair(split, verify(split), raw=str(tmp_path / "raw"), data_dir="data")
    assert (Path(split.directory) / "manifest.json").read_bytes() == before
    assert verify(split)


def test_repair_under_another_protocol_or_source_is_refused(
    split: PreparedSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path(split).unlink()
    moved = replace(dots.SPEC, protocols=(replace(dots.PROTOCOL, crop=(3, 3, 16)),))
    monkeypatch.setattr(registry, "dataset", lambda name: moved)
    with pytest.raises(DataError, match=r"cannot be repaired .*\n.*another source or protocol than it was made from"):
        repair(split, verify(split), raw=str(tmp_path / "raw"), data_dir="data")
    monkeypatch.setattr(registry, "dataset", lambda name: dots.SPEC)
    with pytest.raises(DataError, match=r"cannot read the source of dots in '.*nothing/raw/dots'"):
        repair(split, verify(split), raw=None, data_dir=str(tmp_path / "nothing"))


def test_repair_takes_new_bytes_of_the_same_scenes_into_the_manifest(
    split: PreparedSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the encoder has become a better one since."""
    encode = imaging.encode_labels
    monkeypatch.setattr(imaging, "encode_labels", lambda mask: encode(mask) + b"\0")
    path(split).unlink()
    repaired = repair(split, verify(split), raw=str(tmp_path / "raw"), data_dir="data")
    assert repaired.fingerprint == split.fingerprint
    assert repaired.manifest.shards[1].sha256 != split.manifest.shards[1].sha256
    assert verify(repaired, deep=True) == []
    assert sorted(os.listdir(split.directory)) == [*(shard.name for shard in split.manifest.shards), "manifest.json"]


def test_a_partial_set_from_an_archive_is_repaired_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ocbench import prepare

    monkeypatch.setattr(registry, "dataset", lambda name: dots.SPEC)
    monkeypatch.setattr("ocbench.jobs.SCENES_PER_SHARD", 3)
    source = dots.write(tmp_path / "raw", [n for n in range(15) if n != 8], packed=True)
    prepare.prepare(dots.plan(tmp_path / "data", source, ["train"], partial=True))
    split = PreparedSplit(tmp_path / "data" / "shards" / "dots" / "small" / "train")
    before = Manifest.load(split.directory)
    path(split).unlink()
    repaired = repair(split, verify(split), raw=str(source), data_dir="data")
    assert repaired.manifest == before
    assert verify(repaired, deep=True) == []
