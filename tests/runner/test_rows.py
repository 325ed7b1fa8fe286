"""Rows of an evaluation on disk: taken up again in whole batches, and only of the same evaluation."""

from __future__ import annotations

import json

import pytest

from ocbench.errors import RunError
from ocbench.runner.rows import rows_of

IDENTITY = {"weights": "w", "batch_size": 2}
KEYS = ["a", "b", "c", "d", "e"]


def written(path, keys, identity=IDENTITY):
    with rows_of(path, identity, KEYS, 2) as rows:
        for key in keys:
            rows.add({"key": key, "miou": 0.5})
        return [row["key"] for row in rows.found]


def found(path, identity=IDENTITY):
    with rows_of(path, identity, KEYS, 2) as rows:
        return [row["key"] for row in rows.found]


def test_rows_are_on_disk_as_they_come(tmp_path):
    path = tmp_path / "deep" / "rows.jsonl"
    with rows_of(path, IDENTITY, KEYS, 2) as rows:
        rows.add({"key": "a", "miou": float("nan")})
        assert len(path.read_text().splitlines()) == 2
    assert json.loads(path.read_text().splitlines()[0]) == {"evaluation": IDENTITY}


@pytest.mark.parametrize(("left", "kept"), [(0, 0), (1, 0), (2, 2), (3, 2), (4, 4), (5, 5)])
def test_an_interrupted_evaluation_keeps_whole_batches(tmp_path, left, kept):
    path = tmp_path / "rows.jsonl"
    written(path, KEYS[:left])
    assert found(path) == KEYS[:kept]
    assert len(path.read_text().splitlines()) == kept + 1


def test_a_line_that_a_kill_cut_is_left_out(tmp_path):
    path = tmp_path / "rows.jsonl"
    written(path, KEYS[:4])
    path.write_text(path.read_text()[:-9])
    assert found(path) == KEYS[:2]


def test_rows_of_another_evaluation_or_of_other_scenes_are_not_gone_on_from(tmp_path):
    path = tmp_path / "rows.jsonl"
    written(path, KEYS)
    assert found(path, {**IDENTITY, "weights": "others"}) == []
    written(path, ["a", "x"])
    assert found(path) == []


def test_a_damaged_line_in_the_middle_is_an_error(tmp_path):
    path = tmp_path / "rows.jsonl"
    written(path, KEYS)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], lines[2][:5], *lines[3:]]) + "\n")
    with pytest.raises(RunError, match="damaged at line 3"):
        found(path)


def test_without_a_path_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert written(None, ["a"]) == ["a"]
    assert list(tmp_path.iterdir()) == []
