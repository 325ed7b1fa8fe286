"""The work of one shard: fitting, counting, passes over what can only be read from its beginning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import dots
import numpy as np
import pytest

from ocbench import imaging, jobs
from ocbench.errors import DataError, PluginError, UsageError
from ocbench.scene import Part, Scene
from ocbench.shards import Manifest, read_shard


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return dots.write(tmp_path / "raw")


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SCENES_PER_SHARD", 3)


def jobs_of(plan: jobs.Plan, folder: Path) -> list[jobs.Job]:
    """With shards in one folder, which exists."""
    folder.mkdir(exist_ok=True)
    return [job for found in plan.ranges for job in plan.jobs(found, str(folder / found.split.name))]


def scene(index: int = 2, lonely: bool = False, key: str = "dots-000002") -> Scene:
    return Scene(key, *dots.draw(index, lonely))


def test_a_scene_is_cropped_and_resized_by_the_protocol() -> None:
    parts = replace(scene(), background_parts=scene().mask)
    fitted, lost = jobs.fit(parts, dots.PROTOCOL)
    assert np.array_equal(fitted.image, parts.image[4:20, 4:20])
    assert np.array_equal(fitted.mask, parts.mask[4:20, 4:20])
    assert np.array_equal(fitted.background_parts, fitted.mask)
    assert (fitted.key, lost) == ("dots-000002", False)
    smaller, _ = jobs.fit(scene(), replace(dots.PROTOCOL, size=(8, 8)))
    assert np.array_equal(smaller.mask, imaging.fit_mask(scene().mask, replace(dots.PROTOCOL, size=(8, 8))))


def test_an_object_that_the_crop_removes_is_noticed_a_background_is_not() -> None:
    assert jobs.fit(scene(lonely=True), dots.PROTOCOL)[1]
    covered = replace(scene(), mask=np.pad(np.ones((16, 16), np.uint8), 4))
    fitted, lost = jobs.fit(covered, dots.PROTOCOL)
    assert fitted.mask.min() == 1
    assert not lost


def test_a_scene_that_does_not_fit_the_protocol_is_named() -> None:
    with pytest.raises(
        DataError, match=r"scene 'dots-000002': the picture is smaller than the protocol's crop\n.*20x20"
    ):
        jobs.fit(replace(scene(), image=scene().image[:9], mask=scene().mask[:9]), dots.PROTOCOL)
    with pytest.raises(DataError, match=r"scene 'dots-000002' has a label above K\n.*ids 0\.\.2"):
        jobs.fit(scene(), dots.PROTOCOL, max_objects=2)


def test_a_plan_knows_what_is_to_be_written_where(tmp_path: Path, source: Path) -> None:
    plan = dots.plan(tmp_path / "data", source, ["val", "train"], limit=7)
    assert [found.split.name for found in plan.ranges] == ["val", "train"]
    train = plan.ranges[1]
    assert plan.directory(train) == str(tmp_path / "data" / "shards" / "dots" / "small" / "train")
    assert [(Path(job.path).name, job.start, job.stop) for job in plan.jobs(train, "x")] == [
        ("000000.tar", 4, 7), ("000001.tar", 7, 10), ("000002.tar", 10, 11),
    ]  # fmt: skip
    head = plan.head(train)
    assert (head.split, head.limit, head.rule["range"], head.shards) == ("train", 7, [4, 11], ())
    head.save(str(tmp_path))
    assert Manifest.load(str(tmp_path)) == head


def test_the_source_lies_under_the_data_folder_unless_it_is_named_or_not_needed(tmp_path: Path, source: Path) -> None:
    dots.write(tmp_path / "data" / "raw" / "dots")
    plan = jobs.plan(dots.SPEC, dots.PROTOCOL, str(tmp_path / "data"))
    assert plan.source == str(tmp_path / "data" / "raw" / "dots")
    rendered = replace(dots.SPEC, needs_source=False, parts=lambda source, partial: {"dots": Part(20, True, 20)})
    assert jobs.plan(rendered, dots.PROTOCOL, "data").source is None


def test_skipping_needs_a_source_that_can_be_entered_anywhere(tmp_path: Path) -> None:
    packed = dots.write(tmp_path / "raw", packed=True)
    with pytest.raises(UsageError, match=r"--skip-unreadable needs a source .*\n.*leave it out, or unpack"):
        dots.plan(tmp_path, packed, skip_unreadable=True)


def test_a_shard_is_the_same_from_a_range_and_from_a_stream(tmp_path: Path, source: Path) -> None:
    (tmp_path / "test").mkdir()
    (job,) = jobs_of(dots.plan(tmp_path, source, ["test"]), tmp_path)
    assert jobs.write_seekable(job) == jobs.write_scenes(*next(jobs.stream([job])))
    assert [scene.key for scene in read_shard(job.path)] == ["dots-000000", "dots-000001"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["train", "val", "test"], [[("test", 0), ("val", 2)] + [("train", n) for n in (4, 7, 10, 13, 16, 19)]]),
        (["train"], [[("train", n) for n in (4, 7, 10, 13, 16, 19)]]),
    ],
)
def test_one_pass_serves_all_splits_of_a_part(tmp_path: Path, source: Path, wanted: list, expected: list) -> None:
    todo = jobs_of(dots.plan(tmp_path, source, wanted), tmp_path)
    passes = [[(job.range.split.name, job.start) for job in found] for found in jobs.passes(todo)]
    assert passes == expected


def test_overlapping_splits_take_a_pass_each(tmp_path: Path, source: Path) -> None:
    everything = replace(dots.PROTOCOL.splits[0], name="all", start=0, stop=20)
    spec = replace(dots.SPEC, protocols=(replace(dots.PROTOCOL, splits=(everything, *dots.PROTOCOL.splits)),))
    todo = jobs_of(dots.plan(tmp_path, source, spec=spec), tmp_path)
    passes = jobs.passes(todo)
    assert len(passes) == 2
    assert sorted(job.path for found in passes for job in found) == sorted(job.path for job in todo)
    for found in passes:
        assert all(one.stop <= other.start for one, other in pairwise(found))


def test_a_stream_fills_jobs_in_order_and_passes_over_what_lies_between(tmp_path: Path, source: Path) -> None:
    todo = jobs_of(dots.plan(tmp_path, source, ["train"]), tmp_path)
    chosen = [todo[0], todo[2], todo[5]]
    filled = [(job.start, [scene.key[-2:] for scene in scenes]) for job, scenes, _ in jobs.stream(chosen)]
    assert filled == [(4, ["04", "05", "06"]), (10, ["10", "11", "12"]), (19, ["19"])]


def test_a_stream_that_ends_early_is_refused_unless_partial(tmp_path: Path) -> None:
    source = dots.write(tmp_path / "raw", [*range(8), 11], packed=True)
    todo = jobs_of(dots.plan(tmp_path, source, ["train"]), tmp_path)
    with pytest.raises(
        DataError, match=r"has 1 of the 3 scenes 7 to 9 of 'dots'\n.*20 scenes in the part\n.*--partial"
    ):
        list(jobs.stream(todo))
    partial = [replace(job, options=jobs.Options(partial=True)) for job in todo]
    streamed = [(len(scenes), notes.missing) for _, scenes, notes in jobs.stream(partial)]
    assert streamed == [(3, []), (1, [8, 9]), (1, [10, 12]), (0, [13, 14, 15]), (0, [16, 17, 18]), (0, [19])]


def test_keys_without_an_index_cannot_be_streamed(tmp_path: Path, source: Path) -> None:
    def nameless(*words: object) -> Iterator[Scene]:
        yield scene(key="dots-first")

    todo = jobs_of(dots.plan(tmp_path, source, ["train"], spec=replace(dots.SPEC, read=nameless)), tmp_path)
    with pytest.raises(PluginError, match=r"the key 'dots-first' does not end in '-' and the scene's index"):
        list(jobs.stream(todo))


def test_a_scene_may_carry_its_index_instead_of_its_key(tmp_path: Path, source: Path) -> None:
    def numbered(*words: object) -> Iterator[Scene]:
        return (replace(scene, key=f"dots-{scene.key[-2:]}a", index=int(scene.key[-2:])) for scene in dots.read(*words))

    todo = jobs_of(dots.plan(tmp_path, source, ["train"], spec=replace(dots.SPEC, read=numbered)), tmp_path)
    filled = [[scene.key for scene in scenes] for _, scenes, _ in jobs.stream(todo[:2])]
    assert filled == [["dots-04a", "dots-05a", "dots-06a"], ["dots-07a", "dots-08a", "dots-09a"]]


@pytest.mark.parametrize("packed", [False, True])
def test_a_protocol_leaves_out_scenes_of_many_objects_and_names_them(tmp_path: Path, packed: bool) -> None:
    source = dots.write(tmp_path / "raw", packed=packed)
    spec = replace(dots.SPEC, protocols=(replace(dots.PROTOCOL, most_objects=2, max_objects=2),))
    job = jobs_of(dots.plan(tmp_path, source, ["train"], spec=spec), tmp_path)[0]
    (tmp_path / "train").mkdir()
    record = jobs.write(job)
    assert record.keys == ("dots-000004", "dots-000006")
    assert record.filtered == ("dots-000005",)  # 1 + 5 % 3 objects
    assert [scene.meta["num_objects"] for scene in read_shard(job.path)] == [2, 1]


def test_a_scene_s_meta_counts_its_objects_before_and_after_the_crop(tmp_path: Path) -> None:
    source = dots.write(tmp_path / "raw", lonely=4)
    job = jobs_of(dots.plan(tmp_path, source, ["train"]), tmp_path)[0]
    (tmp_path / "train").mkdir()
    jobs.write(job)
    first = next(read_shard(job.path)).meta
    assert (first["num_objects"], first["visible_objects"]) == (3, 2)


def test_a_reader_s_failed_read_is_a_data_error(tmp_path: Path, source: Path) -> None:
    def unplugged(*words: object) -> Iterator[Scene]:
        yield scene()
        raise OSError("device not configured")

    todo = jobs_of(dots.plan(tmp_path, source, ["train"], spec=replace(dots.SPEC, read=unplugged)), tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match=r"cannot read scenes 4 to 6 of 'dots' in '.*raw'\n.*device not configured"):
        jobs.write_seekable(todo[0])
