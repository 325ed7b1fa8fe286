"""What the words of `train` resolve to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ocbench import Variant, registry
from ocbench.errors import UnknownNameError, UsageError
from ocbench.prepared import open_dataset
from ocbench.recipe import default_dataset, resolve, run_config, training_splits, with_later_settings


@pytest.fixture
def plugin(toy):
    return registry.model("toy")


def test_without_words_the_first_preset_and_scenario_decide(plugin):
    assert default_dataset(plugin) == "squares"
    found = resolve(plugin, "squares", None, None, [])
    assert (found.preset, found.scenario, found.config.width, found.changed) == ("squares", "curriculum", 16, ())


def test_a_dataset_without_a_preset_of_its_own_takes_the_one_for_any(plugin):
    assert resolve(plugin, "other", None, None, []).preset == "*"
    anywhere = replace(plugin, presets={"*": plugin.presets["*"]})
    with pytest.raises(UsageError, match="--data DATASET"):
        default_dataset(anywhere)


def test_overrides_are_typed_and_only_what_differs_is_kept(plugin):
    found = resolve(plugin, "squares", None, None, ["width=32", "batch_size=16", "learning_rate=1e-3"])
    assert found.config.width == 32
    assert found.changed == ("width=32", "learning_rate=0.001")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("squares", "squarez", None, []), "no preset of toy named 'squarez'.*\n.*\n.*'squares'"),
        (("squares", None, "curiculum", []), "no scenario of toy named 'curiculum'(.|\n)*'curriculum'"),
        (("squares", None, None, ["widht=3"]), "no setting named 'widht'(.|\n)*'width'"),
    ],
)
def test_unknown_names_have_near_ones(plugin, words, message):
    with pytest.raises(UnknownNameError, match=message):
        resolve(plugin, *words)


def test_a_run_knows_its_data_and_stands_for_no_published_system_once_changed(plugin, workplace):
    published = replace(plugin, published={"curriculum": "Toy-Net"})
    data = open_dataset("squares", "train", data_dir=str(workplace / "data"))
    whole = run_config(resolve(published, "squares", None, None, []), data, seed=3)
    assert (whole.published, whole.seed, whole.fingerprint, whole.max_objects) == ("Toy-Net", 3, data.fingerprint, 3)
    assert whole.versions["torch"]
    assert run_config(resolve(published, "squares", None, None, ["width=8"]), data, seed=3).published is None
    variants = (Variant("narrow", ("width=8",), published="Toy-8"), Variant("slow", ("learning_rate=1e-4",)))
    with_variants = replace(published, variants=variants)
    for settings, system in (([], "Toy-Net"), (["width=8"], "Toy-8"), (["width=8", "clip_norm=2"], None)):
        assert resolve(with_variants, "squares", None, None, settings).published == system
    assert resolve(with_variants, "squares", None, None, ["learning_rate=1e-4"]).published is None


def test_training_splits(workplace):
    data = str(workplace / "data")
    split, validation = training_splits("squares", data)
    assert (split.name, len(split), validation.name) == ("squares:train@native", 64, "squares:val@native")
    cut, _ = training_splits("squares", data, limit=10)
    assert len(cut) == len(list(cut)) == 10
    assert cut.fingerprint != split.fingerprint
    assert cut.manifest.incomplete() == {"limit": 10}
    with pytest.raises(UsageError, match="2 splits"):
        training_splits("squares:train,val", data)


def test_a_run_from_before_a_setting_has_its_default(plugin, workplace):
    split, _ = training_splits("squares", str(workplace / "data"))
    run = run_config(resolve(plugin, "squares", None, None, []), split, seed=0)
    name, value = "joint_steps", type(plugin.presets["squares"])().joint_steps
    before = replace(run, config={key: setting for key, setting in run.config.items() if key != name})
    assert before.difference(run) is not None
    assert with_later_settings(before).config[name] == value
    changed = replace(run, config={**run.config, name: value + 1})
    assert with_later_settings(changed) == changed
    strange = replace(before, model="not-installed")
    assert with_later_settings(strange) == strange
