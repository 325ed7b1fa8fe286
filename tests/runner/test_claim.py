"""A run directory is this run's or nobody's; another run in it is refused with what differs and a free name."""

from __future__ import annotations

import dataclasses
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ocbench import RunError, registry, storage
from ocbench.runner import checkpoint, claim
from ocbench.runs import RunConfig

RUN = RunConfig(
    model="toy", scenario="curriculum", preset="squares", dataset="squares", split="train", protocol="native",
    protocol_version=1, size=(16, 16), max_objects=3, fingerprint="f0", seed=0, config={"width": 16, "clip_norm": 1.0},
)  # fmt: skip


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "toy-curriculum-squares-s0"
    claim.claim(RUN, folder, ["a", "b"])
    return folder


def test_a_new_folder_is_claimed(run_dir: Path) -> None:
    assert RunConfig.load(run_dir).difference(RUN) is None
    assert (run_dir / "scenes.txt").read_text() == "a\nb\n"
    assert not claim.is_done(RUN, run_dir, "auto")
    assert claim.checkpoint_to_resume(RUN, run_dir, "auto") is None


def test_claiming_again_completes_and_keeps(run_dir: Path) -> None:
    before = (run_dir / "run.json").read_bytes()
    (run_dir / "scenes.txt").unlink()
    claim.claim(replace(RUN, versions={"torch": "9"}), run_dir, ["a", "b"])
    assert (run_dir / "run.json").read_bytes() == before
    assert (run_dir / "scenes.txt").read_text() == "a\nb\n"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"model": "toy-duel"}, "model: here toy, now toy-duel"),
        ({"config": {"width": 24, "clip_norm": 1.0}}, "config.width: here 16, now 24"),
        ({"steps": 5}, "steps: here None, now 5"),
        ({"fingerprint": "f1"}, "fingerprint: here f0, now f1"),
    ],
)
@pytest.mark.parametrize("resume", ["auto", "never"])
def test_another_run_is_refused_with_what_differs(
    run_dir: Path, changes: dict[str, Any], found: str, resume: str
) -> None:
    run_dir.with_name("toy-curriculum-squares-2-s0").mkdir()
    message = f"'{run_dir}' holds another run\n  found     {found}\n  hint      .*--name toy-curriculum-squares-3"
    with pytest.raises(RunError, match=message):
        claim.is_done(replace(RUN, **changes), run_dir, resume)


@pytest.mark.parametrize("changes", [{"versions": {"torch": "9"}}, {"device": "cuda"}])
def test_versions_and_devices_make_no_other_run(run_dir: Path, changes: dict[str, Any]) -> None:
    assert not claim.is_done(replace(RUN, **changes), run_dir, "auto")


def test_never_resuming_is_told_that_there_is_something(run_dir: Path) -> None:
    with pytest.raises(RunError, match=r"holds a run already(?s:.*)'--resume never' out(?s:.*)--name toy-.*-2"):
        claim.is_done(RUN, run_dir, "never")


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(RunError, match=r"holds something that is no run(?s:.*)thesis\.tex(?s:.*)--name"):
        claim.is_done(RUN, tmp_path, "auto")


@pytest.mark.parametrize("name", ["run.json", "scenes.txt"])
def test_killed_while_claiming(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole_write = os.replace

    def killed(source: str, target: str) -> None:
        if Path(target).name == name:
            raise KeyboardInterrupt
        whole_write(source, target)

    with monkeypatch.context() as killing:
        killing.setattr(os, "replace", killed)
        killing.setattr(storage, "remove", lambda path: None)  # SIGKILL lets nobody clear up
        with pytest.raises(KeyboardInterrupt):
            claim.claim(RUN, tmp_path / "run-s0", ["a", "b"])
    assert list((tmp_path / "run-s0").glob(f"{name}*.part"))
    assert not claim.is_done(RUN, tmp_path / "run-s0", "auto")
    claim.claim(RUN, tmp_path / "run-s0", ["a", "b"])
    assert (tmp_path / "run-s0" / "scenes.txt").read_text() == "a\nb\n"


def test_a_damaged_run_json_is_told(run_dir: Path) -> None:
    text = (run_dir / "run.json").read_text()
    (run_dir / "run.json").write_text(text[: len(text) // 2])
    with pytest.raises(RunError, match=r"the run '.*run.json' is damaged"):
        claim.is_done(RUN, run_dir, "auto")


def save(run_dir: Path, name: str) -> Path:
    folder = run_dir / "checkpoints" / name
    checkpoint.save(folder, nn.Linear(1, 1), {"generators": torch.get_rng_state()})
    return folder


def test_a_finished_run_is_done_unless_a_checkpoint_is_named(run_dir: Path) -> None:
    folder = save(run_dir, "0000005")
    assert not claim.is_done(RUN, run_dir, "auto")
    save(run_dir, checkpoint.FINAL)
    assert claim.is_done(RUN, run_dir, "auto")
    assert not claim.is_done(RUN, run_dir, str(folder))


def test_the_checkpoint_to_resume_is_the_newest_or_the_named(run_dir: Path) -> None:
    older, newer = save(run_dir, "0000005"), save(run_dir, "0000009")
    assert claim.checkpoint_to_resume(RUN, run_dir, "auto") == newer
    assert claim.checkpoint_to_resume(RUN, run_dir, str(older)) == older


def test_a_checkpoint_that_is_not_there_is_told_with_those_that_are(run_dir: Path) -> None:
    folder = save(run_dir, "0000005")
    with pytest.raises(RunError, match=f"no checkpoint at 'nowhere'(?s:.*){re.escape(str(folder))}"):
        claim.checkpoint_to_resume(RUN, run_dir, "nowhere")


def test_a_checkpoint_of_another_run_is_refused(run_dir: Path) -> None:
    other = run_dir.with_name("other-s1")
    claim.claim(replace(RUN, seed=1), other, ["a", "b"])
    folder = save(other, "0000005")
    with pytest.raises(RunError, match="is a checkpoint of another run\n  found     seed: here 1, now 0"):
        claim.checkpoint_to_resume(RUN, run_dir, str(folder))


def test_what_a_killed_save_left_is_removed(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as as_another:
        as_another.setattr(os, "getpid", lambda: 4194304)  # no process has so high a number
        Path(storage.beside_of(str(run_dir / "checkpoints" / "0000005"))).mkdir()
        Path(storage.beside_of(str(run_dir / "run.json"))).write_text("{")
    claim.claim(RUN, run_dir, ["a", "b"])
    assert [path.name for path in run_dir.rglob("*") if path.suffix == ".part"] == []


def test_a_setting_that_the_model_got_later_makes_no_other_run(run_dir: Path, toy: Path) -> None:
    now = replace(RUN, config={**dataclasses.asdict(registry.model("toy").presets["squares"]), **RUN.config})
    assert RunConfig.load(run_dir).difference(now) is not None
    assert not claim.is_done(now, run_dir, "auto")
    with pytest.raises(RunError, match=r"config\.joint_steps: here 40, now 41"):
        claim.is_done(replace(now, config={**now.config, "joint_steps": 41}), run_dir, "auto")
