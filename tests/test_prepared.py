"""What a DATA word means, and a prepared split as a sequence of scenes that notices damage to its shards."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import dots
import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ocbench
from ocbench import registry
from ocbench.errors import DataError, OcbenchError, UnknownNameError, UsageError
from ocbench.prepared import DataWord, PreparedSplit, open_dataset, open_word, parse_data, prepared_splits
from ocbench.scene import Protocol
from ocbench.shards import write_shard


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> PreparedSplit:
    return dots.prepared(tmp_path_factory.mktemp("dots"))


@pytest.fixture
def split(whole: PreparedSplit, tmp_path: Path) -> PreparedSplit:
    """A copy to be damaged."""
    return PreparedSplit(shutil.copytree(whole.directory, tmp_path / "train"))


# Words


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("clevrtex", DataWord("clevrtex")),
        ("clevrtex:ood,camo", DataWord("clevrtex", ("ood", "camo"))),
        ("clevrtex@clevrtex-benchmark", DataWord("clevrtex", (), "clevrtex-benchmark")),
        ("mini-plain:test@full", DataWord("mini-plain", ("test",), "full")),
    ],
)
def test_words_name_a_dataset_its_splits_and_a_protocol(text: str, word: DataWord) -> None:
    assert parse_data(text) == word


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("clevrtx", UnknownNameError, "no dataset named 'clevrtx'\n(.*\n)*.*did you mean 'clevrtex'"),
        ("clevrtex:odd", UnknownNameError, "no split named 'odd'\n(.*\n)*.*did you mean 'ood'"),
        ("clevrtex@ast", UnknownNameError, "no protocol of clevrtex named 'ast'"),
        ("clevrtex@ast-paper:ood", UnknownNameError, "named 'ast-paper:ood'"),
        ("", UsageError, "'' names no dataset"),
        (":test", UsageError, "':test' names no dataset"),
        ("clevrtex:", UsageError, "'clevrtex:' has an empty place"),
        ("clevrtex:ood,,camo", UsageError, "has an empty place"),
        ("clevrtex:ood@", UsageError, r"has an empty place\n.*DATASET\[:SPLIT\[,SPLIT\]\]\[@PROTOCOL\]"),
        ("some/folder", DataError, r"no prepared split at 'some/folder'\n.*a folder with manifest\.json"),
        ("memory://nothing/here", DataError, "no prepared split at 'memory://nothing/here'"),
    ],
)
def test_words_without_meaning_are_refused(text: str, kind: type[OcbenchError], message: str) -> None:
    with pytest.raises(kind, match=message):
        parse_data(text)


@given(st.text(alphabet="clevrtxmini-pa:,@/. oд", max_size=24) | st.text(max_size=8))
@settings(max_examples=150)
def test_any_text_is_a_word_or_an_error_that_a_user_can_read(text: str) -> None:
    try:
        word = parse_data(text)
    except (UsageError, UnknownNameError, DataError):
        return
    written = str(word.dataset) + (":" + ",".join(word.splits) if word.splits else "")
    assert written + (f"@{word.protocol}" if word.protocol else "") == text


def test_a_folder_is_a_word_however_it_is_written(whole: PreparedSplit, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_data(whole.directory) == parse_data(f"{whole.directory}/") == DataWord(None, folder=whole.directory)
    monkeypatch.chdir(Path(whole.directory).parent)
    assert parse_data("train") == DataWord(None, folder="train")
    (opened,) = open_word("train", "nowhere")
    assert opened.keys == whole.keys


# Opening


def test_a_dataset_is_opened_by_name_split_and_protocol(workplace: Path) -> None:
    data = str(workplace / "data")
    assert len(open_dataset("squares", "train", data_dir=data)) == 64
    assert ocbench.open_dataset("squares", data_dir=data).name == "squares:test@native"
    assert prepared_splits(data, "squares", registry.dataset("squares").protocol()) == ["train", "val", "test"]
    assert [split.split for split in open_word("squares", data)] == ["train", "val", "test"]
    assert [split.split for split in open_word("squares", data, ("val",))] == ["val"]
    assert [split.split for split in open_word("squares:test,val", data, ("train",))] == ["test", "val"]


def test_the_data_folder_comes_from_the_environment(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCBENCH_DATA", str(workplace / "data"))
    assert len(open_dataset("squares")) == 24


def test_what_is_not_prepared_is_named_with_the_command_to_type(workplace: Path) -> None:
    shutil.rmtree(workplace / "data" / "shards" / "squares" / "native" / "val")
    with pytest.raises(DataError) as caught:
        open_dataset("squares", "val", "native", str(workplace / "data"))
    for words in ("'squares:val@native' is not prepared", "train, test", "ocbench prepare squares --protocol native"):
        assert words in str(caught.value)
    with pytest.raises(DataError, match=r"'squares:test@native' is not prepared\n(.*\n)*.*prepared splits: none"):
        open_word("squares", str(workplace / "elsewhere"))
    with pytest.raises(UnknownNameError, match="no split named 'vali'"):
        open_dataset("squares", "vali", data_dir=str(workplace))


def test_another_version_of_the_protocol_is_refused(workplace: Path) -> None:
    directory = workplace / "data" / "shards" / "squares" / "native" / "test"
    found = PreparedSplit(str(directory))
    replace(found.manifest, version=7).save(str(directory))
    with pytest.raises(DataError, match=r"another version of 'native'\n.*version 1\n.*version 7\n.*--overwrite"):
        open_dataset("squares", data_dir=str(workplace / "data"))
    old = PreparedSplit(str(directory)).protocol  # the shards speak for themselves
    assert (old.version, old.size, old.max_objects, old.splits) == (7, (16, 16), 3, ())


def test_a_dataset_that_is_no_longer_registered_still_opens(whole: PreparedSplit) -> None:
    assert whole.protocol == Protocol("small", 1, (16, 16), 9, splits=())


def test_the_registered_protocol_is_the_split_s(workplace: Path) -> None:
    split = open_dataset("squares", data_dir=str(workplace / "data"))
    assert split.protocol is registry.dataset("squares").protocol()


# The sequence


def test_a_split_is_a_sequence_of_scenes_in_order(whole: PreparedSplit) -> None:
    scenes = list(whole)
    assert [scene.key for scene in scenes] == [f"dots-{index:06d}" for index in range(4, 20)] == list(whole.keys)
    for scene, index in zip(scenes, range(4, 20), strict=True):
        image, mask = dots.draw(index)
        assert np.array_equal(scene.image, image[4:20, 4:20])
        assert np.array_equal(scene.mask, mask[4:20, 4:20])
    assert len(whole) == 16
    assert whole[5].key == scenes[5].key
    assert whole[-1].key == scenes[-1].key
    assert [scene.key for scene in whole[2:9:3]] == [scene.key for scene in scenes[2:9:3]]
    for place in (16, -17):
        with pytest.raises(IndexError, match=f"scene {place} of 16"):
            whole[place]


def test_the_first_scenes_are_a_split_of_their_own(whole: PreparedSplit) -> None:
    first = whole.first(7)
    assert [scene.key for scene in first] == list(whole.keys[:7])
    assert first.fingerprint != whole.fingerprint
    assert first.manifest.incomplete() == {"limit": 7}
    assert whole.first(None) is whole.first(16) is whole
    assert len(whole) == 16


def test_a_protocol_may_score_fewer_scenes(whole: PreparedSplit, monkeypatch: pytest.MonkeyPatch) -> None:
    assert whole.scored() is whole
    for count in (5, 16, 99):
        monkeypatch.setattr(PreparedSplit, "protocol", replace(dots.PROTOCOL, subset=(count, 3)))
        scored = whole.scored()
        assert len(scored) == min(count, 16)
        assert [scene.key for scene in scored] == list(scored.keys)
        for scene in scored:
            assert np.array_equal(scene.mask, dots.draw(int(scene.key[-6:]))[1][4:20, 4:20])
        assert scored.manifest.incomplete() is None  # so that a published number may stand beside it


def test_a_split_may_be_remote(whole: PreparedSplit) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(whole.directory, "/prepared-test/train", recursive=True)
    (remote,) = open_word("memory://prepared-test/train/", "nowhere")
    assert [scene.key for scene in remote] == list(whole.keys)
    assert np.array_equal(remote[9].image, whole[9].image)
    memory.rm("/prepared-test", recursive=True)


# Damage


def refused(split: PreparedSplit, message: str, place: int = 4) -> None:
    for look in (lambda: list(split), lambda: split[place]):
        with pytest.raises(DataError, match=message):
            look()


def test_a_shard_of_other_scenes_is_noticed(split: PreparedSplit) -> None:
    shutil.copy(f"{split.directory}/000002.tar", f"{split.directory}/000001.tar")
    refused(
        split, r"000001\.tar' does not hold what its manifest says\n.*'dots-00000[78]'(.*\n)*.*verify dots:train@small"
    )


def test_a_shard_with_fewer_scenes_is_noticed(split: PreparedSplit) -> None:
    write_shard(f"{split.directory}/000001.tar", split[3:4])
    refused(split, "does not hold what its manifest says\n.*\n.*the end of the shard")


def test_a_shard_cut_between_two_scenes_is_noticed(split: PreparedSplit) -> None:
    path = f"{split.directory}/000001.tar"
    os.truncate(path, 3 * 1024)  # three members of one block each
    refused(split, "ends early")


def test_scenes_of_another_size_are_noticed(split: PreparedSplit) -> None:
    other = [replace(scene, image=scene.image[:8], mask=scene.mask[:8]) for scene in split[3:6]]
    write_shard(f"{split.directory}/000001.tar", other)
    refused(split, r"'dots-00000[78]', 16x16\n.*8x16")


def test_the_size_of_a_shard_is_checked_at_a_glance(split: PreparedSplit) -> None:
    shard = split.manifest.shards[1]
    assert split.checked_path(shard) == f"{split.directory}/000001.tar"
    os.truncate(f"{split.directory}/000001.tar", shard.size - 1)
    with pytest.raises(DataError, match=r"000001\.tar' is cut or damaged\n.*bytes\n.*bytes\n.*verify"):
        split.checked_path(shard)
    os.unlink(f"{split.directory}/000001.tar")
    with pytest.raises(DataError, match="cannot read"):
        split.checked_path(shard)
