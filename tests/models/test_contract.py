"""Our own plug-ins keep the contract that strangers' are held to."""

from __future__ import annotations

import pytest

from ocbench import check_plugin, registry

HEAVY = ("ast-seg-unet",)  # full width on a CPU
SETTINGS = {"ast-seg-unet": ["pretrained=false"]}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in HEAVY else name for name in registry.names("model")]
)
def test_models(name):
    check_plugin(name, "model", SETTINGS.get(name, ()))


@pytest.mark.parametrize("name", registry.names("dataset"))
def test_datasets(name):
    check_plugin(name, "dataset")


@pytest.mark.parametrize("name", registry.names("metric"))
def test_metrics(name):
    check_plugin(name, "metric")
