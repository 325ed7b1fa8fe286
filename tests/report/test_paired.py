"""Paired differences of two runs: by hand, and refused where the numbers are not alike."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
from scored_runs import scored

from ocbench.errors import RunError, UsageError
from ocbench.report import paired_formats
from ocbench.report.paired import Allowed, pairs
from ocbench.runs import RunConfig

FIRST = {"miou": [0.5, 0.6, 0.7, 0.8], "mse": [10.0, 20.0, 30.0, 40.0]}
SECOND = {"miou": [0.6, 0.6, 0.6, 0.9], "mse": [9.0, 18.0, 27.0, 46.0]}


def two(tmp_path, first=FIRST, second=SECOND, **changes):
    return [scored(tmp_path, "a-s0", first), scored(tmp_path, "b-s0", second, **changes)]


def test_a_table_to_the_letter(tmp_path):
    text = paired_formats.markdown(pairs(two(tmp_path)))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "### b-s0 less a-s0, clevrtex:test@ast-paper 4 scenes"
    assert lines[2] == "| | a-s0 | b-s0 | difference | 95 % interval | won | lost | tied |"
    assert lines[4] == "| mIoU ↑ % | 65.00 | 67.50 | +2.50 | -5.00 to +10.00 | 2 | 1 | 1 |"
    assert lines[5].startswith("| MSE ↓ | 25.00 | 25.00 | 0.000 |")
    assert lines[5].endswith("| 3 | 1 | 0 |")
    assert "NOT" not in text


def test_every_other_run_is_paired_with_the_first(tmp_path):
    runs = [*two(tmp_path), scored(tmp_path, "c-s0", FIRST)]
    assert [(pair.first, pair.second) for pair in pairs(runs)] == [("a-s0", "b-s0"), ("a-s0", "c-s0")]


def test_scenes_are_paired_by_key_not_by_place(tmp_path):
    keys = [f"scene-{place}" for place in (3, 2, 1, 0)]
    runs = two(tmp_path, second={"miou": FIRST["miou"][::-1]}, keys=keys)
    [(_, found)] = pairs(runs)[0].differences
    assert (found.difference, found.tied) == (0.0, 4)


def test_pooled_metrics_are_pooled_again(tmp_path):
    # TP, FP, FN, sum of IoUs: F1 = TP / (TP + FP / 2 + FN / 2)
    rows = [[[1.0, 0.0, 0.0, 0.9]], [[1.0, 2.0, 0.0, 0.8]], []]
    better = [[[1.0, 0.0, 0.0, 0.9]], [[1.0, 0.0, 0.0, 0.8]], []]
    [(_, found)] = pairs(two(tmp_path, {"f1": rows}, {"f1": better}))[0].differences
    assert (found.first, found.second) == pytest.approx((2 / 3, 1.0))
    assert (found.scenes, found.won) == (3, None)
    text = paired_formats.markdown(pairs([tmp_path / "a-s0", tmp_path / "b-s0"]))
    assert "| 66.67 | 100.00 |     +33.33 |" in text


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"protocol": "other"}, "protocol ast-paper/1, and other/1"),
        ({"fingerprint": "pixels"}, "fingerprint t, and pixels"),
        ({"nan": "zero"}, "NaN omit, and zero"),
    ],
)
def test_unlike_runs_are_refused_unless_told(tmp_path, changes, found):
    runs = two(tmp_path, **changes)
    with pytest.raises(RunError, match="not scored alike") as caught:
        pairs(runs, Allowed(partial=True))
    assert caught.value.found == found
    assert f"* NOT ALIKE: {found}." in paired_formats.markdown(pairs(runs, Allowed(unlike=True)))


def test_dialects_are_refused_unless_told_and_then_both_are_named(tmp_path):
    runs = two(tmp_path, second={"miou@union": SECOND["miou"], "mse": SECOND["mse"]})
    with pytest.raises(RunError, match="not scored alike") as caught:
        pairs(runs)
    assert caught.value.found == "dialect miou, and miou@union"
    text = paired_formats.markdown(pairs(runs, Allowed(unlike=True)))
    assert "| mIoU and miou@union ↑ % |" in text


def test_partial_runs_are_refused_unless_told(tmp_path):
    runs = two(tmp_path, partial={"limit": 4})
    replace(RunConfig.load(runs[0]), partial={"limit": 9}).save(runs[0])
    with pytest.raises(RunError, match="not trained and scored on whole splits") as caught:
        pairs(runs, Allowed(unlike=True))
    assert caught.value.hint == "--allow-partial"
    notes = pairs(runs, Allowed(partial=True))[0].notes
    assert notes == (
        "NOT WHOLE: 'a-s0' was trained on a part of its split (limit 9).",
        "NOT WHOLE: 'b-s0' was scored on a part of its split (limit 4).",
    )


def test_fewer_scenes_of_other_pixels_are_told(tmp_path):
    runs = two(tmp_path, second={"miou": [0.5, 0.6, 0.7]}, fingerprint="x")
    [pair] = pairs(runs, Allowed(unlike=True))
    assert pair.scenes == 3
    assert "NOT ALIKE: 3 scenes in common, of 4 and 3." in pair.notes
    assert "In one of the two only: mse." in pair.notes


def test_undefined_scenes_follow_the_policy_of_the_sheets(tmp_path):
    holes = {"miou": [float("nan"), 0.6, 0.6, 0.9]}
    [(_, found)] = pairs(two(tmp_path, second=holes))[0].differences
    assert (found.scenes, found.undefined) == (3, 1)
    assert "undefined |" in paired_formats.markdown(pairs([tmp_path / "a-s0", tmp_path / "b-s0"]))
    for policy, value in (("zero", -0.125), ("propagate", None)):
        runs = [
            scored(tmp_path / policy, name, scores, nan=policy) for name, scores in (("a-s0", FIRST), ("b-s0", holes))
        ]
        [pair] = json.loads(json.dumps(paired_formats.record(pairs(runs))))["pairs"]
        assert pair["metrics"]["miou"]["difference"] == (None if value is None else pytest.approx(value))


def test_rows_that_are_not_the_sheets_are_named(tmp_path):
    runs = two(tmp_path)
    path = runs[1] / "scores" / "clevrtex-test@ast-paper.jsonl"
    whole = path.read_text()
    path.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    with pytest.raises(RunError, match="not whole"):
        pairs(runs)
    path.write_text(whole.replace('"weights": "w"', '"weights": "v"'))
    with pytest.raises(RunError, match="another evaluation"):
        pairs(runs)
    path.unlink()
    with pytest.raises(RunError, match=r"--split test --overwrite"):
        pairs(runs)


def test_one_run_and_runs_without_a_common_split_are_refused(tmp_path):
    runs = [scored(tmp_path, "a-s0", FIRST), scored(tmp_path, "b-s0", SECOND, split="ood")]
    with pytest.raises(RunError, match="no split in common"):
        pairs(runs)
    with pytest.raises(UsageError, match="of two runs"):
        pairs([runs[0], runs[0]])


def test_csv_and_latex_say_the_same(tmp_path):
    found = pairs(two(tmp_path))
    first = next(iter(csv.DictReader(io.StringIO(paired_formats.csv_text(found)))))
    assert (first["metric"], float(first["difference"]), first["won"]) == ("miou", pytest.approx(2.5), "2")
    assert r"mIoU $\uparrow$ \% & 65.00 & 67.50 & +2.50 & -5.00 to +10.00 & 2 & 1 & 1 \\" in paired_formats.latex(found)
