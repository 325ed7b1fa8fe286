"""prepare: the same bytes whatever happens on the way, and nothing whole is ever damaged.

Sources are those of tests/dots.py, in shards of three scenes: train six, val and test one each.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from threading import Timer

import dots
import pytest

from ocbench import jobs, prepare, storage
from ocbench.errors import DataError
from ocbench.scene import Scene
from ocbench.shards import Manifest

FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device that is always full")
SHARDS = {"train": 6, "val": 1, "test": 1}


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SCENES_PER_SHARD", 3)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return dots.write(tmp_path / "raw")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The digests of the shards of each split, prepared without any incident."""
    folder = tmp_path_factory.mktemp("expected")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "SCENES_PER_SHARD", 3)
        made = prepare.prepare(dots.plan(folder / "data", dots.write(folder / "raw")))
    return {name: [shard.sha256 for shard in manifest.shards] for name, manifest in made.items()}


def shards(data: Path) -> dict[str, list[str]]:
    """The digests of the shards on disk, once the folders hold these and a manifest of them, and nothing else."""
    found = {}
    for path in sorted(data.glob("shards/*/*/*/manifest.json"), key=lambda path: list(SHARDS).index(path.parent.name)):
        manifest = Manifest.load(str(path.parent))
        assert sorted(os.listdir(path.parent)) == [*(shard.name for shard in manifest.shards), "manifest.json"]
        for shard in manifest.shards:
            assert storage.sha256_of(str(path.parent / shard.name)) == shard.sha256
        found[path.parent.name] = [shard.sha256 for shard in manifest.shards]
    return found


def split(data: Path, name: str = "train") -> Path:
    return data / "shards" / "dots" / "small" / name


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# The bytes


@pytest.mark.parametrize(("packed", "workers"), [(False, 2), (False, 4), (True, 1), (True, 2)])
def test_any_number_of_workers_gives_the_same_shards(
    tmp_path: Path, data: Path, expected: dict, packed: bool, workers: int
) -> None:
    made = prepare.prepare(dots.plan(data, dots.write(tmp_path / "raw", packed=packed), executor=f"local:{workers}"))
    assert shards(data) == expected
    assert {name: manifest.scenes for name, manifest in made.items()} == {"train": 16, "val": 2, "test": 2}


def test_another_protocol_or_content_has_another_fingerprint(tmp_path: Path, source: Path, data: Path) -> None:
    other = dots.write(tmp_path / "other")
    shutil.copy(other / "dots-000005.png", other / "dots-000002.png")
    changes: list[dict] = [{}, {"name": "large"}, {"version": 2}, {"crop": (3, 3, 16)}, {}, {}]
    found = []
    for number, (raw, change) in enumerate(zip([source] * 4 + [other, source], changes, strict=True)):
        spec = replace(dots.SPEC, protocols=(replace(dots.PROTOCOL, **change),))
        made = prepare.prepare(dots.plan(data / str(number), raw, ["val"], spec=spec))
        found.append(made["val"].fingerprint)
    assert len(set(found[:5])) == 5
    assert found[5] == found[0]


def test_images_may_be_stored_as_png_with_the_same_fingerprint(source: Path, data: Path, tmp_path: Path) -> None:
    webp = prepare.prepare(dots.plan(data, source, ["val"]))["val"]
    png = prepare.prepare(dots.plan(tmp_path / "png", source, ["val"], image_format="png"))["val"]
    assert webp.fingerprint == png.fingerprint
    assert webp.shards[0].sha256 != png.shards[0].sha256


def test_scenes_whose_object_the_crop_removed_are_flagged(tmp_path: Path, data: Path) -> None:
    for packed in (False, True):
        source = dots.write(tmp_path / f"raw{packed}", packed=packed, lonely=9)
        made = prepare.prepare(dots.plan(data / str(packed), source))
        assert made["train"].flagged == ("dots-000009",)
        assert made["test"].flagged == ()


# Going on


