"""`ocbench prepare`: what it says, what it promises on stdout, and the error and exit code of each wrong word."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dots
import pytest

from ocbench import jobs, registry, storage
from ocbench.shards import Manifest

pytestmark = pytest.mark.usefixtures("toy")
SQUARES = ("prepare", "squares", "--executor", "local:1")


def words(text: str) -> list[str]:
    """The first word of each line."""
    return [line.split()[0] for line in text.splitlines()]


def test_it_says_what_is_there_what_will_be_and_what_was_written(ocbench: Callable, tmp_path: Path) -> None:
    ended = ocbench(*SQUARES)
    assert ended.code == 0
    assert words(ended.err) == ["raw", "protocol", "plan", "checked", "next"]
    for line in (
        "none needed: scenes are rendered",
        "native/1   crop 16 at 4, 4, 16x16, images bilinear-antialias, masks nearest-centre",
        "train 64 in 1 shard | val 16 in 1 | test 24 in 1",
        "104 scenes, 0 unreadable, 0 with an object that the crop removed (kept, flagged)",
        "ocbench train toy",
    ):
        assert line in ended.err
    assert words(ended.out) == ["wrote"] * 3
    for line, (split, scenes) in zip(ended.out.splitlines(), {"train": 64, "val": 16, "test": 24}.items(), strict=True):
        directory = tmp_path / "data" / "shards" / "squares" / "native" / split
        assert f"{directory}   {scenes} scenes   " in line
        assert line.endswith(f"fingerprint {Manifest.load(str(directory)).fingerprint}")
    again = ocbench(*SQUARES)
    assert words(again.err) == ["raw", "protocol", "plan", "resume", "checked", "next"]
    assert "3 of 3 shards already verified" in again.err
    assert again.out == ended.out


def test_quiet_leaves_the_result_and_json_makes_it_one_object(ocbench: Callable, tmp_path: Path) -> None:
    quiet = ocbench(*SQUARES, "--limit", 3, "--quiet")
    assert (quiet.err, words(quiet.out)) == ("", ["wrote"] * 3)
    found = json.loads(ocbench(*SQUARES, "--limit", 3, "--json").out)
    assert (found["dataset"], found["protocol"]) == ("squares", "native")
    train = found["splits"][0]
    manifest = Manifest.load(train["directory"])
    assert train == {
        "split": "train", "directory": str(tmp_path / "data" / "shards" / "squares" / "native" / "train"), "scenes": 3,
        "bytes": manifest.shards[0].size, "fingerprint": manifest.fingerprint, "flagged": 0, "unreadable": [],
        "incomplete": {"limit": 3}, "shards": [manifest.shards[0].sha256],
    }  # fmt: skip


def test_a_dry_run_touches_nothing(ocbench: Callable, tmp_path: Path) -> None:
    ended = ocbench(*SQUARES, "--dry-run", "--splits", "test, val", "--limit", 20)
    assert ended.code == 0
    assert "test 20 in 1 shard | val 16 in 1" in ended.err
    assert ended.out == "nothing was written\n"
    assert not (tmp_path / "data").exists()
    assert json.loads(ocbench(*SQUARES, "-n", "--json").out)["plan"]["train"] == [64, 1]


def test_four_workers_give_the_shards_of_one(
    ocbench: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "SCENES_PER_SHARD", 20)
    one = json.loads(ocbench(*SQUARES, "--json").out)
    many = ocbench("prepare", "squares", "--executor", "local:4", "--json", "--data-dir", tmp_path / "other")
    assert [s["shards"] for s in json.loads(many.out)["splits"]] == [s["shards"] for s in one["splits"]]


def test_the_built_in_data_are_the_same_from_any_executor(ocbench: Callable, tmp_path: Path) -> None:
    found = []
    for executor in ("local:1", "local:2"):
        data = tmp_path / executor
        ended = ocbench("prepare", "mini-plain", "--limit", 4, "--executor", executor, "--json", "--data-dir", data)
        found.append([split["shards"] for split in json.loads(ended.out)["splits"]])
        assert [split["split"] for split in json.loads(ended.out)["splits"]] == ["train", "val", "test"]
    assert found[0] == found[1]


def test_the_next_command_fits_what_was_prepared(ocbench: Callable, tmp_path: Path) -> None:
    only = ocbench(*SQUARES, "--splits", "val,test", "--data-dir", tmp_path / "else")
    assert f"ocbench evaluate --data squares --split val,test --data-dir {tmp_path / 'else'}" in only.err


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("sqares", 3, "error: no dataset named 'sqares'"),
        ("squares --protocol nativ", 3, "did you mean 'native'?"),
        ("squares --splits train,tset", 3, "did you mean 'test'?"),
        ("squares --executor cluster", 2, "error: no executor 'cluster'"),
        ("squares --limit 0", 2, "Invalid value for '--limit'"),
        ("squares --image-format jpeg", 2, "'jpeg' is not one of 'webp', 'png'"),
        ("squares --executor threads:2", 2, "error: no executor 'threads:2'"),
        ("squares --data-dir memory://there", 2, "error: 'memory://there' is the memory of this process alone"),
    ],
)
def test_wrong_words_end_in_one_error_with_its_exit_code(ocbench: Callable, line: str, code: int, message: str) -> None:
    ended = ocbench("prepare", *line.split())
    assert ended.code == code
    assert message in ended.err
    assert ended.out == ""


def test_nothing_raw_says_what_to_place_where(ocbench: Callable, tmp_path: Path) -> None:
    ended = ocbench("prepare", "clevrtex")
    assert ended.code == 5
    lines = ended.err.splitlines()
    assert lines[0] == f"error: no raw CLEVRTEX under '{tmp_path / 'data' / 'raw' / 'clevrtex'}'"
    assert lines[1] == (
        "  expected  clevrtex_full/0/CLEVRTEX_full_000000.png … or clevrtex_full_part1.tar.gz … part5.tar.gz, "
        "or for the protocol oclib 'clevrtex-full.hdf5'"
    )
    assert lines[2] == "  found     nothing"
    assert lines[3].startswith("  hint      place the archives there (no need to unpack)")
    assert "23.5 GB" in lines[3]
    assert len(lines) == 4
    assert not (tmp_path / "data").exists()


def test_what_cannot_be_read_is_named_and_a_dataset_without_models_has_a_next_step(
    ocbench: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = replace(dots.PROTOCOL, name="large")
    monkeypatch.setattr(registry, "dataset", lambda name: replace(dots.SPEC, protocols=(dots.PROTOCOL, large)))
    source = dots.write(tmp_path / "raw")
    for index in range(5, 17):
        (source / f"dots-{index:06d}.png").write_bytes(b"")
    ended = ocbench(
        "prepare", "dots", "--raw", source, "--executor", "local:1", "--skip-unreadable", "--protocol", "large"
    )
    assert ended.code == 0
    assert f"{source}   dots 20" in ended.err
    assert "8 scenes, 12 unreadable" in ended.err
    assert "dots-000005: '" in ended.err
    assert "and 2 more" in ended.err
    assert "ocbench train MODEL --data dots@large" in ended.err


def test_another_preparation_in_the_way_is_kept_unless_overwritten(ocbench: Callable) -> None:
    before = ocbench(*SQUARES, "--limit", 3).out
    refused = ocbench(*SQUARES)
    assert refused.code == 5
    assert "holds another preparation" in refused.err
    assert "limit 3, now none" in refused.err
    assert ocbench(*SQUARES, "--limit", 3).out == before
    assert "64 scenes" in ocbench(*SQUARES, "--overwrite").out


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device that is always full")
def test_a_full_disk_ends_in_exit_5_and_the_same_command_goes_on(ocbench: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "shards" / "squares" / "native" / "val"
    folder.mkdir(parents=True)
    os.symlink("/dev/full", storage.beside_of(str(folder / "000000.tar")))
    full = ocbench(*SQUARES)
    assert full.code == 5
    assert f"error: the disk is full: cannot write '{folder / '000000.tar'}'" in full.err
    assert "what is whole is kept" in full.err
    again = ocbench(*SQUARES)
    assert "1 of 3 shards already verified" in again.err
    assert again.code == 0
