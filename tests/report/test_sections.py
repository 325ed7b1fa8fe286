"""Runs side by side: which are one row, which numbers share a table, and the Markdown to the letter."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import scored_runs

from ocbench import report
from ocbench.errors import RunError
from ocbench.report import paper
from ocbench.runs import MetricResult, RunConfig, ScoreSheet

RUN = RunConfig(
    model="toy", scenario="curriculum", preset="squares", dataset="squares", split="train", protocol="native",
    protocol_version=1, size=(16, 16), max_objects=3, fingerprint="f", seed=0, config={},
)  # fmt: skip


GOLDEN = """\
### squares:test@native   24 scenes

|                                  | seeds |     mIoU ↑ % |         MSE ↓ |
| :------------------------------- | ----: | -----------: | ------------: |
| toy curriculum                   |  0, 1 | 61.00 ± 1.00 | 61.00 ± 1.000 |
| toy curriculum [width=32] (wide) |     0 |        70.00 |         70.00 |
| blank fit [steps=10]             |     0 |        25.00 |         25.00 |

* ± is the standard deviation over seeds, of the population (ddof=0)."""


def scored(root: Path, name: str, miou: float, *, split: str = "test", fingerprint: str = "t", **changes) -> Path:
    """A run directory with one sheet."""
    run = replace(RUN, **changes)
    path = root / name
    run.save(path)
    results = (
        MetricResult("miou", "mIoU", miou, 0.1, 24, 0, None, scale=100),
        MetricResult("mse", "MSE", 100 * miou, 1.0, 24, 0, None, higher_is_better=False),
    )
    sheet = ScoreSheet(
        run={"name": name, "seed": run.seed}, dataset="squares", split=split, protocol="native", protocol_version=1,
        fingerprint=fingerprint, weights_digest="w", scenes=24, results=results, special={"partial": None},
    )  # fmt: skip
    sheet.save(path / "scores" / f"{sheet.name}.json")
    return path


def test_seeds_are_one_row_and_other_settings_another(tmp_path):
    runs = [
        scored(tmp_path, "toy-curriculum-squares-s1", 0.62, seed=1),
        scored(tmp_path, "toy-curriculum-squares-s0", 0.60),
        scored(tmp_path, "wide-s0", 0.70, overrides=("width=32",)),
        scored(tmp_path, "blank-fit-squares-s0", 0.25, model="blank", scenario="fit", preset="*", steps=10),
    ]
    assert report.markdown(report.sections(runs)) == GOLDEN


def test_splits_and_other_pixels_under_one_name_are_tables_of_their_own(tmp_path):
    runs = [
        scored(tmp_path, "a-s0", 0.6),
        scored(tmp_path, "b-s0", 0.5, split="ood", fingerprint="o"),
        scored(tmp_path, "c-s0", 0.4, fingerprint="other pixels"),
    ]
    titles = [section.title for section in report.sections(runs)]
    assert titles == ["squares:test@native   24 scenes", "squares:ood@native   24 scenes", titles[0]]


def test_the_record_holds_every_seed(tmp_path):
    runs = [scored(tmp_path, f"toy-curriculum-squares-s{seed}", 0.5 + 0.1 * seed, seed=seed) for seed in (0, 1)]
    [section] = json.loads(json.dumps(report.record(report.sections(runs))))["sections"]
    [row] = section["rows"]
    assert row["seeds"] == [0, 1]
    assert row["metrics"]["miou"]["values"] == [0.5, 0.6]
    assert row["metrics"]["miou"]["mean"] == pytest.approx(0.55)
    assert row["metrics"]["miou"]["std"] == pytest.approx(0.05)


def test_a_metric_that_one_sheet_lacks_is_a_gap(tmp_path):
    whole, other = scored(tmp_path, "a-s0", 0.6), scored(tmp_path, "b-s0", 0.5, model="other")
    path = other / "scores" / "squares-test@native.json"
    sheet = ScoreSheet.load(path)
    replace(sheet, results=sheet.results[:1]).save(path)
    assert report.markdown(report.sections([whole, other])).splitlines()[-1].split("|")[-2].strip() == "–"


def test_a_run_without_scores_says_what_to_type(tmp_path):
    RUN.save(tmp_path / "toy-s0")
    with pytest.raises(RunError, match=r"ocbench evaluate .*toy-s0"):
        report.sections([tmp_path / "toy-s0"])


def test_a_phase_taken_from_another_run_is_told_under_the_table(tmp_path):
    first = scored_runs.scored(tmp_path, "net-s0", {"miou": 0.5})
    shared = {"background": "net-s0"}
    others = [scored_runs.scored(tmp_path, f"net-s{n}", {"miou": 0.6}, seed=n, shared=shared) for n in (1, 2)]
    note = "phase 'background' of seed 1, 2 is that of net-s0, whose spread ± does not hold."
    found = report.sections([first, *others])
    assert [row.seeds for row in found[0].rows] == [(0, 1, 2)]
    assert note in report.markdown(found)
    assert note in paper.markdown(paper.TABLES[:1], found)
    assert "is that of" not in report.markdown(report.sections([first]))