def test_a_second_call_writes_nothing(source: Path, data: Path) -> None:
    said, done = [], []
    plan = dots.plan(data, source)
    before = prepare.prepare(plan, progress=lambda *words: done.append(words[:2]))
    assert done == [(n, 8) for n in range(1, 9)]
    stamps = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    assert (
        prepare.prepare(plan, progress=lambda *words: done.append(words), say=lambda *words: said.append(words))
        == before
    )
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == stamps
    assert said == [("resume", "8 of 8 shards already verified")]
    assert len(done) == 8


def test_only_what_is_broken_is_written_anew(source: Path, data: Path, expected: dict) -> None:
    prepare.prepare(dots.plan(data, source))
    (split(data) / "000001.tar").unlink()
    damaged = bytearray((split(data) / "000003.tar").read_bytes())
    damaged[600] ^= 1
    (split(data) / "000003.tar").write_bytes(damaged)
    stamps = {path: path.stat().st_mtime_ns for path in data.rglob("*.*")}
    prepare.prepare(dots.plan(data, source))
    changed = {path.name for path in data.rglob("*.*") if path.stat().st_mtime_ns != stamps.get(path)}
    assert changed == {"000001.tar", "000003.tar"}
    assert shards(data) == expected


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_midway_keeps_what_is_whole_and_the_same_call_goes_on(
    source: Path, data: Path, expected: dict, workers: int
) -> None:
    whole = (source / "dots-000012.png").read_bytes()
    (source / "dots-000012.png").write_bytes(whole[:50])
    with pytest.raises(DataError, match=r"dots-000012\.png' cannot be decoded"):
        prepare.prepare(dots.plan(data, source, ["test", "val", "train"], executor=f"local:{workers}"))
    assert all(found == expected[name] for name, found in shards(data).items())
    assert workers > 1 or shards(data).keys() == {"val", "test"}
    left = sorted(os.listdir(split(data)))
    assert "plan.json" in left
    assert "000001.tar" in left
    assert not [name for name in left if name.endswith(".part")]
    (source / "dots-000012.png").write_bytes(whole)
    said: list[tuple[str, str]] = []
    prepare.prepare(dots.plan(data, source), say=lambda *words: said.append(words))
    assert shards(data) == expected
    assert said[0][0] == "resume"


def test_a_record_without_its_manifest_or_a_shard_without_its_record_is_gone_on_from(
    source: Path, data: Path, expected: dict
) -> None:
    """As a kill between two of these leaves them."""
    plan = dots.plan(data, source)
    train, val, _ = plan.ranges
    for found in plan.ranges:
        storage.make_folder(plan.directory(found))
        plan.head(found).save(plan.directory(found), "plan.json")
    first, second, *_ = plan.jobs(train)
    jobs.write_seekable(first)
    jobs.write_seekable(second)
    os.unlink(f"{second.path}.json")
    jobs.write_seekable(*plan.jobs(val))
    said: list[tuple[str, str]] = []
    prepare.prepare(plan, say=lambda *words: said.append(words))
    assert said == [("resume", "2 of 8 shards already verified")]
    assert shards(data) == expected


# Sources that are not whole


def test_a_source_that_is_not_whole_is_refused_before_anything_is_written(tmp_path: Path, data: Path) -> None:
    source = dots.write(tmp_path / "raw", range(19))
    with pytest.raises(DataError, match=r"expected  dots 20\n.*found     dots 19"):
        dots.plan(data, source)
    packed = dots.write(tmp_path / "packed", range(19), packed=True)
    with pytest.raises(DataError, match=r"has 0 of the 1 scenes 19 to 19 of 'dots'\n.*20 scenes in the part"):
        prepare.prepare(dots.plan(data, packed, ["train"]))
    assert not list(data.rglob("manifest.json"))


@pytest.mark.parametrize("packed", [False, True])
def test_a_partial_source_is_scaled_and_its_gaps_are_listed(tmp_path: Path, data: Path, packed: bool) -> None:
    source = dots.write(tmp_path / "raw", [n for n in range(15) if n not in (5, 6, 7)], packed=packed)
    made = prepare.prepare(dots.plan(data, source, partial=True))
    assert [key[-2:] for key in made["train"].keys] == ["03", "04", "08", "09", "10", "11", "12", "13", "14"]
    assert made["train"].missing == (5, 6, 7)
    assert made["train"].partial == {"part": "dots", "expected": 20, "found": 15}
    assert made["train"].incomplete() == {"partial": made["train"].partial, "missing": 3}
    assert made["test"].incomplete() == {"partial": made["train"].partial}
    assert shards(data).keys() == SHARDS.keys()


