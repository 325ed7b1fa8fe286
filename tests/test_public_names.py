"""The door: every public name loads on first use, from one home."""

import importlib
import importlib.metadata
import inspect
import pkgutil

import pytest

import ocbench


@pytest.mark.parametrize(("name", "home"), ocbench._HOME.items())
def test_a_public_name_is_the_object_of_its_home(name, home):
    found = getattr(ocbench, name)
    assert found is getattr(importlib.import_module(home), name)
    assert found.__module__ == home
    assert inspect.getdoc(found), f"{name} has no docstring"


def test_the_door_lists_what_it_opens():
    assert dir(ocbench) == sorted(ocbench.__all__) == sorted(set(ocbench.__all__))
    assert {"Scene", "Metric", "DatasetSpec", "ModelPlugin", "Phase", "OcbenchError"} < set(ocbench.__all__)
    assert {"open_dataset", "load_model", "evaluate", "score_scene"} < set(ocbench.__all__)


def test_no_public_name_is_hidden_by_a_module():
    modules = {module.name for module in pkgutil.iter_modules(ocbench.__path__)}
    assert modules & set(ocbench.__all__) == set()


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'ocbench' has no attribute 'sample'"):
        _ = ocbench.sample
    assert not hasattr(ocbench, "torch")


def test_the_version_is_that_of_the_distribution():
    assert ocbench.__version__ == importlib.metadata.version("ocbench")
