"""`ocbench report` as a user types it."""

from __future__ import annotations

import json


def test_every_run_with_scores_in_one_table(ocbench, workplace):
    assert ocbench("evaluate", "-q").code == 0
    ended = ocbench("report")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0] == "### squares:test@native   24 scenes"
    assert lines[-1].startswith("| toy curriculum [steps=2] |     0 |")
    assert ended.err == ""
    record = json.loads(ocbench("report", "last", "--json").out)
    assert record["sections"][0]["rows"][0]["seeds"] == [0]


def test_nothing_to_report(ocbench, workplace):
    ended = ocbench("report")
    assert ended.code == 6
    assert "has scores" in ended.err
    assert "ocbench evaluate" in ended.err
    named = ocbench("report", "toy-curriculum-squares-s0")
    assert (named.code, "has no scores" in named.err) == (6, True)


def test_a_damaged_sheet_is_named(ocbench, workplace):
    ocbench("evaluate", "-q")
    path = workplace / "runs" / "toy-curriculum-squares-s0" / "scores" / "squares-test@native.json"
    path.write_text(path.read_text()[:-30])
    ended = ocbench("report")
    assert ended.code == 6
    assert "squares-test@native.json' is damaged" in ended.err
