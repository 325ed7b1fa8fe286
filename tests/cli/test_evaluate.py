"""`ocbench evaluate` as a user types it."""

from __future__ import annotations

import json

import pytest

RUN = "toy-curriculum-squares-s0"


def test_the_last_finished_run_on_its_test_split(ocbench, workplace):
    ended = ocbench("evaluate")
    assert ended.code == 0, ended.err
    run = f"{workplace}/runs/{RUN}"
    assert f"run         {run}   (last finished; trained on squares:train@native)" in ended.err
    assert "data        squares:test@native   24 scenes" in ended.err
    names = [line.split()[0] for line in ended.out.splitlines()]
    assert names == ["metric", "mIoU", "mIoU-FG", "ARI-FG", "MSC-FG", "MSE"]
    assert "scenes      24 scored, 0 without foreground, 0 with one object" in ended.err
    assert f"next        ocbench report {run}" in ended.err
    again = ocbench("evaluate")
    assert again.out == ended.out
    assert "scored before" in again.err


def test_several_splits_as_json(ocbench, workplace):
    ended = ocbench("evaluate", RUN, "--split", "val,test", "--json", "--metrics", "miou@tight,foreground_error", "-q")
    record = json.loads(ended.out)
    assert [sheet["split"] for sheet in record["sheets"]] == ["val", "test"]
    assert [r["metric"] for r in record["sheets"][0]["results"]] == ["miou@tight", "foreground_error"]
    assert ended.err == ""
    everything = json.loads(ocbench("evaluate", "--split", "all", "--json", "--overwrite").out)
    assert [sheet["split"] for sheet in everything["sheets"]] == ["train", "val", "test"]


def test_scenes_seen_in_training_are_a_warning(ocbench, workplace):
    ended = ocbench("evaluate", "--split", "train", "--limit", 5)
    assert "5 of these scenes were in the training split" in ended.err
    assert "NOT THE WHOLE SPLIT: limit 5" in ended.err


def test_a_floor_fails_with_its_own_code(ocbench, workplace):
    high = ocbench("evaluate", "--fail-under", "miou=99.9", "--fail-under", "mse=1e9")
    assert high.code == 7
    assert "mIoU" in high.err.splitlines()[-1]
    assert "MSE" not in high.err.splitlines()[-1]
    assert ocbench("evaluate", "--fail-under", "miou=0.001").code == 0


def test_a_plan_scores_nothing(ocbench, workplace):
    ended = ocbench("evaluate", "-n", "--json")
    assert json.loads(ended.out)["splits"] == ["squares:test@native"]
    assert not (workplace / "runs" / RUN / "scores").exists()


@pytest.mark.parametrize(
    ("words", "code", "messages"),
    [
        (["nothing"], 6, ["no run at 'nothing'", RUN]),
        (["--split", "tset"], 3, ["no split named 'tset'", "did you mean 'test'"]),
        (["--metrics", "miuo"], 3, ["no metric named 'miuo'", "did you mean 'miou'"]),
        (["--metrics", "miou@loose"], 3, ["no dialect of miou named 'loose'", "tight"]),
        (["--checkpoint", "77"], 6, ["no checkpoint '77'", "final, 2, 4, 6"]),
        (["--ci", "101"], 2, ["no confidence level '101'"]),
        (["--fail-under", "dice=3"], 2, ["--fail-under 'dice=3'"]),
        (["--fail-under", "miou=high"], 2, ["has no number"]),
        (["--data", "squares:val", "--split", "test"], 2, ["leave one out"]),
        (["--data", "mini-plain"], 5, ["'mini-plain:test@quick' is not prepared"]),
        (["--masks", "attention"], 3, ["no set of masks named 'attention'"]),
    ],
)
def test_words_that_mean_nothing(ocbench, workplace, words, code, messages):
    ended = ocbench("evaluate", *words)
    assert ended.code == code, ended.err
    for message in messages:
        assert message in ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""


def test_without_any_run(ocbench, toy):
    ended = ocbench("evaluate")
    assert ended.code == 6
    assert "no finished run" in ended.err
    assert "ocbench train" in ended.err


def test_a_run_whose_model_is_no_longer_installed(ocbench, workplace):
    path = workplace / "runs" / RUN / "run.json"
    path.write_text(path.read_text().replace('"toy"', '"gone"'))
    ended = ocbench("evaluate")
    assert ended.code == 3
    assert "no model named 'gone'" in ended.err
