"""`ocbench show`: the numbers, the sheets, and what is not prepared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ocbench import imaging


def test_numbers_and_a_sheet_for_each_split(ocbench: Callable, workplace: Path) -> None:
    shown = ocbench("show", "squares:train,val", "--sheet", workplace / "sheet.png", "--scenes", 5, "--limit", 9)
    assert shown.code == 0, shown.err
    assert shown.out.count("per scene") == 2
    for split in ("train", "val"):
        picture = imaging.decode_image((workplace / f"sheet-{split}.png").read_bytes())
        assert picture.std() > 10
    record = json.loads(ocbench("show", "squares:val", "--json", "-q").out)["splits"][0]
    assert record["split"].startswith("squares:val@")
    assert sum(record["objects_per_scene"].values()) == record["scenes"]


@pytest.mark.parametrize(("word", "code"), [("squares:nowhere", 3), ("triangles", 3), ("mini-plain:test", 5)])
def test_what_is_not_there_ends_in_one_error(ocbench: Callable, workplace: Path, word: str, code: int) -> None:
    shown = ocbench("show", word)
    assert shown.code == code
    assert shown.err.startswith("error: ")


@pytest.mark.parametrize("name", ["miou_fg", "miou@union", "pq", "ap50", "mse@mean"])
def test_a_metric_says_how_it_is_defined(ocbench: Callable, name: str) -> None:
    shown = ocbench("show", name)
    assert shown.code == 0, shown.err
    words = {line.split("  ")[0] for line in shown.out.splitlines() if not line.startswith(" ")}
    assert {"name", "what", "formula", "range", "special", "better"} <= words
    record = json.loads(ocbench("show", name, "--json").out)
    assert record["name"] == name
    assert record["reported"]


def test_a_dialect_that_does_not_exist(ocbench: Callable) -> None:
    shown = ocbench("show", "miou@unoin")
    assert shown.code == 3
    assert "did you mean 'union'" in shown.err
