"""Score tables beside published rows, gaps between splits, and slices of several runs."""

from __future__ import annotations

import numpy as np
import pytest

from ocbench.html.collect import collect
from ocbench.html.cuts import cut_tables
from ocbench.html.scores import gap_tables, score_tables

CLEVRTEX = {"dataset": "clevrtex", "protocol": "ast-paper", "preset": "clevrtex", "published": "AST-Seg-B3-CT"}


def test_a_cell_has_value_interval_and_bar_as_the_sheet_says(maker):
    found = collect([maker.run()])
    (table,) = score_tables(found)
    result = found.scored[0].sheet["miou"]
    cell = table.lines[0].cells[0]
    low, high = result.interval
    assert table.headings == ("mIoU ↑ %", "mIoU-FG ↑ %", "ARI-FG ↑ %", "MSE ↓")
    assert (cell.text, cell.value) == (f"{100 * result.mean:.2f}", result.mean)
    assert cell.below == f"{100 * low:.2f} – {100 * high:.2f}"
    assert cell.bar == tuple(pytest.approx(100 * value, abs=0.01) for value in (low, result.mean, high))
    assert table.lines[0].cells[3].bar is None  # MSE has no end


def test_seeds_get_a_row_of_their_mean(maker):
    runs = [maker.run(f"toy-only-squares-s{seed}", seed=seed, spoil=2 + seed) for seed in (0, 1, 2)]
    found = collect(runs)
    (table,) = score_tables(found)
    assert [line.kind for line in table.lines] == ["run", "run", "run", "seeds"]
    means = [each.sheet["miou"].mean for each in found.scored]
    assert table.lines[3].cells[0].text == f"{100 * np.mean(means):.2f}"
    assert table.lines[3].cells[0].below == f"± {100 * np.std(means):.2f}"


def test_published_rows_stand_beside_a_whole_split_with_the_gap(maker):
    (table,) = score_tables(collect([maker.run("a-s0", **CLEVRTEX)]))
    published = {line.name: line for line in table.lines if line.kind == "published"}
    assert "AST-Seg-B3-CT" in published
    assert published["AST-Seg-B3-CT"].cells[0].below.startswith("± ")
    assert " σ" in table.lines[0].cells[0].gap
    assert any(note.startswith("Published: ") for note in table.notes)


def test_no_published_row_stands_beside_a_part_of_a_split(maker):
    path = maker.run("a-s0", splits=(), **CLEVRTEX)
    maker.scores(path, "test", special={"partial": {"limit": 12}})
    (table,) = score_tables(collect([path]))
    assert [line.kind for line in table.lines] == ["run"]
    assert table.notes == ("Not the whole split was scored: no published number may be laid beside these.",)


def test_the_gap_is_the_other_split_less_test(maker):
    path = maker.run("a-s0", splits=("test",), spoil=1)
    maker.scores(path, "ood", spoil=6)
    found = collect([path])
    (table,) = gap_tables(found)
    sheets = {each.sheet.split: each.sheet for each in found.scored}
    expected = sheets["ood"]["miou"].mean - sheets["test"]["miou"].mean
    assert table.title == "squares:ood@native less test"
    assert table.lines[0].cells[0].text == f"{100 * expected:+.2f}"
    low, high = table.lines[0].cells[0].below.split(" to ")
    assert float(low) < 100 * expected < float(high)
    assert gap_tables(collect([path], "ood")) == ()


def test_slices_lay_runs_side_by_side(maker):
    found = collect([maker.run("a-s0", spoil=1), maker.run("b-s0", spoil=6)])
    (block,) = cut_tables(found)
    tables = {table.title: table for table in block.tables}
    assert {"Object size", "Objects in the scene", "Touches the border", "Shape", "Material"} <= set(tables)
    assert [line.label for line in tables["Material"].lines] == ["cloth", "steel", "wood"]
    assert tables["Shape"].runs == (("a-s0", 0), ("b-s0", 1))
    good, bad = tables["Shape"].lines[0].cells
    assert good.value > bad.value
    objects = [one["best_iou"] for row in found.scored[0].rows for one in row["per_object"]]
    assert good.value == pytest.approx(np.mean(objects))
    assert tables["Shape"].lines[0].objects == len(objects)


def test_rows_without_facts_are_cut_by_what_every_row_has(maker):
    path = maker.run("a-s0", splits=())
    maker.scores(path, "test", facts=False)
    (block,) = cut_tables(collect([path]))
    assert [table.title for table in block.tables] == ["Object size", "Objects in the scene"]
