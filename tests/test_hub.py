"""What publications are made of: what is cut out of them, which files they may name, and what builds elsewhere."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from published import change_json, scored, scored_toy

from ocbench import PluginError, RunError, UsageError, registry
from ocbench.hub import private, push
from ocbench.hub.manifest import FILES, MANIFEST, Entry, Manifest
from ocbench.hub.places import Folder, Hub, place_of
from ocbench.runs import RunConfig

__all__ = ["scored", "scored_toy"]
ENTRIES = (Entry("model.safetensors", 9, "a" * 64), Entry("run.json", 7, "b" * 64))
MADE = Manifest("0.1.0", "toy-s0", "toy", "ocbench-toy", "0.1.0", "c" * 64, ENTRIES)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/alice/nets/mit-b3", "mit-b3"),
        ("/home/alice/my nets/mit b3/", "mit b3"),
        ("weights=/home/alice/nets/mit-b3", "weights=mit-b3"),
        ("~/nets/mit-b3", "mit-b3"),
        ("../alice/mit-b3", "mit-b3"),
        ("file:///home/alice/mit-b3", "mit-b3"),
        (r"C:\Users\alice\mit-b3", "mit-b3"),
        (r"\\server\alice\mit-b3", "mit-b3"),
        ("/", "path"),
        ("cannot read '/home/alice/a.png', go on", "cannot read 'a.png', go on"),
        ("cannot read '/home/alice b/a.png', go on", "cannot read 'a.png', go on"),
        ("from file:///home/alice/a.png on", "from a.png on"),
        ("nvidia/mit-b3", "nvidia/mit-b3"),
        ("https://example.org/nets/mit-b3", "https://example.org/nets/mit-b3"),
        ("3/4 of the scenes, and/or less", "3/4 of the scenes, and/or less"),
        ("2.13.0+cpu", "2.13.0+cpu"),
        ("", ""),
    ],
)
def test_a_path_becomes_its_last_part(text: str, left: str) -> None:
    assert private.without_places(text) == left


@given(st.lists(st.from_regex(r"[a-z][a-z0-9_.-]{0,8}", fullmatch=True), min_size=2, max_size=5))
def test_no_folder_of_a_path_is_left(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    for text in (path, f"key={path}", f"no '{path}' there", f"at {path}"):
        left = private.without_places(text)
        assert "/" not in left
        assert parts[-1] in left


def test_names_go_from_free_text_but_not_from_what_was_chosen() -> None:
    names = {"toy": "user", "gpu17": "host"}
    record = {"model": "toy", "config": {"kind": "toy"}, "device": "cuda on GPU17", "cost": [{"by": "toy"}], "n": 3}
    assert private.scrubbed(record, names) == {
        "model": "toy", "config": {"kind": "toy"}, "device": "cuda on host", "cost": [{"by": "user"}], "n": 3,
    }  # fmt: skip
    assert private.scrubbed("toy-s0 of gpu17-b", names) == "toy-s0 of gpu17-b"


def test_a_manifest_reads_as_it_was_written() -> None:
    assert Manifest.parse(MADE.to_bytes(), "x") == MADE
    assert MADE.size == 16
    assert [entry.local for entry in ENTRIES] == ["checkpoints/final/model.safetensors", "run.json"]


@given(st.text(st.sampled_from("ab./\\~_-jsonlpt \n\0"), max_size=14).map(lambda text: f"scores/{text}") | st.text())
def test_a_name_that_is_accepted_stays_in_its_folder(name: str) -> None:
    if FILES.fullmatch(name):
        assert os.path.normpath(name) == name
        assert not os.path.isabs(name)
        assert Path(name).suffix in (".json", ".jsonl", ".png", ".txt", ".md", ".safetensors")


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_whatever_a_stranger_wrote_is_one_error(value: Any) -> None:
    for record in (
        value,
        {**json.loads(MADE.to_bytes()), "files": value},
        {**json.loads(MADE.to_bytes()), "run": value},
    ):
        try:
            Manifest.parse(json.dumps(record).encode(), "x")
        except RunError:
            continue
        assert isinstance(record["run"], str)  # a whole manifest with another name


def test_a_word_means_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    assert place_of("hf:me/toy") == Hub("me/toy")
    assert place_of("hf:me/toy@refs/pr/1") == Hub("me/toy", "refs/pr/1")
    for word in ("folder:there", "there", "./there", str(tmp_path / "there")):
        assert place_of(word) == Folder(Path(word.removeprefix("folder:")))
        assert place_of(word).name == "there"
    with pytest.raises(UsageError, match="hf:me/toy, or folder:me/toy"):
        place_of("me/toy")


def test_a_file_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("mine")
    with pytest.raises(RunError, match="is no folder"):
        Folder(tmp_path / "thesis").before()


def test_a_link_to_a_shared_folder_stays_one(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "shared")
    Folder(tmp_path / "link").send({MANIFEST: b"{}"}, [], "", False)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "shared" / MANIFEST).read_bytes() == b"{}"


@pytest.fixture
def with_weights(scored: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose model was told a folder of this machine, and builds with that or a public name alone."""
    plugin = registry.model("toy")
    preset = plugin.presets["squares"]
    made = dataclasses.make_dataclass("Named", [("weights", str, "org/net")], bases=(type(preset),), frozen=True)

    def build(config: Any, protocol: Any) -> Any:
        if config.weights not in ("org/net", "/home/alice/net"):
            raise PluginError(f"no weights at '{config.weights}'")
        return plugin.build(config, protocol)

    named = dataclasses.replace(plugin, presets={"squares": made(**dataclasses.asdict(preset))}, build=build)
    monkeypatch.setattr(registry, "model", lambda name: named)
    config = RunConfig.load(scored).config
    change_json(
        scored / "run.json", config={**config, "weights": "/home/alice/net"}, overrides=["weights=/home/alice/net"]
    )
    return scored


def test_what_others_could_not_build_is_not_published(with_weights: Path) -> None:
    with pytest.raises(RunError, match="others could not build") as refused:
        push.publication(with_weights, Hub("me/toy"))
    assert refused.value.found == "no weights at 'net'"
    assert "-s KEY=VALUE" in str(refused.value.hint)


def test_a_setting_is_published_under_a_name_that_others_find(with_weights: Path) -> None:
    what = push.publication(with_weights, Hub("me/toy"), instead=["weights=org/net"])
    told = json.loads(what.files["run.json"])
    assert told["config"]["weights"] == "org/net"
    assert told["overrides"] == []
    assert what.notes == ("setting 'weights' is published as 'org/net'",)
    assert json.loads((with_weights / "run.json").read_text())["config"]["weights"] == "/home/alice/net"


def test_the_license_of_the_weights_may_be_another(scored: Path) -> None:
    for licence, words in (
        ("cc-by-4.0", "license: cc-by-4.0"),
        ("For research only", "license_name: For research only"),
        ("", "no licence stated"),
    ):
        assert words in push.publication(scored, Hub("me/toy"), licence=licence).card
