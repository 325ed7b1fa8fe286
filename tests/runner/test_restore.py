"""Models from run directories, checkpoint folders and registered names."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

import ocbench
from ocbench.errors import RunError, UnknownNameError, UsageError
from ocbench.runner.restore import checkpoint_folder, load_model

RUN = "toy-curriculum-squares-s0"


@pytest.fixture
def run_dir(workplace):
    return workplace / "runs" / RUN


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_a_run_and_its_checkpoint_folder_are_the_same_model(run_dir):
    model = ocbench.load_model(run_dir)
    assert not model.training
    assert torch.equal(weights(model), weights(load_model(run_dir / "checkpoints" / "final")))
    assert torch.equal(weights(model), weights(load_model(run_dir, checkpoint_name="last")))
    assert torch.equal(weights(model), weights(load_model(str(run_dir), checkpoint_name="6")))
    assert not torch.equal(weights(model), weights(load_model(run_dir, checkpoint_name="2")))


def test_a_registered_name_is_the_untrained_model(toy):
    assert load_model("toy").predict(torch.rand(2, 3, 16, 16)).weights.shape == (2, 4, 16, 16)


def test_what_is_neither_is_told(toy, tmp_path):
    with pytest.raises(UnknownNameError, match=r"no model named 'toyy'(.|\n)*'toy'"):
        load_model("toyy")


@pytest.mark.parametrize(("word", "there"), [("final", "final, 2, 4, 6"), ("5", "final, 2, 4, 6"), ("x", "final, 2")])
def test_a_checkpoint_that_is_not_there(run_dir, word, there):
    if word == "final":
        shutil.rmtree(run_dir / "checkpoints" / "final")
        there = there.removeprefix("final, ")
    with pytest.raises(RunError, match=rf"no checkpoint '{word}'(.|\n)*{there}"):
        checkpoint_folder(run_dir, word)


def test_a_checkpoint_cut_in_half_is_named(run_dir):
    path = run_dir / "checkpoints" / "final" / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RunError, match=r"final' is damaged(.|\n)*model.safetensors"):
        load_model(run_dir)


def test_the_weights_of_another_model_do_not_fit(run_dir):
    record = json.loads((run_dir / "run.json").read_text())
    record["config"]["width"] = 8
    (run_dir / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match=r"not of this model(.|\n)*size mismatch"):
        load_model(run_dir)


def test_a_device_that_is_not_here(run_dir):
    with pytest.raises(UsageError, match="no device 'gpu'"):
        load_model(run_dir, device_name="gpu")