def test_a_gap_that_was_filled_since_is_taken_in_and_unmarked(tmp_path: Path, data: Path, expected: dict) -> None:
    source = dots.write(tmp_path / "raw", [n for n in range(20) if n != 8])
    assert prepare.prepare(dots.plan(data, source, partial=True))["train"].missing == (8,)
    assert prepare.prepare(dots.plan(data, source, partial=True))["train"].missing == (8,)
    dots.write(source, [8])
    made = prepare.prepare(dots.plan(data, source))
    assert made["train"].incomplete() is None
    assert shards(data) == expected


def test_unreadable_scenes_are_left_out_and_listed_only_when_asked_for(
    source: Path, data: Path, expected: dict
) -> None:
    whole = (source / "dots-000008.png").read_bytes()
    (source / "dots-000008.png").write_bytes(whole[:50])
    made = prepare.prepare(dots.plan(data, source, skip_unreadable=True))
    assert made["train"].scenes == 15
    assert "dots-000008" not in made["train"].keys
    assert made["train"].unreadable[0].startswith("dots-000008: '")
    assert made["train"].incomplete() == {"unreadable": 1}
    with pytest.raises(DataError, match=r"dots-000008\.png' cannot be decoded"):
        prepare.prepare(dots.plan(data, source))
    (source / "dots-000008.png").write_bytes(whole)
    assert prepare.prepare(dots.plan(data, source, skip_unreadable=True))["train"].scenes == 15  # listed, so done
    prepare.prepare(dots.plan(data, source))
    assert shards(data) == expected


def test_skipping_does_not_hide_scenes_that_are_not_there(source: Path, data: Path) -> None:
    plan = dots.plan(data, source, skip_unreadable=True)
    for path in source.glob("dots-000008.*"):
        path.unlink()
    with pytest.raises(DataError, match=r"has 2 of the 3 scenes 7 to 9"):
        prepare.prepare(plan)


def test_a_scene_that_does_not_fit_the_protocol_ends_it_with_its_name(source: Path, data: Path) -> None:
    spec = replace(dots.SPEC, protocols=(replace(dots.PROTOCOL, max_objects=2),))
    with pytest.raises(DataError, match=r"scene 'dots-000002' has a label above K\n.*ids 0\.\.2\n.*\[0, 1, 2, 3\]"):
        prepare.prepare(dots.plan(data, source, ["val"], spec=spec))


def test_a_reader_that_gives_one_key_twice_is_refused(source: Path, data: Path) -> None:
    def stutter(*words: object) -> Iterator[Scene]:
        for scene in dots.read(*words):  # type: ignore[arg-type]
            yield replace(scene, key=f"dots-{int(scene.key[-2:]) % 3}", index=int(scene.key[-2:]))

    with pytest.raises(DataError, match=r"split 'train' has scenes of one key"):
        prepare.prepare(dots.plan(data, source, ["train"], spec=replace(dots.SPEC, read=stutter)))


def test_a_split_without_any_scene_is_refused(source: Path, data: Path) -> None:
    spec = replace(dots.SPEC, protocols=(replace(dots.PROTOCOL, most_objects=0),))
    with pytest.raises(DataError, match="not one scene was found for split 'test'"):
        prepare.prepare(dots.plan(data, source, ["test"], spec=spec))


