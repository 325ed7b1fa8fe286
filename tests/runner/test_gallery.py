"""The gallery of an evaluation: the scenes that were scored, predicted as they were scored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import ocbench
from ocbench import Prediction
from ocbench.errors import UnknownNameError
from ocbench.gallery import load_gallery
from ocbench.runner.evaluate import Options
from ocbench.runner.evaluate import evaluate as score
from ocbench.runner.gallery import save_gallery
from ocbench.runs import read_log


class Drawn(nn.Module):
    """A prediction that depends on a random draw, with layers, centres and a second set of masks."""

    def predict(self, images, detail=False):
        noise = torch.rand(len(images), 3, *images.shape[2:])
        weights = noise / noise.sum(dim=1, keepdim=True)
        layers = weights[:, :, None].expand(-1, -1, 3, -1, -1) if detail else None
        centres = torch.zeros(len(images), 3, 2) if detail else None
        few = torch.ones(len(images), 1, *images.shape[2:])
        attention = weights[:, :, ::2, ::2] if detail else None
        return Prediction(weights, images * 0.5, layers, centres, {"flipped": weights.flip(1), "few": few}, attention)


@pytest.fixture
def test_split(workplace):
    return ocbench.open_dataset("squares", "test", data_dir=str(workplace / "data"))


def scored(model, scenes, folder, **options):
    """The rows of an evaluation in batches of 7."""
    path = folder / "rows.jsonl"
    score(model, scenes, options=Options(batch_size=7, **options), rows_path=path)
    return [row for row in read_log(path) if "key" in row]


def test_every_scene_is_shown_as_it_was_scored_though_the_model_draws(tmp_path, test_split):
    rows = scored(Drawn(), test_split, tmp_path, seed=3)
    save_gallery(tmp_path / "g", Drawn(), test_split, rows, count=9, seed=3, batch_size=7)
    found = load_gallery(tmp_path / "g")
    assert len(found.entries) == 9
    truth = {scene.key: scene for scene in test_split}
    known = {row["key"]: row for row in rows}
    for entry in found.entries:
        grid = found.picture(entry, "masks")[:, :, 0]
        tiles = [grid[:16, :16], grid[:16, 16:], grid[16:, :16]]
        labels = np.argmax(tiles, axis=0)  # masks are rounded to bytes, hence the tolerance
        again = ocbench.score_scene(truth[entry.key].mask, labels.astype(np.uint8))
        assert again["miou"] == pytest.approx(known[entry.key]["miou"], abs=0.03)
        assert entry.scores["miou"] == known[entry.key]["miou"]
        assert np.array_equal(found.picture(entry, "input"), truth[entry.key].image)


def test_a_model_that_gives_less_is_shown_with_less(tmp_path, workplace, test_split):
    model = ocbench.load_model(workplace / "runs" / "toy-curriculum-squares-s0")
    rows = scored(model, test_split, tmp_path)
    save_gallery(tmp_path / "g", model, test_split, rows, count=3, seed=0)
    found = load_gallery(tmp_path / "g")
    assert found.fingerprint == test_split.fingerprint
    assert found.size == (16, 16)
    assert sorted(found.entries[0].pictures) == [
        "error", "input", "layers", "masks", "prediction", "reconstruction", "truth",
    ]  # fmt: skip
    assert all(slot.centre is None for entry in found.entries for slot in entry.slots)


def test_other_masks_are_those_that_were_scored(tmp_path, test_split):
    scenes, rows = list(test_split)[:4], scored(Drawn(), list(test_split)[:4], tmp_path, masks="flipped")
    for masks in (None, "flipped", "few"):
        save_gallery(tmp_path / str(masks), Drawn(), scenes, rows, count=4, seed=0, masks=masks, batch_size=7)
    own, flipped, few = (load_gallery(tmp_path / name) for name in ("None", "flipped", "few"))
    pixels = [[[slot.pixels for slot in entry.slots] for entry in one.entries] for one in (own, flipped)]
    assert [counts[::-1] for counts in pixels[0]] == pixels[1]
    assert {"layers", "attention"} <= set(flipped.entries[0].pictures)
    assert not {"layers", "attention"} & set(few.entries[0].pictures)  # those of three slots say nothing of one
    assert flipped.picture(flipped.entries[0], "attention").shape == (32, 32, 3)
    with pytest.raises(UnknownNameError, match="set of masks"):
        save_gallery(tmp_path / "x", Drawn(), scenes, rows, count=4, seed=0, masks="fliped")
    assert not (tmp_path / "x").exists()


def test_no_scenes_give_an_empty_gallery(tmp_path, test_split):
    save_gallery(tmp_path / "g", Drawn(), test_split, [], count=6, seed=0)
    assert load_gallery(tmp_path / "g").entries == ()
