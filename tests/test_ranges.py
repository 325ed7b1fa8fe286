"""Which scenes of the source make up each split: fractions, absolute ranges, limits, partial sources."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ocbench.errors import DataError, UnknownNameError
from ocbench.ranges import resolve
from ocbench.scene import Part, Protocol, Split

ABSOLUTE = Protocol(
    "absolute", 1, (8, 8), 3,
    splits=(Split("train", "main", 20, 100), Split("test", "main", 0, 20), Split("ood", "other")),
)  # fmt: skip
FRACTIONS = Protocol(
    "fractions", 1, (8, 8), 3, splits=(Split("test", "main", 0.0, 0.15), Split("train", "main", 0.15, None))
)
WHOLE = {"main": Part(100, True, 100), "other": Part(10, True, 10)}


def ranges(protocol: Protocol, parts: dict[str, Part], splits: Sequence[str] | None = None, **options: object) -> dict:
    found, _ = resolve(protocol, parts, splits, **options)  # type: ignore[arg-type]
    return {r.split.name: (r.start, r.stop) for r in found}


@pytest.mark.parametrize(
    ("protocol", "parts", "options", "expected"),
    [
        (ABSOLUTE, WHOLE, {}, {"train": (20, 100), "test": (0, 20), "ood": (0, 10)}),
        (ABSOLUTE, WHOLE, {"limit": 15}, {"train": (20, 35), "test": (0, 15), "ood": (0, 10)}),
        (ABSOLUTE, WHOLE, {"splits": ["ood", "test", "ood"]}, {"ood": (0, 10), "test": (0, 20)}),
        (FRACTIONS, WHOLE, {}, {"test": (0, 15), "train": (15, 100)}),
        # Fractions are of the expected count, so that what is not known to be there shifts nothing.
        (FRACTIONS, {"main": Part(None, False, 99)}, {}, {"test": (0, 14), "train": (14, 99)}),
        (FRACTIONS, {"main": Part(50, True, None)}, {}, {"test": (0, 7), "train": (7, 50)}),
        # With `partial`, ranges shrink with the source; without a gap they are as they were.
        (ABSOLUTE, {"main": Part(50, True, 100)}, {"partial": True}, {"train": (10, 50), "test": (0, 10)}),
        (FRACTIONS, {"main": Part(50, True, 100)}, {"partial": True}, {"test": (0, 7), "train": (7, 50)}),
        (ABSOLUTE, {"main": WHOLE["main"]}, {"partial": True, "limit": 3}, {"train": (20, 23), "test": (0, 3)}),
    ],
)
def test_ranges(protocol: Protocol, parts: dict[str, Part], options: dict, expected: dict) -> None:
    assert ranges(protocol, parts, **options) == expected


def test_splits_without_their_part_are_listed_unless_they_were_asked_for() -> None:
    only = {"main": WHOLE["main"]}
    found, missing = resolve(ABSOLUTE, only)
    assert ([r.split.name for r in found], missing) == (["train", "test"], ["ood"])
    with pytest.raises(DataError, match=r"'raw' lacks 'other', which split 'ood' is made of\n.*\n.*parts: main"):
        resolve(ABSOLUTE, only, ["test", "ood"], where="'raw'")
    with pytest.raises(DataError, match="found     parts: none"):
        resolve(ABSOLUTE, {})


def test_a_range_says_by_how_much_its_part_falls_short() -> None:
    (train, test), _ = resolve(FRACTIONS, {"main": Part(50, True, 100)}, ["train", "test"], partial=True)
    assert train.partial == test.partial == {"part": "main", "expected": 100, "found": 50}
    assert resolve(FRACTIONS, WHOLE, partial=True)[0][0].partial is None


def test_another_count_than_the_expected_one_is_refused_with_both() -> None:
    parts = {"main": Part(1_099, True, 100), "other": Part(9, True, 10)}
    message = r"'raw' does not hold .*\n.*main 100, other 10\n.*main 1,099, other 9\n.*--partial"
    with pytest.raises(DataError, match=message):
        resolve(ABSOLUTE, parts, where="'raw'")
    assert ranges(ABSOLUTE, parts, ["ood"], partial=True) == {"ood": (0, 9)}


def test_what_leaves_a_split_empty_is_refused() -> None:
    with pytest.raises(DataError, match=r"no scene is left for split 'test'\n.*4 scenes in part 'main'\n.*--splits"):
        resolve(ABSOLUTE, {"main": Part(4, True, 100)}, partial=True)
    with pytest.raises(DataError, match="nobody knows how many scenes part 'main' has"):
        resolve(FRACTIONS, {"main": Part(None, False)})


def test_an_unknown_split_comes_with_its_neighbours() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'train'"):
        resolve(ABSOLUTE, WHOLE, ["trian"])


def test_shards_cover_a_range_without_overlap() -> None:
    (found,), _ = resolve(ABSOLUTE, WHOLE, ["train"])
    assert found.shards(30) == [("000000.tar", 20, 50), ("000001.tar", 50, 80), ("000002.tar", 80, 100)]
    assert found.shards(80) == [("000000.tar", 20, 100)]
