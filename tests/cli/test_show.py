"""`ocbench show`: the numbers, the sheets, and what is not prepared."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import ocbench as package
from ocbench import imaging, registry
from ocbench.accounts import variant_table


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


@pytest.mark.parametrize(
    ("word", "code"), [("squares:nowhere", 3), ("triangles", 3), ("mini-plain:test", 5), ("last@native", 3)]
)
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


@pytest.mark.parametrize("name", registry.names("model"))
def test_every_model_shows_its_settings_phases_and_options(ocbench: Callable, name: str) -> None:
    plugin = registry.model(name)
    for preset in plugin.presets:
        shown = ocbench("show", name, "--preset", preset)
        assert shown.code == 0, shown.err
        assert f"Settings of preset {preset}" in shown.out
        assert all(f"Phases of scenario {scenario}" in shown.out for scenario in plugin.scenarios)
    record = json.loads(ocbench("show", name, "--json").out)
    assert record["preset"] == next(iter(plugin.presets))
    assert len(record["options"]) == len(plugin.variants)
    assert ocbench("show", name, "--preset", "nothing").code == 3


def test_a_run_shows_how_far_it_has_come_and_its_scores(ocbench: Callable, workplace: Path) -> None:
    assert ocbench("evaluate", "last", "--device", "cpu", "-q").code == 0
    shown = ocbench("show", "last")
    assert "finished, 6 updates" in shown.out
    assert "squares:test@native" in shown.out
    assert "stands for no published row: a trial of 2 updates a phase" in shown.out
    record = json.loads(ocbench("show", "toy-curriculum-squares-s0", "--json").out)
    assert record["finished"]
    assert len(record["sheets"]) == 1


def test_a_scene_is_drawn_with_slots_dropped_and_moved(ocbench: Callable, workplace: Path) -> None:
    key = package.open_dataset("squares", "val", data_dir=str(workplace / "data")).keys[2]
    words = ("show", "last", "--scene", key, "--device", "cpu", "--out", workplace / "scene.png")
    plain = ocbench(*words)
    assert plain.code == 0, plain.err
    assert plain.err.count("slot ") == 4
    before = imaging.decode_image((workplace / "scene.png").read_bytes())
    record = json.loads(ocbench(*words, "--drop-slot", 2, "--move-slot", 1, "0.5,-0.25", "--json", "-q").out)
    assert (record["split"], record["scene"]) == ("squares:val@native", key)
    after = imaging.decode_image((workplace / "scene.png").read_bytes())
    assert after.shape[1] > before.shape[1]  # two pictures more


def test_what_a_scene_cannot_be_drawn_of(ocbench: Callable, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ocbench_toy.toy import Toy

    key = package.open_dataset("squares", "val", data_dir=str(workplace / "data")).keys[2]
    gone = ocbench("show", "last", "--scene", "squares-none")
    assert gone.code == 5
    assert "squares:val@native" in gone.err
    assert ocbench("show", "last", "--scene", key, "--split", "test").code == 5
    assert ocbench("show", "last", "--scene", key, "--move-slot", 1, "up").code == 2
    monkeypatch.delattr(Toy, "edit")
    without = ocbench("show", "last", "--scene", key, "--drop-slot", 1, "--out", workplace / "scene.png")
    assert without.code == 2
    assert "toy cannot draw a scene with slots changed" in without.err
    assert not (workplace / "scene.png").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("miou", "--preset", "a"), "--preset says nothing of a metric"),
        (("toy", "--sheet", "a.png"), "--sheet says nothing of a model"),
        (("last", "--limit", 3), "--limit says nothing of a run"),
        (("last", "--drop-slot", 1), "--drop-slot says nothing of a run without --scene"),
        (("squares:val", "--scene", "a"), "--scene says nothing of a dataset"),
    ],
)
def test_an_option_for_something_else_is_not_passed_over(
    ocbench: Callable, workplace: Path, words: tuple, says: str
) -> None:
    shown = ocbench("show", *words)
    assert shown.code == 2
    assert says in shown.err


def test_a_word_that_is_nothing_may_have_meant_anything(ocbench: Callable, workplace: Path) -> None:
    for word, meant in (("toy-curriculum-squares-s1", "toy-curriculum-squares-s0"), ("miuo", "miou"), ("tooy", "toy")):
        shown = ocbench("show", word)
        assert shown.code == 3
        assert "no dataset, model, metric or run named" in shown.err
        assert f"'{meant}'" in shown.err


def test_no_run_at_all(ocbench: Callable, toy: Path) -> None:
    shown = ocbench("show", "last")
    assert shown.code == 6
    assert "no finished run" in shown.err


def test_an_option_has_a_place_for_every_metric_of_a_dataset() -> None:
    plugin = registry.model("median")
    scenario = next(iter(plugin.scenarios))
    again = package.Variant("again", published="GENESIS-V2")
    _, table = variant_table(replace(plugin, published={scenario: "SPAIR"}, variants=(again,)))
    usual, option = (re.split(r"  +", line.strip()) for line in table.splitlines()[1:])
    assert usual[-2:] == ["–", "–"]
    assert option[-2:] == ["– / 84 / – / 58", "– / 81 / – / 68"]
