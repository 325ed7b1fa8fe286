"""Rows of an evaluation on disk: parts of many ranks, taken up again in whole batches of the same evaluation."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocbench.errors import RunError
from ocbench.runner.rows import Rows

IDENTITY = {"weights": "w", "batch_size": 2}
KEYS = ["a", "b", "c", "d", "e"]


def rows_at(path, identity=IDENTITY):
    return Rows(path, identity, KEYS, 2)


def write(rows, *batches, rank=0):
    with rows.new_part(rank) as part:
        for batch in batches:
            part.add([{"key": key, "miou": 0.5} for key in batch])
        return part


def test_rows_are_on_disk_as_they_come(tmp_path):
    rows = rows_at(tmp_path / "deep" / "rows.jsonl")
    with rows.new_part(0) as part:
        part.add([{"key": "a", "miou": float("nan")}])
        [path] = (tmp_path / "deep").iterdir()
        lines = path.read_text().splitlines()
    assert [json.loads(lines[0]), json.loads(lines[1])["key"]] == [{"evaluation": IDENTITY}, "a"]


@pytest.mark.parametrize(
    ("left", "kept"), [("", []), ("a", []), ("ab", [0]), ("abc", [0]), ("abcd", [0, 1]), ("abcde", [0, 1, 2])]
)
def test_an_interrupted_evaluation_keeps_whole_batches(tmp_path, left, kept):
    rows = rows_at(tmp_path / "rows.jsonl")
    write(rows, left)
    assert sorted(rows.found()) == kept


@given(order=st.permutations([0, 1, 2]), ranks=st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_parts_of_any_ranks_in_any_order_make_one_file(tmp_path_factory, order, ranks):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows = rows_at(path)
    for batch in order:
        write(rows, [KEYS[place] for place in rows.scenes(batch)], rank=ranks[batch])
    rows.join()
    assert [row["key"] for row in rows.joined()] == KEYS
    assert json.loads(path.read_text().splitlines()[0]) == {"evaluation": IDENTITY}
    assert [found.name for found in path.parent.iterdir()] == ["rows.jsonl"]
    assert sorted(rows_at(path).found()) == [0, 1, 2]  # should the sheet still be missing


def test_rows_that_are_not_all_there_are_not_joined(tmp_path):
    rows = rows_at(tmp_path / "rows.jsonl")
    write(rows, "ab", "e")
    with pytest.raises(RunError, match="lacks rows of 1 batches"):
        rows.join()
    assert sorted(rows.found()) == [0, 2]


@pytest.mark.parametrize("cut", [1, 9])
def test_a_line_that_a_kill_cut_is_left_out(tmp_path, cut):
    rows = rows_at(tmp_path / "rows.jsonl")
    write(rows, "ab", "cd")
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-cut])
    assert sorted(rows.found()) == ([0, 1] if cut == 1 else [0])
    write(rows, "e")
    write(rows, "cd")
    rows.join()
    assert [row["key"] for row in rows.joined()] == KEYS


def test_rows_of_another_evaluation_or_of_other_scenes_are_not_gone_on_from(tmp_path):
    rows = rows_at(tmp_path / "rows.jsonl")
    write(rows, "ab", "cd", "e")
    assert rows_at(rows.path, {**IDENTITY, "weights": "others"}).found() == {}
    rows.clear_parts()
    assert list(tmp_path.iterdir()) == []
    write(rows, "ax", "dc")
    assert rows.found() == {}


def test_a_damaged_line_in_the_middle_is_an_error(tmp_path):
    rows = rows_at(tmp_path / "rows.jsonl")
    write(rows, "ab", "cd")
    [path] = tmp_path.iterdir()
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], lines[2][:5], *lines[3:]]) + "\n")
    with pytest.raises(RunError, match="damaged at line 3"):
        rows.found()


def test_rows_written_anew_replace_the_old_ones_only_once_they_are_whole(tmp_path):
    path = tmp_path / "rows.jsonl"
    write(rows_at(path), "ab", "cd", "e")
    rows_at(path).join()
    before = path.read_bytes()
    anew = Rows(path, IDENTITY, KEYS, 2, anew=True)
    assert anew.found() == {}
    with anew.new_part(0) as part:
        part.add([{"key": key, "miou": 0.75} for key in "ab"])
    with pytest.raises(RunError, match="lacks rows of 2 batches"):
        anew.join()
    assert path.read_bytes() == before
    write(anew, "cd", "e", rank=1)
    anew.join()
    assert [row["miou"] for row in anew.joined()] == [0.75, 0.75, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_ranks_that_see_each_others_parts_or_not_never_share_one(tmp_path, monkeypatch, order):
    rows = rows_at(tmp_path / "rows.jsonl")
    early = {0, 2}  # rank 1 sees what is there by now, the others looked before
    for rank in order:
        with monkeypatch.context() as patch:
            if rank in early:
                patch.setattr(rows, "_parts", list)
            write(rows, [KEYS[place] for place in rows.scenes(rank)], rank=rank)
    assert len(list(tmp_path.iterdir())) == 3
    rows.join()
    assert [row["key"] for row in rows.joined()] == KEYS
