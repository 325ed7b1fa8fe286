"""ShapeStacks: whatever is wrong with a file of its tree or archives, it reads, or it ends in a DataError."""

from __future__ import annotations

import gzip
from contextlib import suppress
from pathlib import Path

import pytest
import shapestacks_sources as sources
from hypothesis import given, settings
from hypothesis import strategies as some

from ocbench.datasets.shapestacks import parts, read
from ocbench.errors import DataError


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One scenario with two cameras as a tree, as archives and as tars, to be damaged and mended in place."""
    place = tmp_path_factory.mktemp("small")
    sources.write_tree(place / "tree", cameras=[1, 2], lists={"default/train": sources.SCENARIOS[:1]})
    (place / "inflated").mkdir()
    for path in sources.write_archives(place / "tree", place / "packed").values():
        (place / "inflated" / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return place


def reads_or_refuses(small: Path, number: int, place: float, change: int, kind: str) -> None:
    root = small / ("tree", "packed", "inflated")[number % 3]
    files = sorted(path for path in root.rglob("*") if path.is_file())
    path = files[number // 3 % len(files)]
    whole = path.read_bytes()
    at = int(place * len(whole))
    damaged = {
        "cut": whole[:at],
        "flip": whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :] if whole else b"",
        "insert": whole[:at] + bytes([change]) * 7 + whole[at:],
        "replace": bytes([change]) * at,
    }[kind]
    path.write_bytes(damaged)
    try:
        for partial in (False, True):
            with suppress(DataError):
                parts(str(root), partial=partial)
        with suppress(DataError):
            for scene in read(str(root), "default-train", 0, 16):
                assert scene.image.shape == (224, 224, 3)
                assert scene.mask.max() <= 2
    finally:
        path.write_bytes(whole)


DAMAGE = {
    "number": some.integers(0, 1000), "place": some.floats(0, 1, exclude_max=True), "change": some.integers(1, 255),
    "kind": some.sampled_from(["cut", "flip", "insert", "replace"]),
}  # fmt: skip


@settings(max_examples=100)
@given(**DAMAGE)
def test_any_damage_reads_or_ends_in_a_data_error(small: Path, **damage) -> None:
    reads_or_refuses(small, **damage)


@pytest.mark.slow
@settings(max_examples=2000)
@given(**DAMAGE)
def test_two_thousand_damages_read_or_end_in_a_data_error(small: Path, **damage) -> None:
    reads_or_refuses(small, **damage)
