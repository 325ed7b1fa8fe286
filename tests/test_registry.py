"""Names are found without loading, records load on demand, and a bad plug-in breaks only itself."""

import re
import sys
from importlib.metadata import Distribution, EntryPoint

import pytest

from ocbench import Metric, PluginError, UnknownNameError, registry


class Named(Distribution):
    """A distribution that is nothing but a name."""

    def __init__(self, name):
        self._name = name

    @property
    def metadata(self):
        return {"Name": self._name}

    def read_text(self, filename):
        return None

    def locate_file(self, path):
        raise FileNotFoundError(path)


def entry(name, value, kind="metric", owner="alpha"):
    made = EntryPoint(name, value, f"ocbench.{kind}s")
    vars(made)["dist"] = Named(owner)  # as importlib.metadata does
    return made


MIOU = entry("miou", "ocbench.metrics.segmentation:MIOU")


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Writes the source of a module that entry points may name; returns the module's name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(source):
        (tmp_path / "written_plugin.py").write_text(source)
        monkeypatch.delitem(sys.modules, "written_plugin", raising=False)
        return "written_plugin"

    return write


def test_names_are_sorted_once_each_and_load_nothing(plugin):
    module = plugin("raise SystemError('loaded')")
    entries = [
        entry("zeta", f"{module}:Z"),
        MIOU,
        entry("data", "x:Y", "dataset"),
        entry("zeta", f"{module}:Z", owner="b"),
    ]
    assert registry.names("metric", entries) == ["miou", "zeta"]
    assert registry.names("model", entries) == []
    assert registry.distribution("metric", "miou", entries) == "alpha"


def test_our_own_records_arrive_through_entry_points():
    assert {"ari_fg", "miou", "miou_fg", "msc_fg", "mse", "pq", "psnr"} <= set(registry.names("metric"))
    assert [registry.metric(name).name for name in registry.names("metric")] == registry.names("metric")
    assert {"clevrtex", "mini-plain", "mini-fixed", "mini-tex"} <= set(registry.names("dataset"))
    assert registry.dataset("mini-plain").name == "mini-plain"


def test_an_installed_stranger_is_found(toy):
    assert registry.metric("foreground_error").label == "FG error"
    assert registry.dataset("squares").title == "Squares"
    assert registry.distribution("dataset", "squares") == "ocbench-toy"


def test_unknown_names_come_with_near_ones_and_the_full_list():
    with pytest.raises(UnknownNameError, match=r"no metric named 'mioo'\n  expected  one of: .*msc_fg.*\n.*'miou'"):
        registry.metric("mioo")
    with pytest.raises(UnknownNameError, match=r"no dataset named 'mini'"):
        registry.dataset("mini")


def test_a_bare_checkout_is_told_to_install():
    with pytest.raises(UnknownNameError, match=r"none is registered\n  hint .*pip install .*-e \."):
        registry.metric("miou", [])


@pytest.mark.parametrize("value", ["beta.miou:MIOU", MIOU.value])
def test_two_distributions_with_one_name_are_an_error_naming_both(value):
    entries = [MIOU, entry("miou", value, owner="beta")]
    with pytest.raises(
        PluginError, match=r"(?s)two plug-ins offer the metric 'miou': 'alpha' .* and 'beta' .*uninstall"
    ):
        registry.metric("miou", entries)


def test_one_distribution_seen_twice_is_no_clash():
    assert registry.metric("miou", [MIOU, entry("miou", MIOU.value)]).name == "miou"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("", "AttributeError: module 'written_plugin' has no attribute 'RECORD'"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_plugin_that_does_not_load_breaks_only_itself(plugin, source, words):
    entries = [MIOU, entry("bad", f"{plugin(source)}:RECORD", owner="broken-dist")]
    with pytest.raises(PluginError, match="metric 'bad' of 'broken-dist' does not load") as error:
        registry.metric("bad", entries)
    assert words in error.value.found
    assert error.value.__cause__ is not None
    assert registry.metric("miou", entries).name == "miou"


def test_a_record_of_the_wrong_type_or_name_is_refused(plugin):
    module = plugin("from ocbench import Metric\nRECORD = Metric('dice', 'Dice', len)\nNOTE = 'dice'")
    with pytest.raises(PluginError, match=r"(?s)wrong type.*expected  an ocbench\.Metric\n  found     'dice'"):
        registry.metric("dice", [entry("dice", f"{module}:NOTE")])
    with pytest.raises(PluginError, match=r"model 'dice' .*wrong type\n.*ocbench\.ModelPlugin"):
        registry.model("dice", [entry("dice", f"{module}:RECORD", "model")])
    with pytest.raises(PluginError, match=re.escape("calls itself 'dice'\n  expected  name='dize'")):
        registry.metric("dize", [entry("dize", f"{module}:RECORD")])
    assert registry.metric("dice", [entry("dice", f"{module}:RECORD")]).label == "Dice"


def test_a_dialect_is_a_metric_of_its_own():
    plain, union = registry.metric("miou"), registry.metric("miou@union")
    assert isinstance(union, Metric)
    assert (union.name, union.label, union.scale) == ("miou@union", "mIoU (union)", plain.scale)
    assert union.score is plain.dialects["union"]
    assert union.score is not plain.score


@pytest.mark.parametrize("word", ["miou@onion", "miou@"])
def test_an_unknown_dialect_lists_those_there_are(word):
    with pytest.raises(UnknownNameError, match=r"no dialect of miou named .*\n  expected  one of: tight, union"):
        registry.metric(word)
