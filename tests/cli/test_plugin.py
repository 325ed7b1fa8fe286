"""`ocbench plugin`: what is written, what is refused, what is told of a check."""

from __future__ import annotations

import json

import pytest


def test_new_writes_a_package_and_says_what_to_do_next(ocbench, tmp_path):
    ended = ocbench("plugin", "new", "model", "sprites-net", "--out", tmp_path)
    assert ended.code == 0
    names = ("pyproject.toml", "README.md", "sprites_net.py", "tests/test_sprites_net.py")
    assert ended.out.split() == [str(tmp_path / "sprites-net" / name) for name in names]
    assert f"pip install -e {tmp_path / 'sprites-net'} && ocbench plugin check sprites-net" in ended.err
    for name in names:
        text = (tmp_path / "sprites-net" / name).read_text()
        assert "{{" not in text
        assert "sprites" in text


def test_new_replaces_nothing(ocbench, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    ended = ocbench("plugin", "new", "dataset", "mine", "--out", tmp_path)
    assert ended.code == 2
    assert "is there already" in ended.err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("model", "Sprites Net", "expected  lower case, digits and hyphens"),
        ("metric", "my-iou", "expected  lower case, digits and underscores"),
        ("dataset", "class", "cannot be the name of a dataset"),
        ("metric", "miou", "the metric 'miou' is there already, of 'ocbench'"),
    ],
)
def test_new_refuses_names_that_cannot_be(ocbench, tmp_path, kind, name, words):
    ended = ocbench("plugin", "new", kind, name, "--out", tmp_path)
    assert ended.code == 2
    assert words in ended.err
    assert not list(tmp_path.rglob("pyproject.toml"))


@pytest.mark.parametrize("name", ["toy", "toy-duel", "squares"])
def test_a_package_of_strangers_keeps_the_contract(ocbench, toy, name):
    ended = ocbench("plugin", "check", name)
    assert ended.code == 0, ended.out
    assert "BROKEN" not in ended.out


def test_a_metric_that_takes_slot_0_for_the_background_is_found_out(ocbench, toy):
    ended = ocbench("plugin", "check", "foreground_error")
    assert ended.code == 4
    assert "'foreground_error' changes from" in ended.out


def test_a_broken_rule_is_told_in_both_forms(ocbench, toy):
    ended = ocbench("plugin", "check", "toy", "--set", "learning_rate=-1")
    assert ended.code == 4
    assert "the learning rate -1.0 at update 1" in ended.out
    assert "error: 'toy' breaks 2 of 10 rules: plan, learns" in ended.err
    told = ocbench("plugin", "check", "toy", "--set", "learning_rate=-1", "--json")
    rules = {each["rule"]: each for each in json.loads(told.out)["rules"]}
    assert "learning rate" in rules["plan"]["broken"]
    assert rules["builds"]["broken"] == ""
    assert ocbench("plugin", "check", "nobody").code == 3
