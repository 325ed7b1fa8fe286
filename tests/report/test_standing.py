"""Published rows beside ours: each number under its own metric, and no run under a name that it does not deserve."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from scored_runs import scored

from ocbench.report import Options, csv_text, latex, markdown, record, sections
from ocbench.runs import RunConfig

PAPER = Options(paper=True)
SCORES = {"miou": 0.80, "miou_fg": 0.77, "ari_fg": 0.94, "mse": 146.0}


def cells(text: str, name: str) -> list[str]:
    [line] = [line for line in text.splitlines() if line.startswith(f"| {name} ")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_published_rows_stand_beside_ours_under_their_own_metric(tmp_path):
    text = markdown(sections([scored(tmp_path, "net-ct-clevrtex-s0", SCORES)]), PAPER)
    assert cells(text, "net ct") == ["0", "80.00", "77.00", "94.00", "146.0"]
    assert cells(text, "gap to AST-Seg-B3-CT") == ["", "+0.8 σ", "–", "-1.5 σ", "+1.0 σ"]
    assert cells(text, "AST-Seg-B3-CT, Table 1") == ["3 runs", "79.58 ± 0.54", "–", "94.77 ± 0.51", "139 ± 7"]
    assert cells(text, "GNM, Table 1") == ["3 runs", "–", "42.25 ± 0.18", "53.37 ± 0.67", "383 ± 2"]
    assert "stands for no" not in text
    assert "Table" not in markdown(sections([tmp_path / "net-ct-clevrtex-s0"]))


@pytest.mark.parametrize(
    ("run", "sheet", "why"),
    [
        ({"overrides": ("width=2",), "published": None}, {}, "settings changed: width=2"),
        ({"steps": 10, "published": None}, {}, "a trial of 10 updates a phase"),
        ({"preset": "clevr"}, {}, "preset 'clevr', not 'clevrtex'"),
        ({"partial": {"limit": 9}}, {}, "trained on a part of its split (limit 9)"),
        ({"protocol": "other"}, {}, "trained on clevrtex:train@other"),
        ({}, {"partial": {"limit": 4}}, "scored on a part of the split (limit 4)"),
        ({}, {"seen": 3}, "3 of the scenes were seen in training"),
        ({"published": None}, {}, "no published system is net ct"),
    ],
)
def test_what_stands_for_no_published_system_is_told_why(tmp_path, run, sheet, why):
    run_dir = scored(tmp_path, "net-ct-clevrtex-s0", SCORES, **sheet)
    replace(RunConfig.load(run_dir), **run).save(run_dir)
    text = markdown(sections([run_dir]), PAPER)
    assert "gap to" not in text
    [note] = [line for line in text.splitlines() if "stands for no published system" in line]
    assert why in note
    [row] = record(sections([run_dir]), PAPER)["sections"][0]["rows"]
    assert (row["stands_for"], row["why_none"]) == (None, [why])
    assert "gap_to" not in row["metrics"]["miou"]


def test_another_protocol_has_nothing_beside_it_and_says_which_has(tmp_path):
    text = markdown(sections([scored(tmp_path, "a-s0", SCORES, protocol="other")]), PAPER)
    assert "no number under clevrtex:test@other for these metrics; there are numbers under @ast-paper." in text
    assert "AST-Seg" not in text


def test_an_ablation_is_shown_only_to_the_run_that_is_it(tmp_path):
    ablation = "AST-Seg-B3-CT: using a Unet instead of Segformer feature generator"
    usual = scored(tmp_path, "net-ct-clevrtex-s0", SCORES)
    assert "Table 4" not in markdown(sections([usual]), PAPER)
    unet = scored(tmp_path, "unet-ct-clevrtex-s0", SCORES, model="unet", published=ablation)
    text = markdown(sections([unet]), PAPER)
    assert cells(text, f"{ablation}, Table 4")[1] == "66.82"
    assert cells(text, f"gap to {ablation}")[1] == "+13.18"


def test_the_spread_has_the_ddof_that_was_asked_for(tmp_path):
    runs = [scored(tmp_path, f"net-ct-clevrtex-s{s}", {"miou": 0.7 + s / 50}, seed=s) for s in range(3)]
    assert cells(markdown(sections(runs)), "net ct")[1] == "72.00 ± 1.63"
    text = markdown(sections(runs), Options(ddof=1))
    assert cells(text, "net ct")[1] == "72.00 ± 2.00"
    assert "(ddof=1)" in text
    assert record(sections(runs), Options(ddof=1))["ddof"] == 1


def test_csv_has_one_number_a_line_and_published_digits(tmp_path):
    found = list(csv.DictReader(io.StringIO(csv_text(sections([scored(tmp_path, "a-s0", SCORES)]), PAPER))))
    ours = [line for line in found if line["origin"] == "run"]
    assert [(line["metric"], float(line["mean"]), line["unit"]) for line in ours[:1]] == [("miou", 80.0, "%")]
    assert (ours[0]["gap_to"], float(ours[0]["gap_in_std"])) == ("AST-Seg-B3-CT", pytest.approx(0.42 / 0.54))
    [mn] = [line for line in found if (line["system"], line["metric"]) == ("MN", "miou_fg")]
    assert (mn["mean"], mn["std"], mn["origin"]) == ("10.46", "0.10", "Table 1")


def test_latex_escapes_what_it_must(tmp_path):
    text = latex(sections([scored(tmp_path, "a-s0", SCORES, overrides=("a_b=5%",))]), PAPER)
    assert r"net ct {[}a\_b=5\%{]} (a) & 0 & 80.00 &" in text
    assert r"AST-Seg-B3-CT, Table 1 & 3 runs & 79.58 $\pm$ 0.54 & -- &" in text
    assert text.count("\\midrule") == 2


def test_runs_trained_on_other_data_are_no_seeds_of_one_row(tmp_path):
    one = scored(tmp_path, "net-ct-clevrtex-s0", SCORES)
    two = scored(tmp_path, "net-ct-clevr-s0", SCORES)
    replace(RunConfig.load(two), dataset="clevr").save(two)
    [section] = sections([one, two, one])
    assert [(row.name, row.seeds) for row in section.rows] == [
        ("net ct", (0,)), ("net ct [preset=clevrtex, trained on clevr:train@ast-paper]", (0,)),
    ]  # fmt: skip
