"""Evaluation: the same numbers whatever the batch size or the interruption, and what a sheet says beside them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import ocbench
from ocbench import Prediction, Scene
from ocbench.errors import RunError, UnknownNameError, UsageError
from ocbench.runner import evaluate as verb
from ocbench.runner.evaluate import Options, evaluate_run
from ocbench.runs import RunConfig, ScoreSheet

RUN = "toy-curriculum-squares-s0"


@pytest.fixture
def run_dir(workplace):
    return workplace / "runs" / RUN


@pytest.fixture
def test_split(workplace):
    return ocbench.open_dataset("squares", "test", data_dir=str(workplace / "data"))


class Drawn(nn.Module):
    """A prediction that depends on a random draw, with a second set of masks."""

    def predict(self, images, detail=False):
        noise = torch.rand(len(images), 3, *images.shape[2:])
        weights = noise / noise.sum(dim=1, keepdim=True)
        return Prediction(weights, images * 0.5, alternatives={"flipped": weights.flip(1)})


def means(sheet):
    return {result.metric: result.mean for result in sheet.results}


def test_the_python_shape_of_the_documentation(run_dir, test_split):
    sheet = ocbench.evaluate(ocbench.load_model(run_dir), test_split)
    assert list(means(sheet)) == ["miou", "miou_fg", "ari_fg", "msc_fg", "mse"]
    low, high = sheet["miou"].interval
    assert low < sheet["miou"].mean < high
    assert sheet.scenes == sheet["miou"].scenes == 24
    with pytest.raises(KeyError, match="no 'dice'"):
        sheet["dice"]


def test_numbers_are_those_of_score_scene(run_dir, test_split):
    model = ocbench.load_model(run_dir)
    sheet = ocbench.evaluate(model, test_split)
    found = []
    for scene in test_split:
        images = torch.from_numpy(scene.image.transpose(2, 0, 1)[None].copy()).float() / 255
        with torch.no_grad():
            prediction = model.predict(images)
        labels = prediction.weights[0].numpy().argmax(axis=0)
        drawn = prediction.reconstruction[0].numpy().transpose(1, 2, 0)
        found.append(ocbench.score_scene(scene.mask, labels, scene.image, drawn))
    for name, mean in means(sheet).items():
        assert mean == pytest.approx(np.mean([scores[name] for scores in found]), rel=1e-5)


def test_the_batch_size_changes_nothing_where_a_model_draws_nothing(run_dir, test_split):
    model = ocbench.load_model(run_dir)
    sheets = [ocbench.evaluate(model, test_split, options=Options(batch_size=size)) for size in (1, 7, 64)]
    for sheet in sheets[1:]:
        assert means(sheet) == pytest.approx(means(sheets[0]), rel=1e-6)


@pytest.mark.parametrize("stop", [8, 16])
def test_an_interrupted_evaluation_ends_in_the_same_sheet(tmp_path, test_split, stop):
    options = Options(batch_size=8)
    whole = ocbench.evaluate(Drawn(), test_split, options=options, rows_path=tmp_path / "whole.jsonl")

    def interrupt(done, total, note):
        if done == stop:
            raise KeyboardInterrupt

    rows = tmp_path / "rows.jsonl"
    with pytest.raises(KeyboardInterrupt):
        ocbench.evaluate(Drawn(), test_split, options=options, rows_path=rows, progress=interrupt)
    [part] = tmp_path.glob("rows.jsonl.*")
    assert len(part.read_text().splitlines()) == stop + 1
    seen = []
    again = ocbench.evaluate(
        Drawn(), test_split, options=options, rows_path=rows, progress=lambda *told: seen.append(told[0])
    )
    assert seen == list(range(stop + 8, 25, 8))
    assert again.results == whole.results
    assert rows.read_text() == (tmp_path / "whole.jsonl").read_text()


def test_the_seed_decides_what_a_model_draws(test_split):
    first, again, other = (ocbench.evaluate(Drawn(), test_split, options=Options(seed=s)) for s in (0, 0, 1))
    assert first.results == again.results
    assert means(first) != means(other)


def test_other_masks_of_the_same_prediction(test_split):
    metrics = ("miou", "mse")
    plain = ocbench.evaluate(Drawn(), test_split, options=Options(metrics))
    other = ocbench.evaluate(Drawn(), test_split, options=Options(metrics, masks="flipped"))
    assert other["mse"].mean == plain["mse"].mean
    with pytest.raises(UnknownNameError, match=r"no set of masks named 'attention'(.|\n)*flipped"):
        ocbench.evaluate(Drawn(), test_split, options=Options(masks="attention"))


def test_scenes_of_any_sequence_and_degenerate_ones_are_counted():
    image = np.full((16, 16, 3), 90, np.uint8)
    one = np.zeros((16, 16), np.uint8)
    one[2:6, 2:6] = 1
    scenes = [Scene("a", image, np.zeros((16, 16), np.uint8)), Scene("b", image, one)]
    sheet = ocbench.evaluate(Drawn(), scenes)
    assert (sheet.dataset, sheet.special["no_foreground"], sheet.special["one_object"]) == ("scenes", 1, 1)


def test_a_run_has_a_sheet_rows_and_is_not_scored_twice(run_dir, test_split, monkeypatch):
    sheet, known = evaluate_run(run_dir, test_split, Options())
    path = run_dir / "scores" / "squares-test@native.json"
    assert not known
    assert ScoreSheet.load(path) == sheet
    rows = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]
    assert [row["key"] for row in rows[1:]] == list(test_split.keys)
    assert rows[1]["miou"] == pytest.approx(sheet["miou"].mean, abs=1)
    assert sheet.run["trained_on"] == "squares:train@native"
    assert sheet.special["seen_in_training"] == 0
    monkeypatch.setattr(verb, "evaluate", None)  # would fail if it were called
    assert evaluate_run(run_dir, test_split, Options()) == (sheet, True)


def test_another_evaluation_in_the_same_place_needs_overwrite(run_dir, test_split):
    evaluate_run(run_dir, test_split, Options())
    with pytest.raises(RunError, match=r"holds another evaluation(.|\n)*nan: there omit, now zero(.|\n)*--overwrite"):
        evaluate_run(run_dir, test_split, Options(nan="zero"))
    sheet, known = evaluate_run(run_dir, test_split, Options(nan="zero", overwrite=True))
    assert (sheet.settings["nan"], known) == ("zero", False)


def test_scenes_seen_in_training_are_counted(run_dir, workplace):
    train = ocbench.open_dataset("squares", "train", data_dir=str(workplace / "data"))
    sheet, _ = evaluate_run(run_dir, train.first(20), Options())
    assert (sheet.special["seen_in_training"], sheet.special["partial"]) == (20, {"limit": 20})


def test_a_published_number_stands_only_beside_what_it_is_about(run_dir, test_split, monkeypatch):
    from ocbench import published

    row = published.PublishedRow("Toy-Net", "squares", "test", "miou", 50.0, "%", "a paper", "later", protocol="native")
    monkeypatch.setattr(published, "published_rows", lambda: (row,))
    run = RunConfig.load(run_dir)

    def beside(run, scenes):
        run.save(run_dir)
        return evaluate_run(run_dir, scenes, Options(overwrite=True))[0]["miou"].published

    named = replace(run, published="Toy-Net", steps=None)
    assert beside(named, test_split)["mean"] == 50.0
    assert beside(replace(named, published=None), test_split) is None  # a changed preset names no system
    assert beside(replace(named, steps=2), test_split) is None  # a trial
    assert beside(replace(named, dataset="other"), test_split) is None  # trained on something else
    assert beside(replace(named, partial={"limit": 5}), test_split) is None
    assert beside(named, test_split.first(5)) is None


def test_label_maps_and_panels_are_written(run_dir, test_split, tmp_path):
    sheet, _ = evaluate_run(run_dir, test_split, Options(panels=3, labels_dir=str(tmp_path / "labels")))
    files = sorted(path.stem for path in (tmp_path / "labels").iterdir())
    assert files == sorted(test_split.keys)
    scores = []
    for scene in test_split:
        labels = np.asarray(Image.open(tmp_path / "labels" / f"{scene.key}.png"))
        scores.append(ocbench.score_scene(scene.mask, labels)["miou"])
    assert np.mean(scores) == pytest.approx(sheet["miou"].mean, abs=1e-12)
    with Image.open(run_dir / "panels" / "squares-test@native.png") as picture:
        assert picture.height == pytest.approx(110 * (1.35 * 3 + 0.35), abs=2)


def test_images_of_another_size_are_refused(run_dir, test_split):
    replace(RunConfig.load(run_dir), size=(32, 32)).save(run_dir)
    with pytest.raises(UsageError, match=r"another size(.|\n)*32 x 32(.|\n)*16 x 16"):
        evaluate_run(run_dir, test_split, Options())
