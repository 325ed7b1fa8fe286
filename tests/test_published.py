"""Published tables: a few numbers against the paper, and that all of them speak our names."""

from __future__ import annotations

import pytest

from ocbench import registry
from ocbench.published import published_beside, published_row, published_rows


@pytest.mark.parametrize(
    ("split", "metric", "mean", "std"),
    [
        ("test", "miou", 79.58, 0.54),
        ("test", "ari_fg", 94.77, 0.51),
        ("test", "mse", 139, 7),
        ("ood", "miou", 67.50, 0.75),
        ("ood", "mse", 832, 24),
        ("camo", "ari_fg", 87.27, 3.78),
    ],
)
def test_numbers_of_tables_1_and_3(split, metric, mean, std):
    row = published_row("AST-Seg-B3-CT", "clevrtex", split, "ast-paper", metric)
    assert (row.mean, row.std, row.runs) == (mean, std, 3)
    assert "Table" in row.source


def test_miou_of_copied_rows_is_the_foreground_one():
    """A row with mIoU 0.00 cannot count the background pair (metrics.md 0.1)."""
    row = published_row("SPAIR", "clevrtex", "test", "ast-paper", "miou_fg")
    assert row.mean == 0.0
    assert published_row("SPAIR", "clevrtex", "test", "ast-paper", "miou") is None


def test_nothing_is_published_of_unknown_systems_splits_protocols_and_metrics():
    known = ("AST-Seg-B3-CT", "clevrtex", "test", "ast-paper", "miou")
    assert published_row(*known) is not None
    for place, other in enumerate((None, "clevr6", "val", "quick", "msc_fg")):
        words = [*known[:place], other, *known[place + 1 :]]
        assert published_row(*words) is None


def test_every_score_is_of_a_registered_metric_and_in_its_unit():
    rows = [row for row in published_rows() if row.table in (1, 2, 3, 4)]
    assert len(rows) > 200
    for row in rows:
        scale = registry.metric(row.metric).scale
        assert (row.unit == "%") == (scale == 100), row


def test_no_number_is_there_twice():
    places = [(row.system, row.dataset, row.split, row.metric, row.table) for row in published_rows() if row.table]
    assert len(places) == len(set(places))


@pytest.mark.parametrize(
    ("system", "dataset", "metric", "text"),
    [
        ("MN", "clevr", "miou_fg", "56.81 ± 0.40"),
        ("SPAIR", "clevrtex", "mse", "1101 ± 2"),
        ("MONet-g", "shapestacks", "msc_fg", "57 ± 12"),
        ("AST-Seg-B3-CT", "shapestacks", "msc_fg", "77.65 ± 1.3"),
        ("AST-Seg-B3-BT", "shapestacks", "mse", "11.8 ± 7.0"),
        ("AST-Seg-B3-CT: isotropic scaling", "objectsroom", "ari_fg", "87.20"),
    ],
)
def test_a_number_is_written_as_its_source_prints_it(system, dataset, metric, text):
    assert published_row(system, dataset, "test", "ast-paper", metric).printed == text


def test_numbers_beside_a_split_are_of_that_split_and_protocol():
    rows = published_beside("clevrtex", "ood", "ast-paper")
    assert {(row.dataset, row.split, row.table) for row in rows} == {("clevrtex", "ood", 3)}
    assert len(rows) == 33
    assert published_beside("clevrtex", "ood", "other") == ()
