"""Settings travel to JSON and back, and take `key=value` overrides typed by their annotations."""

import json
from dataclasses import dataclass, replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ocbench import OcbenchError, UnknownNameError, UsageError
from ocbench.settings import differences, from_json, override, to_json


@dataclass(frozen=True)
class Recipe:
    steps: int = 100
    learning_rate: float = 1e-3
    still: bool = False
    folder: str = "nvidia/mit-b3"
    kind: Literal["small", "unet"] = "small"
    limit: int | None = None
    note: str | None = None
    betas: tuple[float, float] = (0.9, 0.98)
    widths: tuple[int, ...] = (16, 32)
    names: tuple[str, ...] = ()
    mixed: tuple[int, float] | None = None
    depth: Literal[1, 2] = 1


@pytest.mark.parametrize(
    ("assignment", "field", "value"),
    [
        ("steps=250", "steps", 250),
        ("steps=5e5", "steps", 500_000),
        ("steps=500_000", "steps", 500_000),
        ("steps = -3", "steps", -3),
        ("steps=9007199254740993", "steps", 9_007_199_254_740_993),
        ("learning_rate=3", "learning_rate", 3.0),
        ("learning_rate=4e-5", "learning_rate", 4e-5),
        ("still=true", "still", True),
        ("still=No", "still", False),
        ("still=1", "still", True),
        ("folder=a=b", "folder", "a=b"),
        ("folder=", "folder", ""),
        ("kind=unet", "kind", "unet"),
        ("depth=2", "depth", 2),
        ("limit=7", "limit", 7),
        ("limit=none", "limit", None),
        ("note=null", "note", None),
        ("note=", "note", None),
        ("betas=0.5,0.999", "betas", (0.5, 0.999)),
        ("betas=[0.5, 0.999]", "betas", (0.5, 0.999)),
        ("widths=(8, 1_6, 4e1)", "widths", (8, 16, 40)),
        ("widths=8", "widths", (8,)),
        ("widths=(8,)", "widths", (8,)),
        ("widths=()", "widths", ()),
        ("names=left eye,right", "names", ("left eye", "right")),
        ("mixed=2,3", "mixed", (2, 3.0)),
        ("mixed=none", "mixed", None),
    ],
)
def test_an_override_is_parsed_by_the_type_of_the_field(assignment, field, value):
    changed = override(Recipe(limit=1, note="x", mixed=(1, 1.0)), [assignment])
    found = getattr(changed, field)
    assert (found, type(found)) == (value, type(value))
    if isinstance(value, tuple):
        assert [type(v) for v in found] == [type(v) for v in value]
    assert changed == replace(Recipe(limit=1, note="x", mixed=(1, 1.0)), **{field: value})


def test_later_overrides_win_and_the_config_itself_stays():
    before = Recipe()
    assert override(before, ["steps=1", "still=yes", "steps=2"]) == Recipe(steps=2, still=True)
    assert before == Recipe()
    assert override(before, []) == before


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("steps=2.5", "setting 'steps' cannot be '2.5'\n  expected  a whole number"),
        ("steps=many", "expected  a whole number"),
        ("steps=inf", "expected  a whole number"),
        ("steps=1__0", "expected  a whole number"),
        ("steps=", "expected  a whole number"),
        ("steps=none", "expected  a whole number"),
        ("limit=some", "setting 'limit' cannot be 'some'"),
        ("learning_rate=fast", "expected  a finite number"),
        ("learning_rate=nan", "expected  a finite number"),
        ("still=maybe", "setting 'still' cannot be 'maybe'\n  expected  true or false"),
        ("betas=0.9", r"setting 'betas' cannot be '0.9'\n  expected  2 values"),
        ("betas=0.9,0.9,0.9", "expected  2 values"),
        ("widths=8,,16", "setting 'widths' cannot be ''"),
        ("widths=8,wide", "setting 'widths' cannot be 'wide'\n  expected  a whole number"),
        ("steps", "setting 'steps' has no value\n  expected  KEY=VALUE"),
    ],
)
def test_a_bad_value_says_what_would_be_one(assignment, words):
    with pytest.raises(UsageError, match=words):
        override(Recipe(), [assignment])


def test_unknown_settings_and_choices_come_with_near_names():
    with pytest.raises(UnknownNameError, match=r"no setting named 'step'\n.*one of: .*widths\n.*did you mean 'steps'"):
        override(Recipe(), ["step=3"])
    with pytest.raises(UnknownNameError, match=r"no value of 'kind' named 'unit'\n.*one of: small, unet\n.*'unet'"):
        override(Recipe(), ["kind=unit"])
    with pytest.raises(UnknownNameError, match="no setting named 'rate'"):
        from_json(Recipe, {"rate": 1})


def test_whole_numbers_in_json_become_what_the_field_is():
    read = from_json(Recipe, {"learning_rate": 3, "steps": 3, "mixed": [1, 2]})
    assert [repr(value) for value in (read.learning_rate, read.steps, read.mixed)] == ["3.0", "3", "(1, 2.0)"]


def test_a_type_that_no_text_can_give_is_named():
    @dataclass(frozen=True)
    class Odd:
        table: dict = None

    with pytest.raises(UsageError, match="setting 'table' cannot be given as text"):
        override(Odd(), ["table={}"])


floats = some.floats(allow_nan=False, allow_infinity=False)
words = some.text("abz-_/.9 é", min_size=1).map(str.strip).filter(lambda text: text)
recipes = some.builds(
    Recipe,
    steps=some.integers(),
    learning_rate=floats,
    still=some.booleans(),
    folder=words,
    kind=some.sampled_from(["small", "unet"]),
    limit=some.none() | some.integers(),
    note=some.none() | words,
    betas=some.tuples(floats, floats),
    widths=some.lists(some.integers()).map(tuple),
    names=some.lists(words).map(tuple),
    mixed=some.none() | some.tuples(some.integers(), floats),
    depth=some.sampled_from([1, 2]),
)


@given(recipes)
def test_json_and_back_is_the_same(recipe):
    assert from_json(Recipe, json.loads(json.dumps(to_json(recipe)))) == recipe


@given(recipes, recipes)
def test_the_differences_of_two_are_the_overrides_from_one_to_the_other(before, after):
    assert override(before, differences(before, after)) == after
    assert differences(after, after) == []


@given(some.text(), some.sampled_from([*Recipe.__dataclass_fields__, "", "x"]))
def test_any_text_gives_a_config_or_one_of_our_errors(text, key):
    try:
        changed = override(Recipe(), [f"{key}={text}"])
    except OcbenchError:
        return
    assert from_json(Recipe, json.loads(json.dumps(to_json(changed)))) == changed
