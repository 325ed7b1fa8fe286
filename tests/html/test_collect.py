"""What a report finds in run directories, and what it says of the rest."""

from __future__ import annotations

import json

import pytest

from ocbench.errors import RunError
from ocbench.html.collect import collect


def rows_file(run_dir):
    (path,) = (run_dir / "scores").glob("*.jsonl")
    return path


def test_runs_splits_rows_and_galleries_are_found(maker):
    first, second = maker.run("a-s0", splits=("test", "ood")), maker.run("b-s0", spoil=5)
    found = collect([first, second])
    assert [run.name for run in found.runs] == ["a-s0", "b-s0"]
    assert [(each.run.name, each.place, len(each.rows), len(each.gallery.entries)) for each in found.scored] == [
        ("a-s0", "squares:test@native", 12, 6),
        ("b-s0", "squares:test@native", 12, 6),
        ("a-s0", "squares:ood@native", 12, 6),
    ]
    assert found.notes == ()


def test_one_split_is_chosen_and_a_run_without_it_is_left_out(maker):
    first, second = maker.run("a-s0", splits=("test", "ood")), maker.run("b-s0")
    found = collect([first, second], "ood")
    assert [each.place for each in found.scored] == ["squares:ood@native"]
    assert [run.name for run in found.runs] == ["a-s0"]
    with pytest.raises(RunError, match="no scores on the split 'camo'"):
        collect([first, second], "camo")


def test_a_run_named_twice_counts_once_and_two_of_one_name_are_told_apart(maker):
    path, other = maker.run("x/a-s0"), maker.run("y/a-s0", spoil=4)
    assert [run.name for run in collect([path, path, other]).runs] == ["x/a-s0", "y/a-s0"]


def test_what_is_missing_is_named(maker):
    path = maker.run()
    rows_file(path).unlink()
    (path / "gallery" / "squares-test@native" / "gallery.json").unlink()
    found = collect([path])
    assert (found.scored[0].rows, found.scored[0].gallery) == ([], None)
    assert [note.split(":")[0] for note in found.notes] == [
        "toy-only-squares-s0 has no rows of squares", "toy-only-squares-s0 has no gallery of squares",
    ]  # fmt: skip


def test_a_gallery_of_other_weights_is_left_out_and_named(maker):
    path = maker.run()
    record = path / "gallery" / "squares-test@native" / "gallery.json"
    record.write_text(record.read_text().replace('"weights_digest": "toy', '"weights_digest": "other'))
    found = collect([path])
    assert found.scored[0].gallery is None
    assert "of other weights or data" in found.notes[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [json.dumps({"evaluation": {"weights": "x", "data": "data-test"}}), *lines[1:]], "another eval"),
        (lambda lines: lines[:-1], "not whole"),
        (lambda lines: lines[1:], "another evaluation"),
    ],
)
def test_rows_that_are_not_the_sheets_are_refused(maker, change, message):
    path = maker.run()
    lines = rows_file(path).read_text().splitlines()
    rows_file(path).write_text("\n".join(change(lines)) + "\n")
    with pytest.raises(RunError, match=message):
        collect([path])


def test_a_run_without_scores_is_an_error(maker):
    with pytest.raises(RunError, match="has no scores"):
        collect([maker.run(splits=())])
    with pytest.raises(RunError, match="no run to report"):
        collect([])
