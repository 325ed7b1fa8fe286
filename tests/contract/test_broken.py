"""Plug-ins broken in one place of what `plugin new` writes: one clear finding, and nothing else hurt."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from ocbench import OcbenchError, PluginError, UsageError, check_plugin, contract, registry, scaffold

MODELS = (
    ("softmax(dim=1)", "sigmoid()", "prediction", "'weights' does not sum to 1"),
    ("softmax(dim=1)", "tanh()", "prediction", "negative value"),
    ('mean()}', 'mean() * float("nan")}', "learns", "'total' is nan"),
    ('{"total": (', '{"loss": (', "learns", "'total' among them; found loss"),
    ('Phase("all", config.steps,', 'Phase("all", config.steps, ("decoder",),', "plan", "trains 'decoder'"),
    ("        self.register_buffer", "        self.idle = nn.Linear(2, 2)\n        self.register_buffer", "learns",
     "take no part in 'total'; found idle.weight, idle.bias"),
    ("        rebuilt =", "        if clock.item() > 5:\n            weights = weights * 1.0\n        rebuilt =",
     "one graph", "compiled 2 times for one shape"),
    ("torch.cat([images, places]", "torch.cat([images - images.mean(), places]", "any batch",
     "predicted alone and in a batch differs"),
    ("from ocbench import ModelPlugin", "import ocbench.runner.device\nfrom ocbench import ModelPlugin", "imports",
     "imports an inner room of the core: ocbench.runner.device (mine.py, line"),
    ('license="say which licence"', 'license=""', "record", "no license"),
    ("config.steps, batch_size", "config.steps, clock_start=7, batch_size", "plan", "starts its clock at 7"),
    ("return Prediction(weights,", "return Prediction(weights.double(),", "prediction",
     "float64 [2, 4, 64, 64], not float32"),
    ("self.register_buffer(\"places\", torch", "self.places = torch.rand(2)[0] + (torch", "whole state",
     "neither parameter nor buffer"),
    ("config.steps, batch_size", "config.steps, sample=4, batch_size", "plan", "needs the model's 'start'"),
)  # fmt: skip
DATASETS = (
    ("image[inside], mask[inside] = random.integers(0, 256, 3), label",
     "image[inside], mask[inside] = random.integers(0, 256, 3), label + 5", "scenes", "expected ids 0..4"),
    ("default_rng([sorted(COUNTS).index(part), index])", "default_rng()", "order", "the pixels of 'mine-"),
    ("{part}-{index:06d}", "{index:06d}", "order", "the key 'mine-000000' is in"),
    ("Split(name, name, scenes=count)", 'Split(name, "train", 0, 100)', "splits", "share 100 scenes of part 'train'"),
    ("for index in range(start, stop)", "for index in range(0, stop)", "order", "read from scene 1 on, keys differ"),
    ("    version=1,", "    version=1,\n    crop=(8, 8, 64),", "scenes", "crops (8, 8, 64) out of"),
)  # fmt: skip
ANSWER = "return float(np.mean(~ground[objects]))"
EMPTY = "    if not objects.any():\n        "
METRICS = (
    (ANSWER, "return float(np.sum(~ground[objects]))", "range", "a fraction of at most 1"),
    (EMPTY + 'return float("nan")', EMPTY + "raise ValueError('empty')",
     "degenerate", "no object: ValueError: empty"),
    (ANSWER, "return float(outcome.labels.mean() / 255)", "names", "changes from"),
    (ANSWER, "return float(np.mean(ground[objects]))", "perfect", "for the truth itself"),
    (ANSWER, "return 1", "range", "gave a int, not a float"),
    ("objects = outcome.scene.mask > 0", "objects = outcome.reconstruction[..., 0] > 0", "needs", "NoneType"),
)  # fmt: skip


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Makes an entry point of what `plugin new` writes, with one text replaced."""

    def make(kind, old="", new=""):
        package = scaffold.write(kind, "mine", tmp_path)
        module = package.folder / "mine.py"
        text = module.read_text()
        assert old in text
        module.write_text(text.replace(old, new, 1) if old else text)
        monkeypatch.syspath_prepend(str(package.folder))
        monkeypatch.delitem(sys.modules, "mine", raising=False)
        return [EntryPoint("mine", "mine:MINE", f"ocbench.{kind}s")]

    yield make
    sys.modules.pop("mine", None)


def findings_of(kind, entries):
    return {each.rule: each.broken for each in contract.check("mine", kind, entries=entries)}


@pytest.mark.parametrize(
    ("kind", "old", "new", "rule", "words"),
    [("model", *case) for case in MODELS]
    + [("dataset", *case) for case in DATASETS]
    + [("metric", *case) for case in METRICS],
    ids=lambda value: value if isinstance(value, str) and len(value) < 20 else "",
)
def test_what_is_broken_is_found_where_it_is(broken, kind, old, new, rule, words):
    found = findings_of(kind, broken(kind, old, new))
    assert words in found[rule]


@pytest.mark.parametrize("kind", contract.KINDS)
def test_what_is_written_is_whole(broken, kind):
    assert set(findings_of(kind, broken(kind)).values()) == {""}


def test_an_import_error_hurts_nobody_else(broken, toy):
    entries = broken("model", "import torch\n", "import no_such_package\n")
    with pytest.raises(PluginError, match=r"does not load[^$]*ModuleNotFoundError: No module named 'no_such_package'"):
        contract.check("mine", "model", entries=entries)
    assert "toy" in registry.names("model")
    assert registry.model("toy").name == "toy"


def test_two_of_one_name_are_both_named(broken):
    entries = [*broken("model"), EntryPoint("mine", "other:MINE", "ocbench.models")]
    with pytest.raises(PluginError, match=r"two plug-ins offer the model 'mine'.*mine:MINE.*other:MINE"):
        contract.check("mine", "model", entries=entries)


def test_a_record_of_another_kind_or_name(broken):
    entries = broken("metric", 'name="mine"', 'name="yours"')
    with pytest.raises(PluginError, match="calls itself 'yours'"):
        contract.check("mine", "metric", entries=entries)
    with pytest.raises(PluginError, match="wrong type"):
        contract.check("mine", "model", entries=[EntryPoint("mine", "mine:MINE", "ocbench.models")])


def test_a_name_of_two_kinds_asks_for_the_kind(broken):
    both = [EntryPoint("mine", "mine:MINE", group) for group in ("ocbench.models", "ocbench.metrics")]
    with pytest.raises(UsageError, match="is a model and a metric"):
        contract.check("mine", entries=both)
    with pytest.raises(OcbenchError, match="no model, dataset or metric named 'yours'"):
        contract.check("yours", entries=both)


def test_settings_and_sources_are_for_what_has_them(broken):
    with pytest.raises(UsageError, match="a metric has no settings"):
        contract.check("mine", "metric", settings=["width=2"], entries=broken("metric"))
    with pytest.raises(UsageError, match="a metric reads no source"):
        contract.check("mine", "metric", raw="there")


def test_the_public_check_names_every_rule(broken):
    entries = broken("model", 'license="say which licence"', 'license=""')
    with pytest.raises(PluginError, match=r"'mine' breaks 1 of 10 rules[^$]*record: the record has no license"):
        check_plugin("mine", entries=entries)