# What lies in the way


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"limit": 1}, "limit none, now 1"),
        ({"image_format": "png"}, "image_format webp, now png"),
        ({"spec": replace(dots.SPEC, protocols=(replace(dots.PROTOCOL, version=2),))}, "version 1, now 2"),
        ({"spec": replace(dots.SPEC, protocols=(replace(dots.PROTOCOL, crop=None),))}, r"crop \[4, 4, 16\], now none"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_another_preparation_is_replaced_only_with_overwrite(
    source: Path, data: Path, change: dict, words: str, finished: bool
) -> None:
    prepare.prepare(dots.plan(data, source))
    if not finished:
        plan = dots.plan(data, source)
        (split(data) / "manifest.json").unlink()
        plan.head(plan.ranges[0]).save(str(split(data)), "plan.json")
    before = content(split(data))
    with pytest.raises(DataError, match=rf"small/train' holds another preparation\n.*{words}(.*\n)*.*--overwrite"):
        prepare.prepare(dots.plan(data, source, ["train"], **change))
    assert content(split(data)) == before
    made = prepare.prepare(dots.plan(data, source, ["train"], overwrite=True, **change))
    assert Manifest.load(str(split(data))) == made["train"]
    assert shards(data)["train"] == [shard.sha256 for shard in made["train"].shards]


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_other_origin_are_never_removed(source: Path, data: Path, overwrite: bool) -> None:
    folder = split(data)
    folder.mkdir(parents=True)
    for name in ("thesis.tex", "000000.tar"):
        (folder / name).write_bytes(b"three years")
    with pytest.raises(DataError) as caught:
        prepare.prepare(dots.plan(data, source, overwrite=overwrite))
    assert str(folder) in caught.value.message
    assert content(folder) == {"thesis.tex": b"three years", "000000.tar": b"three years"}
    (folder / "thesis.tex").unlink()
    (folder / ".hidden").touch()
    prepare.prepare(dots.plan(data, source, ["train"], overwrite=True))
    assert (folder / ".hidden").exists()


def test_a_damaged_manifest_is_named_and_replaced_with_overwrite(source: Path, data: Path, expected: dict) -> None:
    prepare.prepare(dots.plan(data, source))
    (split(data) / "manifest.json").write_text("{")
    with pytest.raises(DataError, match=r"manifest\.json' is damaged\n(.*\n)*.*--overwrite"):
        prepare.prepare(dots.plan(data, source))
    prepare.prepare(dots.plan(data, source, overwrite=True))
    assert shards(data) == expected


def test_overwrite_starts_over(source: Path, data: Path) -> None:
    before = prepare.prepare(dots.plan(data, source, ["val"]))["val"]
    shutil.copy(source / "dots-000005.png", source / "dots-000002.png")
    assert prepare.prepare(dots.plan(data, source, ["val"]))["val"] == before  # verified shards are not read again
    after = prepare.prepare(dots.plan(data, source, ["val"], overwrite=True))["val"]
    assert after.digests[0] != before.digests[0]
    assert after.digests[1] == before.digests[1]


def test_a_source_that_has_changed_is_not_mixed_in(source: Path, data: Path) -> None:
    prepare.prepare(dots.plan(data, source))
    before = (split(data) / "manifest.json").read_bytes()
    shutil.copy(source / "dots-000005.png", source / "dots-000012.png")
    (split(data) / "000002.tar").unlink()
    for _ in range(2):
        with pytest.raises(DataError, match=r"1 scenes of '.*train' came out with other pixels .* first 'dots-000012'"):
            prepare.prepare(dots.plan(data, source))
        assert (split(data) / "manifest.json").read_bytes() == before


# Full disks, dead workers


@FULL
@pytest.mark.parametrize("name", ["plan.json", "000002.tar", "000003.tar.json", "manifest.json"])
def test_a_full_disk_ends_it_with_the_file_and_the_same_call_goes_on(
    source: Path, data: Path, expected: dict, name: str
) -> None:
    split(data).mkdir(parents=True)
    beside = storage.beside_of(str(split(data) / name))
    os.symlink("/dev/full", beside)
    with pytest.raises(
        DataError, match=rf"the disk is full: cannot write '.*train/{name}'\n(.*\n)*.*what is whole is kept"
    ):
        prepare.prepare(dots.plan(data, source))
    assert not list(data.rglob("*.part"))
    prepare.prepare(dots.plan(data, source))
    assert shards(data) == expected


def test_a_disk_that_is_too_full_is_noticed_before_the_work(
    source: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 10, 500))
    with pytest.raises(
        DataError, match=r"the disk is too full for the shards in '.*train'\n.*MB\n.*MB free\n.*--data-dir"
    ):
        prepare.prepare(dots.plan(data, source))
    assert not list(data.rglob("*.tar"))


