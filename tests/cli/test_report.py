"""`ocbench report` as a user types it."""

from __future__ import annotations

import json

import pytest
from scored_runs import scored


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


def test_the_papers_tables_need_no_run(ocbench, tmp_path):
    every = ocbench("report", "--against", "paper")
    assert every.code == 0
    assert [line[4:12] for line in every.out.splitlines() if line.startswith("###")] == [
        "Table 1.",
        "Table 2.",
        "Table 3.",
    ]
    one = ocbench("report", "--table", "3", "--format", "latex")
    assert r"\multicolumn{4}{c}{CAMO}" in one.out
    assert r"73.07 $\pm$ 0.65" in one.out
    assert "ObjectsRoom" not in one.out
    record = json.loads(ocbench("report", "--table", "2", "--format", "json").out)
    assert len(record["tables"][0]["numbers"]) == 28


def test_runs_in_every_format(ocbench, tmp_path):
    scored(tmp_path / "runs", "net-ct-clevrtex-s0", {"miou": 0.8})
    assert "| gap to AST-Seg-B3-CT " in ocbench("report", "--against", "paper").out
    assert (
        ocbench("report", "--format", "csv").out.splitlines()[1].startswith("clevrtex,test,ast-paper,t,4,net ct,run,0,")
    )
    assert r"\begin{tabular}{lrr}" in ocbench("report", "--format", "latex").out
    assert json.loads(ocbench("report", "--format", "json").out) == json.loads(ocbench("report", "--json").out)
    assert "| ours: net ct, seed 0 " in ocbench("report", "net-ct-clevrtex-s0", "--table", "1").out


def test_paired_runs(ocbench, tmp_path):
    names = ["a-s0", "b-s0"]
    for place, name in enumerate(names):
        scored(tmp_path / "runs", name, {"miou": [0.5 + place / 10] * 4}, partial={"limit": 4})
    refused = ocbench("report", *names, "--paired")
    assert (refused.code, refused.out) == (6, "")
    assert "--allow-partial" in refused.err
    allowed = ocbench("report", *names, "--paired", "--allow-partial")
    assert allowed.out.startswith("### b-s0 less a-s0, clevrtex:test@ast-paper   4 scenes")
    assert "* NOT WHOLE: 'a-s0'" in allowed.out
    record = json.loads(ocbench("report", *names, "--paired", "--allow-partial", "--json").out)
    assert record["pairs"][0]["metrics"]["miou"]["won"] == 4


def test_a_tolerance_ends_in_exit_7_after_the_table(ocbench, tmp_path):
    scored(tmp_path / "runs", "net-ct-clevrtex-s0", {"miou": 0.78})
    words = ("report", "net-ct-clevrtex-s0", "--against", "paper", "--tolerance")
    worse = ocbench(*words, "miou=1")
    assert worse.code == 7
    assert "| net ct " in worse.out
    assert "worse       net-ct-clevrtex-s0 on clevrtex:test@ast-paper: mIoU 78, 1.58 worse than 79.58" in worse.err
    assert ocbench(*words, "miou=2").code == 0
    assert ocbench("report", "--runs-dir", tmp_path / "none", "--against", "paper", "--tolerance", "miou=1").code == 6
    assert json.loads(ocbench(*words, "miou=1", "--json").out)["judgements"][0]["worse"] is True


@pytest.mark.parametrize(
    "words",
    [
        ("--paired", "--against", "paper"),
        ("--table", "1", "--tolerance", "miou=1"),
        ("--allow-partial",),
        ("--table", "4"),
        ("--ddof", "2"),
        ("--format", "pdf"),
    ],
)
def test_words_that_do_not_go_together(ocbench, tmp_path, words):
    assert ocbench("report", *words).code == 2
