"""The mission's three commands against CLEVRTEX's raw layout, from one end to the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import sources

STYLES = {"full": ("tex", 40), "outd": ("ood", 10), "camo": ("camo", 20)}
FOLDER = 8  # scenes, in place of the thousand: five folders and so five archives of `full`
SPLITS = {"train": 32, "val": 4, "test": 4, "ood": 10, "camo": 2, "camo-train": 16, "camo-val": 2}
SIZE = (
    "decoder_width=16", "refiner_layers=1", "refiner_width=16", "refiner_heads=2", "refiner_feed_forward=16",
    "what_size=4", "background_width=0.05", "batch_size=4", "background_batch_size=4",
)  # fmt: skip


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """70 scenes of three variants in the published layout, drawn by the built-in renderer at 240x320."""
    root = tmp_path_factory.mktemp("raw")
    for variant, (style, count) in STYLES.items():
        draw = partial(sources.rendered_scene, style)
        sources.write_clevrtex(root / "clevrtex", variant, count, folder_size=FOLDER, draw=draw)
    return root / "clevrtex"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a SegFormer small enough for a test, in the place of the published weights."""
    import torch
    from transformers import SegformerConfig, SegformerModel

    torch.manual_seed(0)
    network = SegformerModel(
        SegformerConfig(depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 16, 16], num_attention_heads=[1, 1, 2, 2])
    )
    folder = tmp_path_factory.mktemp("weights")
    network.save_pretrained(folder)
    return folder


def shards(manifests: Path) -> dict[str, list[str]]:
    """The digests of the shards of each prepared split."""
    found = {}
    for path in sorted(manifests.glob("shards/clevrtex/ast-paper/*/manifest.json")):
        found[path.parent.name] = [shard["sha256"] for shard in json.loads(path.read_text())["shards"]]
    return found


def test_fewer_scenes_than_published_end_in_exit_5_with_the_counts(
    ocbench: Callable, raw: Path, tmp_path: Path
) -> None:
    ended = ocbench("prepare", "clevrtex", "--raw", raw)
    assert ended.code == 5
    for line in ("full: 40 of 50,000 scenes", "outd: 10 of 10,000 scenes", "camo: 20 of 20,000 scenes", "--partial"):
        assert line in ended.err
    assert not list((tmp_path / "data").rglob("*.tar"))


def test_tree_archives_and_any_number_of_workers_give_the_same_shards(
    ocbench: Callable, raw: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "packed"
    for variant in STYLES:
        sources.write_archives(raw / f"clevrtex_{variant}", packed, parts=5 if variant == "full" else 1)
    found = []
    for source, workers in ((raw, 1), (raw, 2), (raw, 4), (packed, 2)):
        data = tmp_path / f"data-{len(found)}"
        ended = ocbench(
            "prepare", "clevrtex", "--partial", "--raw", source, "--executor", f"local:{workers}", "--data-dir", data
        )
        assert ended.code == 0, ended.err
        found.append(shards(data))
    assert set(found[0]) == set(SPLITS)
    assert all(other == found[0] for other in found)


def test_an_archive_with_fewer_scenes_than_published_ends_in_exit_5(
    ocbench: Callable, raw: Path, tmp_path: Path
) -> None:
    """What its name does not tell, its end does."""
    sources.write_archives(raw / "clevrtex_outd", tmp_path / "packed")
    ended = ocbench("prepare", "clevrtex", "--raw", tmp_path / "packed")
    assert ended.code == 5
    assert "10,000" in ended.err
    assert not list((tmp_path / "data").rglob("manifest.json"))


def test_an_archive_cut_short_ends_in_exit_5_and_the_whole_one_goes_on(
    ocbench: Callable, raw: Path, tmp_path: Path
) -> None:
    (archive,) = sources.write_archives(raw / "clevrtex_outd", tmp_path / "packed")
    whole = archive.read_bytes()
    words = ("prepare", "clevrtex", "--partial", "--raw", tmp_path / "packed", "--executor", "local:1")
    archive.write_bytes(whole[: len(whole) // 2])
    ended = ocbench(*words)
    assert ended.code == 5
    assert f"archive '{archive}' ends early" in ended.err
    assert "download it again" in ended.err
    assert not list((tmp_path / "data").rglob("*.tar"))
    archive.write_bytes(whole)
    assert ocbench(*words).code == 0
    assert set(shards(tmp_path / "data")) == {"ood"}


def test_prepare_train_evaluate(ocbench: Callable, raw: Path, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "raw").mkdir(parents=True)
    (tmp_path / "data" / "raw" / "clevrtex").symlink_to(raw)
    prepared = ocbench("prepare", "clevrtex", "--partial")
    assert prepared.code == 0, prepared.err
    assert "full: 40 of 50,000" in prepared.err
    settings = [word for setting in (*SIZE, f"weights={weights}") for word in ("--set", setting)]
    trained = ocbench("train", "ast-seg", "--scenario", "ct", "--steps", "2", *settings)
    assert trained.code == 0, trained.err
    run = tmp_path / "runs" / "ast-seg-ct-clevrtex-s0"
    assert (run / "checkpoints" / "final" / "model.safetensors").is_file()
    assert {json.loads(line).get("phase") for line in (run / "log.jsonl").read_text().splitlines()} >= {
        "background", "foreground", "joint",
    }  # fmt: skip
    evaluated = ocbench("evaluate", "--split", "camo")
    assert evaluated.code == 0, evaluated.err
    for label in ("mIoU", "mIoU-FG", "ARI-FG", "MSC-FG", "MSE"):
        assert label in evaluated.out
    sheet = json.loads((run / "scores" / "clevrtex-camo@ast-paper.json").read_text())
    assert sheet["complete"] is True
    assert sheet["scenes"] == SPLITS["camo"]
    assert sheet["special"]["partial"]
