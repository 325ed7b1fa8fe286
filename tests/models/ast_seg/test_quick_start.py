"""The quick-start presets as a user meets them: each trains, in every scenario, and is scored."""

from __future__ import annotations

import json

import pytest

TRIAL = ("--limit", 16, "--steps", 2, "--batch-size", 8, "--device", "cpu")


@pytest.fixture
def prepared(ocbench):
    def prepare(dataset):
        assert ocbench("prepare", dataset, "--splits", "train,test", "--limit", 16, "--executor", "local:1").code == 0

    return prepare


@pytest.mark.parametrize(
    ("dataset", "scenario", "phases"),
    [
        ("mini-plain", "bt", ["joint"]),
        ("mini-fixed", "ct", ["foreground", "joint"]),
        ("mini-tex", "ct", ["background", "foreground", "joint"]),
        ("mini-tex", "frozen", ["background", "foreground"]),
    ],
)
def test_a_built_in_dataset_is_trained_and_scored(ocbench, prepared, tmp_path, dataset, scenario, phases):
    prepared(dataset)
    trained = ocbench("train", "ast-seg", "--data", dataset, "--scenario", scenario, *TRIAL)
    assert trained.code == 0, trained.err
    log = (tmp_path / "runs" / f"ast-seg-{scenario}-{dataset}-s0" / "log.jsonl").read_text().splitlines()
    found = [record["phase"] for record in map(json.loads, log) if "total" in record]
    assert list(dict.fromkeys(found)) == phases
    evaluated = ocbench("evaluate", "--json")
    assert evaluated.code == 0, evaluated.err
    [sheet] = json.loads(evaluated.out)["sheets"]
    assert {result["metric"] for result in sheet["results"]} == {"miou", "miou_fg", "ari_fg", "msc_fg", "mse"}


def test_seeds_and_ablations_share_a_background_and_say_so(ocbench, prepared):
    prepared("mini-tex")
    assert ocbench("train", "ast-seg", "--data", "mini-tex", *TRIAL).code == 0
    for more in (("--seed", 1), ("--scenario", "frozen"), ("-s", "refiner=none", "--name", "plain")):
        shared = ocbench("train", "ast-seg", "--data", "mini-tex", *TRIAL, *more)
        assert "2 steps found in the phase cache, of run ast-seg-ct-mini-tex-s0" in shared.err
    own = ocbench("train", "ast-seg", "--data", "mini-tex", *TRIAL, "-s", "background_tau=1", "--name", "own")
    assert (own.code, "phase cache" in own.err) == (0, False)


def test_a_missing_backbone_is_an_error_before_the_first_update(ocbench, prepared, tmp_path):
    prepared("mini-plain")
    ended = ocbench(
        "train",
        "ast-seg",
        "--data",
        "mini-plain",
        *TRIAL,
        "--batch-size",
        8,
        "--preset",
        "clevrtex",
        "-s",
        "weights=./nowhere",
    )
    assert ended.code == 4
    assert "no pretrained SegFormer weights at './nowhere'" in ended.err
    assert "--set pretrained=false" in ended.err
    assert not list((tmp_path / "runs").glob("*/checkpoints/0*"))
