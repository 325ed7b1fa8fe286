"""`ocbench verify`: what it looks at, what it says of damage, and that --repair mends it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def prepared(workplace: Path) -> Path:
    return workplace / "data" / "shards" / "squares" / "native"


def test_whole_shards_are_ok(ocbench: Callable, prepared: Path) -> None:
    for words in ((), ("squares",), ("squares", "--deep"), ("squares:val,train@native",), (prepared / "test",)):
        ended = ocbench("verify", *words)
        assert ended.code == 0
        assert "BROKEN" not in ended.out
    assert [line.split()[:4] for line in ocbench("verify").out.splitlines()] == [
        ["ok", "squares:test@native", "24", "scenes"],
        ["ok", "squares:train@native", "64", "scenes"],
        ["ok", "squares:val@native", "16", "scenes"],
    ]


def test_broken_shards_are_named_and_repaired(ocbench: Callable, prepared: Path) -> None:
    (prepared / "val" / "000000.tar").unlink()
    os.truncate(prepared / "test" / "000000.tar", 5000)
    ended = ocbench("verify", "squares")
    assert ended.code == 5
    assert [line.split()[0] for line in ended.out.splitlines()] == ["ok", "BROKEN", "BROKEN"]
    assert f"{prepared / 'val' / '000000.tar'}: missing" in ended.err
    assert "error: 2 of the files are not what their manifest says" in ended.err
    assert "add --repair to write them anew from their source" in ended.err
    found = json.loads(ocbench("verify", "squares:val", "--json").out)["splits"]
    assert [split["broken"] for split in found] == [[{"name": "000000.tar", "fault": "missing"}]]
    mended = ocbench("verify", "squares", "--repair")
    assert mended.code == 0
    assert mended.err.count("repaired") == 2
    assert ocbench("verify", "--deep").code == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("sqares", 3, "no dataset named 'sqares'"),
        ("squares:tset", 3, "no split named 'tset'"),
        ("squares --data-dir elsewhere", 5, "'squares:test@native' is not prepared"),
        ("--data-dir elsewhere", 5, "nothing is prepared under 'elsewhere'"),
        ("./elsewhere", 5, "no prepared split at './elsewhere'"),
    ],
)
def test_what_is_not_there_is_an_error(ocbench: Callable, prepared: Path, words: str, code: int, message: str) -> None:
    ended = ocbench("verify", *words.split())
    assert ended.code == code
    assert message in ended.err


def test_sets_of_unregistered_datasets_are_checked_too(ocbench: Callable, prepared: Path) -> None:
    shutil.copytree(prepared, prepared.parents[1] / "gone" / "native")
    assert len(ocbench("verify").out.splitlines()) == 6


def test_a_damaged_manifest_is_named(ocbench: Callable, prepared: Path) -> None:
    (prepared / "val" / "manifest.json").write_text("{}")
    ended = ocbench("verify")
    assert ended.code == 5
    assert f"'{prepared / 'val' / 'manifest.json'}' is damaged" in ended.err
