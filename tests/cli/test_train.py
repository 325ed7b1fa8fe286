"""`ocbench train` as a user types it: what it prints, where it writes, and how it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

RUN = "toy-curriculum-squares-s0"


@pytest.fixture
def train(ocbench, toy):
    def call(*words):
        return ocbench("train", "toy", "--steps", 2, "--device", "cpu", *words)

    return call


@pytest.fixture
def prepared(workplace):
    """Data, but no run."""
    shutil.rmtree(workplace / "runs")
    return workplace


def test_every_default_that_was_resolved_is_named(train, prepared):
    ended = train()
    assert ended.code == 0, ended.err
    for line in (
        "model       toy   preset squares, scenario curriculum, seed 0",
        "data        squares:train@native   64 scenes",
        "phases      1 background   2 steps   batch 16   adam 0.01   trains background",
        "            3 joint        2 steps   batch 16   adam 0.01   trains everything   from update 100",
        f"run         {prepared}/runs/{RUN}",
        f"next        ocbench evaluate {prepared}/runs/{RUN}",
    ):
        assert line in ended.err
    assert ended.out.strip() == f"{prepared}/runs/{RUN}/checkpoints/final"
    record = json.loads((prepared / "runs" / RUN / "run.json").read_text())
    assert (record["scenario"], record["seed"], record["steps"]) == ("curriculum", 0, 2)
    assert record["config"]["width"] == 16
    assert len((prepared / "runs" / RUN / "scenes.txt").read_text().split()) == 64


def test_a_finished_run_is_not_trained_again(ocbench, workplace):
    before = (workplace / "runs" / RUN / "log.jsonl").read_text()
    ended = ocbench("train", "toy", "--steps", 2, "--device", "cpu")
    assert ended.code == 0
    assert "nothing to do" in ended.err
    assert (workplace / "runs" / RUN / "log.jsonl").read_text() == before


def test_the_plan_alone_touches_nothing(train, prepared):
    ended = train("--dry-run", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["phases"] == ["background", "foreground", "joint"]
    assert not (prepared / "runs").exists()


def test_words_reach_the_run(train, prepared):
    ended = train("--seed", 3, "--name", "mine", "-s", "width=8", "--batch-size", 4, "--limit", 20, "--json")
    assert ended.code == 0, ended.err
    run = prepared / "runs" / "mine-s3"
    record = json.loads((run / "run.json").read_text())
    assert json.loads(ended.out)["run"] == str(run)
    assert (record["config"]["width"], record["batch_size"], record["overrides"]) == (8, 4, ["width=8"])
    assert record["partial"] == {"limit": 20}
    assert "set         width=8" in ended.err
    assert "NOT THE WHOLE SPLIT" in ended.err


def test_another_run_in_the_same_folder_is_refused_and_stays_whole(ocbench, workplace):
    before = {path: path.read_bytes() for path in (workplace / "runs" / RUN).rglob("*") if path.is_file()}
    ended = ocbench("train", "toy", "--steps", 3, "--device", "cpu")
    assert ended.code == 6
    assert "holds another run" in ended.err
    assert "steps: here 2, now 3" in ended.err
    assert "--name toy-curriculum-squares-2" in ended.err
    assert before == {path: path.read_bytes() for path in (workplace / "runs" / RUN).rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("words", "code", "messages"),
    [
        (["toyy"], 3, ["no model named 'toyy'", "did you mean 'toy'"]),
        (["toy", "--data", "squarez"], 3, ["no dataset named 'squarez'", "did you mean 'squares'"]),
        (["toy", "--data", "squares:trian"], 3, ["no split named 'trian'", "did you mean 'train'"]),
        (["toy", "--data", "squares@nativ"], 3, ["no protocol of squares named 'nativ'"]),
        (["toy", "--scenario", "bt"], 3, ["no scenario of toy named 'bt'", "curriculum"]),
        (["toy", "--preset", "square"], 3, ["no preset of toy named 'square'", "did you mean 'squares'"]),
        (["toy", "-s", "widht=8"], 3, ["no setting named 'widht'", "did you mean 'width'"]),
        (["toy", "-s", "width=wide"], 2, ["setting 'width' cannot be 'wide'", "a whole number"]),
        (["toy", "--batch-size", "65", "--steps", "1"], 2, ["batch 65", "training scenes: 64", "--batch-size"]),
        (["toy", "--device", "cuda:7"], 2, ["device 'cuda:7' is not here"]),
        (["toy", "--save-every", "soon"], 2, ["'soon'"]),
        (["toy", "--precision", "fp8"], 2, ["fp8"]),
    ],
)
def test_words_that_mean_nothing(ocbench, prepared, words, code, messages):
    ended = ocbench("train", *words)
    assert ended.code == code, ended.err
    for message in messages:
        assert message in ended.err
    assert "Traceback" not in ended.err
    assert not (prepared / "runs").exists() or not list((prepared / "runs").glob("*/checkpoints/*"))


def test_data_that_is_not_prepared_says_what_to_type(train, tmp_path):
    ended = train()
    assert ended.code == 5
    assert "'squares:train@native' is not prepared" in ended.err
    assert "ocbench prepare squares" in ended.err


def test_several_seeds_in_turn(train, prepared):
    ended = train("--seeds", "0,3", "--name", "many")
    assert ended.code == 0, ended.err
    finals = [f"{prepared}/runs/many-s{seed}/checkpoints/final" for seed in (0, 3)]
    assert ended.out.split() == finals
    record = json.loads(train("--seeds", "0,3", "--name", "many", "--json").out)
    assert [run["checkpoint"] for run in record["runs"]] == finals


@pytest.mark.parametrize("words", [("--seeds", "0,x"), ("--seeds", "1,1"), ("--seeds", "1,2", "--seed", "3")])
def test_a_list_that_is_none_of_seeds(words, train, prepared):
    ended = train(*words)
    assert (ended.code, "--seeds" in ended.err) == (2, True)
    assert not (prepared / "runs").exists()


def test_ranks_train_one_seed_a_call(train, prepared, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    ended = train("--seeds", "0,1")
    assert (ended.code, "one call a seed" in ended.err) == (2, True)


def test_the_hours_are_those_of_the_call(train, prepared):
    ended = train("--seeds", "0,1", "--max-hours", "1e-9")
    assert (ended.code, "stopped: 1e-09 hours are over: 1 updates are saved" in ended.err) == (75, True)
    assert not (prepared / "runs" / "toy-curriculum-squares-s1").exists()


def test_a_run_may_begin_with_the_weights_of_another(ocbench, workplace: Path) -> None:
    words = ("train", "toy", "--device", "cpu", "--steps", "1", "--name", "second")
    told = ocbench(*words, "--init-from", "toy-curriculum-squares-s0")
    assert told.code == 0, told.err
    assert "begins      with the weights of toy-curriculum-squares-s0 " in told.err
    record = json.loads((workplace / "runs" / "second-s0" / "run.json").read_text())
    assert record["init_from"].startswith("toy-curriculum-squares-s0 ")
    assert "phase cache" not in told.err
    other = ocbench(*words)
    assert other.code == 6
    assert "init_from: here toy-curriculum-squares-s0" in other.err
    assert ocbench("train", "toy", "--device", "cpu", "--init-from", "nobody").code == 6
