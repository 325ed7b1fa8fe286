"""Data that lie elsewhere: the whole way from shards to scores with a --data-dir in memory, and on an S3 server.

The server is moto's, on this machine; two worker processes write to it, and know of it by environment variables alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import fsspec
import numpy as np
import pytest

from ocbench import jobs, open_dataset, storage

BUCKET = "shelf"


@dataclass(frozen=True)
class Place:
    """A remote data directory, empty at first."""

    url: str
    executor: str

    def split(self, name: str) -> str:
        return f"{self.url}/shards/squares/native/{name}"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 server with one bucket."""
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    yield "http://{}:{}".format(*running.get_host_and_port())
    running.stop()


@pytest.fixture(params=["memory", "s3"])
def place(
    request: pytest.FixtureRequest, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    monkeypatch.setattr(jobs, "SCENES_PER_SHARD", 20)
    monkeypatch.setenv("OCBENCH_CACHE", str(tmp_path / "cache"))
    if request.param == "memory":
        url, executor = "memory://remote-output", "local:1"
    else:
        url, executor = f"s3://{BUCKET}/data", "local:2"
        for name, value in {
            "AWS_ENDPOINT_URL": request.getfixturevalue("server"), "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
    system, inner = fsspec.core.url_to_fs(url, skip_instance_cache=True)
    system.clear_instance_cache()  # else ocbench would be given one that was made for another address
    if request.param == "s3":
        system.mkdir(BUCKET)
    yield Place(url, executor)
    system.invalidate_cache()
    system.rm(inner, recursive=True)
    if request.param == "s3":
        system.rmdir(BUCKET)


@pytest.fixture
def call(ocbench: Callable, place: Place) -> Callable:
    """The command line with the remote place as its data directory."""
    return lambda *words: ocbench(*words, "--data-dir", place.url)


@pytest.fixture
def prepare(call: Callable, place: Place) -> Callable:
    return lambda *words: call("prepare", "squares", "--executor", "local:1", *words)


def shards(ended: object) -> list[list[str]]:
    return [split["shards"] for split in json.loads(ended.out)["splits"]]  # type: ignore[attr-defined]


def test_the_whole_way(ocbench: Callable, call: Callable, place: Place, tmp_path: Path) -> None:
    made = call("prepare", "squares", "--executor", place.executor, "--json")
    assert made.code == 0, made.err
    local = ocbench("prepare", "squares", "--executor", "local:1", "--json")
    assert shards(made) == shards(local)
    assert storage.names(place.split("train")) == [*(f"{n:06d}.tar" for n in range(4)), "manifest.json"]
    assert f"ocbench train toy --data-dir {place.url}" in made.err

    scenes = open_dataset("squares", "val", data_dir=place.url)
    for mine, other in zip(scenes, open_dataset("squares", "val", data_dir=str(tmp_path / "data")), strict=True):
        assert mine.key == other.key
        assert np.array_equal(mine.image, other.image)
    assert scenes[7].key == scenes.keys[7]
    assert "squares:train@native" in call("doctor").out

    trained = call("train", "toy", "--steps", 2, "--device", "cpu")
    assert trained.code == 0, trained.err
    assert f"cache       {tmp_path / 'cache'}/" in trained.err
    assert len(list((tmp_path / "cache").glob("*/images.npy"))) == 1
    scored = call("evaluate", "--device", "cpu", "--json")
    assert scored.code == 0, scored.err
    assert json.loads(scored.out)["sheets"][0]["scenes"] == 24
    streamed = call("train", "toy", "--steps", 2, "--device", "cpu", "--stream", "--workers", 1, "--name", "streamed")
    assert streamed.code == 0, streamed.err


def test_what_is_there_is_gone_on_from_and_what_is_damaged_is_found_and_repaired(
    call: Callable, prepare: Callable, place: Place
) -> None:
    before = shards(prepare("--json"))
    broken, missing = f"{place.split('train')}/000001.tar", f"{place.split('val')}/000000.tar"
    content = bytearray(storage.read_bytes(broken))
    content[700] ^= 1
    storage.write_atomic(broken, bytes(content))
    storage.remove(missing)
    again = prepare("--json")
    assert "5 of 7 shards already verified" in again.err
    assert shards(again) == before

    assert call("verify", "--deep").code == 0
    storage.write_atomic(broken, bytes(content))
    storage.remove(missing)
    found = call("verify", "--deep")
    assert found.code == 5
    assert f"{broken}: other bytes than the" in found.err
    assert f"{missing}: missing" in found.err
    assert call("verify", "squares", "--repair").code == 0
    assert call("verify", "squares:train", "--deep").code == 0
    assert storage.names(place.split("train"))[-1] == "manifest.json"


def test_what_lies_in_the_way_is_kept(prepare: Callable, place: Place) -> None:
    assert prepare("--limit", 3).code == 0
    refused = prepare()
    assert refused.code == 5
    assert f"'{place.split('train')}' holds another preparation" in refused.err
    storage.write_atomic(f"{place.split('train')}/thesis.tex", b"three years")
    foreign = prepare("--overwrite")
    assert foreign.code == 5
    assert "holds files that `ocbench prepare` did not write\n  found     'thesis.tex'" in foreign.err
    assert storage.names(place.split("train")) == ["000000.tar", "manifest.json", "thesis.tex"]
    storage.remove(f"{place.split('train')}/thesis.tex")
    assert prepare("--overwrite").code == 0
    assert len(open_dataset("squares", "train", data_dir=place.url)) == 64


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("clevrtex", "--executor", "local:1"), "raw data are not looked for under 'memory://nothing'\n.*--raw PATH"),
        (("clevrtex", "--executor", "local:2"), "'memory://nothing' is the memory of this process alone"),
    ],
)
def test_what_a_remote_place_cannot_be_is_told(ocbench: Callable, words: tuple[str, ...], message: str) -> None:
    ended = ocbench("prepare", *words, "--data-dir", "memory://nothing")
    assert ended.code == 2
    assert re.search(message, ended.err)


def test_a_store_that_is_not_there_is_named(ocbench: Callable, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "any")
    fsspec.filesystem("s3").clear_instance_cache()
    ended = ocbench(
        "prepare", "mini-plain", "--limit", 1, "--executor", "local:1", "--data-dir", "s3://no-such-bucket/x"
    )
    assert ended.code == 5
    assert "cannot write 's3://no-such-bucket/x/shards/mini-plain/quick/train/plan.json'" in ended.err
    assert "AWS_ENDPOINT_URL" in ended.err
