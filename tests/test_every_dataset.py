"""Every dataset in its true layout through the whole job: prepare, verify, train, evaluate; and killed at any time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shapestacks_sources
import sources
import tfrecord_sources

from ocbench.shards import MANIFEST, Manifest


def clevr(folder: Path) -> None:
    tfrecord_sources.write_clevr(folder, 12)


def objectsroom(folder: Path) -> None:
    for variant, count in {"train": 100, "six_objects": 3, "empty_room": 2}.items():
        tfrecord_sources.write_room(folder, variant, count)


def clevrtex(folder: Path) -> None:
    sources.write_clevrtex(folder, "full", 12, folder_size=5)
    sources.write_archives(sources.write_clevrtex(folder / "packing", "camo", 10, folder_size=5), folder)


def shapestacks(folder: Path) -> None:
    shapestacks_sources.write_tree(folder)


WRITERS: dict[str, Callable[[Path], None]] = {
    "clevr": clevr, "objectsroom": objectsroom, "clevrtex": clevrtex, "shapestacks": shapestacks,
}  # fmt: skip


@pytest.fixture(scope="module", params=WRITERS)
def raw(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    WRITERS[request.param](folder)
    return request.param, folder


def test_from_the_raw_layout_to_scores(ocbench: Callable, toy: Path, raw: tuple[str, Path], tmp_path: Path) -> None:
    dataset, folder = raw
    data = f"--data={dataset}"
    for words in (
        ("prepare", dataset, "--raw", folder, "--partial", "--executor", "local:2"),
        ("verify", dataset, "--deep"),
        ("train", "toy", data, "--steps", 3, "-s", "batch_size=2", "--device", "cpu"),
        ("evaluate", "--split", "test", "--metrics", "miou,ari_fg", "--device", "cpu"),
    ):
        ended = ocbench(*words)
        assert ended.code == 0, ended.err
    (sheet,) = (tmp_path / "runs").glob("*/scores/*.json")
    assert json.loads(sheet.read_text())["special"]["partial"]


def digests(data: Path) -> dict[str, list[str]]:
    """Of every shard, once each folder holds its shards and manifest and nothing else."""
    found = {}
    for path in sorted(data.rglob(MANIFEST)):
        manifest = Manifest.load(str(path.parent))
        assert sorted(os.listdir(path.parent)) == [*(shard.name for shard in manifest.shards), MANIFEST]
        found[path.parent.name] = [shard.sha256 for shard in manifest.shards]
    return found


@pytest.mark.slow
def test_killed_at_twenty_random_moments_the_shards_are_the_same(raw: tuple[str, Path], tmp_path: Path) -> None:
    dataset, folder = raw
    command = [sys.executable, "-m", "ocbench", "prepare", dataset, "--raw", str(folder), "--partial", "--quiet"]

    def start(data: Path) -> subprocess.Popen:
        words = [*command, "--data-dir", str(data), "--executor", "local:2"]
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    began = time.monotonic()
    assert start(tmp_path / "undisturbed").wait() == 0
    took, expected = time.monotonic() - began, digests(tmp_path / "undisturbed")
    random = np.random.default_rng(len(dataset))
    for round_ in range(5):
        data = tmp_path / f"killed-{round_}"
        for _ in range(4):
            process = start(data)
            time.sleep(took * random.uniform(0.3, 1.0))
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert start(data).wait() == 0
        assert digests(data) == expected
