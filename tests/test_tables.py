"""How numbers and tables are written."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from ocbench.runs import MetricResult, ScoreSheet
from ocbench.tables import gap_shown, markdown_table, sheet_table, shown, text_table

MIOU = MetricResult("miou", "mIoU", 0.7261, 0.1, 2000, 0, (0.719, 0.733), scale=100)
MSE = MetricResult("mse", "MSE", 147.23, 9.0, 2000, 0, (144.0, 150.5), higher_is_better=False)


@pytest.mark.parametrize(
    ("result", "value", "text"),
    [
        (MIOU, 0.72614, "72.61"),
        (MIOU, -0.00001, "0.00"),
        (MIOU, 1.0, "100.00"),
        (MIOU, math.nan, "undefined"),
        (MSE, 147.234, "147.2"),
        (MSE, 64.1, "64.10"),
        (MSE, 4.5, "4.500"),
        (MSE, 1101.4, "1,101"),
        (MSE, 0.0, "0.000"),
        (MSE, 0.000326, "0.000326"),
        (MSE, math.inf, "inf"),
    ],
)
def test_a_value_in_the_unit_of_the_screen(result, value, text):
    assert shown(result, value) == text


def sheet(*results: MetricResult) -> ScoreSheet:
    return ScoreSheet({}, "clevrtex", "camo", "ast-paper", 1, "f", "w", 2000, results, settings={"level": 95.0})


def test_a_sheet_beside_published_numbers():
    miou = replace(MIOU, published={"mean": 73.07, "std": 0.65})
    mse = replace(MSE, published={"mean": 145.0, "std": None})
    alone = MetricResult("msc_fg", "MSC-FG", 0.7, 0.1, 1999, 1, None, scale=100)
    assert sheet_table(sheet(miou, alone, mse)) == (
        "metric         value                 95 % interval   published      gap\n"
        "mIoU     ↑ %   72.61                 71.90 – 73.30   73.07 ± 0.65   -0.7 σ\n"
        "MSC-FG   ↑ %   70.00 (1 undefined)   –               –              –\n"
        "MSE      ↓     147.2                 144.0 – 150.5   145            +2.23"
    )


def test_columns_that_say_nothing_are_left_out():
    assert sheet_table(sheet(MIOU)).splitlines()[0].split() == ["metric", "value", "95", "%", "interval"]
    assert text_table(("name", "note"), [["a", "–"], ["b", ""]]) == "name\na\nb"


def test_a_markdown_table_is_also_read_as_text():
    assert markdown_table(("", "mIoU"), [["a|b", "72.61"], ["grid", "6"]]) == (
        "|      |  mIoU |\n| :--- | ----: |\n| a\\|b | 72.61 |\n| grid |     6 |"
    )


def test_a_gap_is_in_deviations_or_else_in_the_unit_of_the_screen():
    assert gap_shown(72.61, 73.07, 0.65) == "-0.7 σ"
    assert gap_shown(147.23, 145.0, None) == gap_shown(147.23, 145.0, 0.0) == "+2.23"