def dying(source: str, part: str, start: int, stop: int) -> Iterator[Scene]:
    if start >= 10 and not os.path.exists(f"{source}/died"):
        os.close(os.open(f"{source}/died", os.O_CREAT))
        os.kill(os.getpid(), signal.SIGKILL)
    yield from dots.read(source, part, start, stop)


def test_a_worker_that_dies_is_an_error_and_the_same_call_goes_on(source: Path, data: Path, expected: dict) -> None:
    plan = dots.plan(data, source, executor="local:2", spec=replace(dots.SPEC, read=dying))
    with pytest.raises(DataError, match=r"a worker process died\n(.*\n)*.*run the same command again"):
        prepare.prepare(plan)
    assert not list(data.rglob("*.part"))
    prepare.prepare(plan)
    assert shards(data) == expected


# Real processes, killed


COMMAND = (sys.executable, "-m", "ocbench", "prepare", "mini-plain", "--limit", "30", "--quiet")
MOMENTS = ("train/*.tar.*.part", "train/000000.tar", "val/*.tar.*.part", "val/manifest.json")  # when these are there


def start(data: Path, workers: int = 1, **options: object) -> subprocess.Popen:
    return subprocess.Popen(
        [*COMMAND, "--data-dir", str(data), "--executor", f"local:{workers}"], start_new_session=True, **options
    )


def kill_when(process: subprocess.Popen, moment: Callable[[], bool], number: int = signal.SIGKILL) -> None:
    """Sends the signal at the moment, or finds that the process came to its end before."""
    while process.poll() is None and not moment():
        time.sleep(0.001)
    process.send_signal(number)
    process.wait()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    data = tmp_path_factory.mktemp("undisturbed")
    assert start(data).wait() == 0
    return shards(data)


def test_kill_9_and_the_same_command_until_it_ends_give_the_same_shards(data: Path, undisturbed: dict) -> None:
    """Killed with a shard half written, between a shard and its manifest, and between splits."""
    for moment in MOMENTS:
        process = start(data)
        kill_when(process, lambda moment=moment: any(data.glob(f"shards/*/*/{moment}")))
        assert process.returncode == -signal.SIGKILL
    assert start(data).wait() == 0
    assert shards(data) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("kill", range(20))
def test_twenty_kills_at_any_time(data: Path, undisturbed: dict, kill: int) -> None:
    for workers in (1, 2):
        moment = time.monotonic() + 0.1 * kill
        kill_when(start(data, workers), lambda moment=moment: time.monotonic() > moment)
    assert start(data, 2).wait() == 0
    assert shards(data) == undisturbed


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to see the workers")
def test_workers_end_with_the_process_that_started_them(data: Path, undisturbed: dict) -> None:
    process = start(data, workers=2)
    workers: list[int] = []

    def at_work() -> bool:
        workers[:] = children(process.pid)
        return any(data.rglob("*.tar.*.part"))

    kill_when(process, at_work)
    assert len(workers) >= 2
    patience = time.monotonic() + 20
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < patience, "workers outlive a killed prepare"
        time.sleep(0.01)
    assert start(data).wait() == 0
    assert shards(data) == undisturbed


def test_an_interrupt_ends_it_at_once_and_leaves_nothing_half(data: Path, undisturbed: dict) -> None:
    process = start(data, workers=2, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not any(data.rglob("*.tar.*.part")):
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
    assert process.communicate()[1].endswith("interrupted\n")
    assert process.returncode == 130
    assert not list(data.rglob("*.part"))
    assert start(data).wait() == 0
    assert shards(data) == undisturbed


def test_two_at_once_do_each_other_no_harm(data: Path, undisturbed: dict) -> None:
    assert [process.wait() for process in (start(data), start(data))] == [0, 0]
    assert shards(data) == undisturbed


def test_a_cluster_without_workers_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(prepare, "PATIENCE", 0.02)
    future: Future = Future()
    Timer(0.2, future.set_result, ["record"]).start()
    noted: list = []
    prepare._collect({future: "job"}, lambda: 1, lambda *told: noted.append(told))  # type: ignore[dict-item]
    assert noted == [("job", "record")]
    assert "no worker is left; waiting for one to join" in caplog.text
