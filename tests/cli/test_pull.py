"""`ocbench pull`: a run that comes back evaluates as before, and nothing damaged or strange becomes one."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_server import READ_ONLY, HubServer
from huggingface_hub import constants
from published import RUN, change_json, folder, scored, scored_toy, server

__all__ = ["folder", "scored", "scored_toy", "server"]


@pytest.fixture
def hub_run(ocbench: Callable, scored: Path, server: HubServer) -> HubServer:
    """The run published on the stand-in as hf:me/toy."""
    assert ocbench("push", RUN, "hf:me/toy", "-q").code == 0
    server.asked.clear()
    return server


def numbers(run_dir: Path) -> list[Any]:
    sheet = json.loads((run_dir / "scores" / "squares-test@native.json").read_text())
    return [sheet["weights_digest"], sheet["special"], sheet["results"]]


def test_a_pulled_run_evaluates_to_the_same_scores(ocbench: Callable, hub_run: HubServer, scored: Path) -> None:
    done = ocbench("pull", "hf:me/toy")
    assert done.code == 0, done.err
    head = hub_run.repositories["me/toy"].head
    assert f"commit {head}" in done.err
    back = scored.parent / "toy"
    assert done.out.strip() == str(back)
    assert "scored before" in ocbench("evaluate", "toy", "--device", "cpu").err
    again = ocbench("evaluate", "toy", "--device", "cpu", "--overwrite", "--gallery", 0, "-q")
    assert again.code == 0, again.err
    assert numbers(back) == numbers(scored)
    assert f"hf:me/toy   commit {head}" in ocbench("show", back).out
    assert "mIoU" in ocbench("report", "toy").out
    assert ocbench("evaluate", "last", "-n").err.startswith(f"run         {back}")


def test_nothing_goes_on_training_from_a_pulled_run(ocbench: Callable, folder: Path, scored: Path) -> None:
    assert ocbench("pull", folder, "-q").code == 0
    final = scored.parent / "toy" / "checkpoints" / "final"
    assert sorted(path.name for path in final.iterdir()) == ["digests.json", "model.safetensors"]
    train = ("train", "toy", "--steps", 2, "--device", "cpu", "-q", "--name")
    refused = ocbench(*train, "more", "--resume", final)
    assert refused.code == 6
    assert "holds weights alone, from which no training goes on" in refused.err
    assert ocbench(*train, "begun", "--init-from", "toy").code == 0


def test_the_same_again_is_known_and_anything_else_is_kept(ocbench: Callable, folder: Path, scored: Path) -> None:
    assert ocbench("pull", folder).code == 0
    again = ocbench("pull", f"folder:{folder}", "--json")
    assert again.code == 0
    assert json.loads(again.out)["known"]
    refused = ocbench("pull", folder, "--name", "mine")
    assert refused.code == 0
    log = scored.parent / "mine" / "log.jsonl"
    log.write_text(log.read_text() + "{}\n")
    refused = ocbench("pull", folder, "--name", "mine")
    assert refused.code == 6
    assert "other or no log.jsonl" in refused.err
    assert log.read_text().endswith("{}\n")
    (scored.parent / "own").mkdir()
    assert ocbench("pull", folder, "--name", "own").code == 6


def test_a_revision_is_what_it_was(ocbench: Callable, hub_run: HubServer, scored: Path) -> None:
    repository = hub_run.repositories["me/toy"]
    first = repository.head
    (scored / "log.jsonl").unlink()
    assert ocbench("push", RUN, "hf:me/toy", "-q").code == 0
    assert repository.head != first
    assert ocbench("pull", f"hf:me/toy@{first}", "--name", "first").code == 0
    assert ocbench("pull", "hf:me/toy", "--name", "second").code == 0
    found = {name: json.loads((scored.parent / name / "pulled.json").read_text()) for name in ("first", "second")}
    assert [found[name]["commit"] for name in ("first", "second")] == [first, repository.head]
    assert (scored.parent / "first" / "log.jsonl").exists()
    assert not (scored.parent / "second" / "log.jsonl").exists()
    missing = ocbench("pull", "hf:me/toy@v2")
    assert missing.code == 6
    assert "has no revision 'v2'" in missing.err


def listed(files: dict[str, bytes], name: str, data: bytes, as_name: str | None = None) -> None:
    """Puts a file there and into the manifest, as an attacker would."""
    files[as_name or name] = data
    record = json.loads(files["ocbench.json"])
    kept = [entry for entry in record["files"] if entry["path"] != name]
    digest = hashlib.sha256(data).hexdigest()
    record["files"] = [*kept, {"path": name, "size": len(data), "sha256": digest}]
    files["ocbench.json"] = json.dumps(record).encode()


def changed(there: dict[str, bytes], **words: object) -> None:
    there["ocbench.json"] = json.dumps({**json.loads(there["ocbench.json"]), **words}).encode()


def flipped(files: dict[str, bytes], name: str) -> None:
    files[name] = files[name][:-1] + bytes([files[name][-1] ^ 1])


DAMAGE: dict[str, tuple[Callable[[dict[str, bytes]], object], int, str]] = {
    "a byte of the weights": (lambda f: flipped(f, "model.safetensors"), 6, "is not what was published"),
    "a byte of the scores": (lambda f: flipped(f, "scores/squares-test@native.jsonl"), 6, "is not what was published"),
    "cut": (lambda f: f.update({"log.jsonl": f["log.jsonl"][:-9]}), 6, "is not what was published"),
    "a missing file": (lambda f: f.pop("run.json"), 6, "has no 'run.json'"),
    "no manifest": (lambda f: f.pop("ocbench.json"), 6, "has no 'ocbench.json'"),
    "a path out": (lambda f: listed(f, "../evil.json", b"{}", "evil.json"), 6, "a file that no run has"),
    "a path out, deeper": (lambda f: listed(f, "scores/../../evil.json", b"{}", "e"), 6, "a file that no run has"),
    "an absolute path": (lambda f: listed(f, "/tmp/run.json", b"{}", "e"), 6, "a file that no run has"),
    "a pickle": (lambda f: listed(f, "state.pt", b"\x80\x04N."), 6, "a file that no run has"),
    "a pickle as scores": (lambda f: listed(f, "scores/evil.pkl", b"\x80\x04N."), 6, "a file that no run has"),
    "code": (lambda f: listed(f, "conftest.py", b"boom"), 6, "a file that no run has"),
    "another schema": (lambda f: changed(f, schema="ocbench.published/9"), 6, "schema ocbench.published/1"),
    "no JSON": (lambda f: f.update({"ocbench.json": b"{"}), 6, "is damaged"),
    "a list": (lambda f: f.update({"ocbench.json": b"[]"}), 6, "schema ocbench.published/1"),
    "no files": (lambda f: changed(f, files=[]), 6, "every file once"),
    "a word more": (lambda f: changed(f, script="boom"), 6, "is damaged"),
    "sizes as text": (lambda f: changed(f, files=[{"path": "run.json", "size": "1", "sha256": ""}]), 6, "is damaged"),
    "no weights at all": (lambda f: listed(f, "model.safetensors", b"\x80\x04N."), 6, "is no safetensors file"),
    "no run": (lambda f: listed(f, "run.json", b"{}"), 6, "is not a run that this version reads"),
    "an unknown model": (lambda f: changed(f, model="toyota", distribution="cars"), 3, "pip install 'cars==0.1.0'"),
    "a model of others": (lambda f: changed(f, distribution="cars"), 4, "is another one here"),
    "a command": (lambda f: changed(f, model="x", distribution="cars; rm -rf"), 6, "names no distribution"),
    "other weights": (lambda f: changed(f, weights_digest="0" * 64), 6, "of other weights"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_is_damaged_or_strange_becomes_no_run(
    ocbench: Callable, hub_run: HubServer, scored: Path, tmp_path: Path, kind: str
) -> None:
    spoil, code, says = DAMAGE[kind]
    files = dict(hub_run.repositories["me/toy"].files)
    spoil(files)
    hub_run.repositories["me/toy"].commit(files)
    refused = ocbench("pull", "hf:me/toy")
    assert refused.code == code, refused.err
    assert says in refused.err
    assert refused.err.count("error: ") == 1
    assert [path.name for path in scored.parent.iterdir()] == [RUN]
    assert [path for path in tmp_path.rglob("*") if "evil" in path.name or path.suffix in (".pkl", ".py")] == []


def test_what_the_manifest_does_not_name_is_never_fetched(ocbench: Callable, hub_run: HubServer, scored: Path) -> None:
    extra = {"state.pt": b"\x80\x04N.", "evil.pkl": b"\x80\x04N.", "run.py": b"boom"}
    hub_run.repositories["me/toy"].commit({**hub_run.repositories["me/toy"].files, **extra})
    assert ocbench("pull", "hf:me/toy").code == 0
    assert not any(hub_run.got(name) for name in extra)
    assert not any((scored.parent / "toy" / name).exists() for name in extra)


def test_a_download_that_ends_early_is_told(ocbench: Callable, hub_run: HubServer, scored: Path) -> None:
    hub_run.shorter = {"model.safetensors": 7}
    cut = ocbench("pull", "hf:me/toy")
    assert cut.code == 6
    assert "cannot read 'hf:me/toy', at 'model.safetensors'" in cut.err
    assert not (scored.parent / "toy").exists()
    hub_run.shorter = {}
    assert ocbench("pull", "hf:me/toy").code == 0


@pytest.mark.parametrize("token", [None, READ_ONLY])
def test_a_private_run_needs_its_owners_token(
    ocbench: Callable, hub_run: HubServer, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    hub_run.repositories["me/toy"].private = True
    monkeypatch.delenv("HF_TOKEN")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    refused = ocbench("pull", "hf:me/toy")
    assert refused.code == 6
    assert "there is none, or it is private" in refused.err
    assert "HTTP 404" in refused.err if token else "HTTP 401" in refused.err
    assert "HF_TOKEN" in refused.err


def test_offline_the_cache_serves_what_it_has(
    ocbench: Callable, hub_run: HubServer, scored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused = ocbench("pull", "hf:me/toy")
    assert refused.code == 6
    assert "HF_HUB_OFFLINE is set; 'ocbench.json' of that revision is not in the cache" in refused.err
    assert hub_run.asked == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert ocbench("pull", "hf:me/toy").code == 0
    hub_run.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for word in ("hf:me/toy", f"hf:me/toy@{hub_run.repositories['me/toy'].head}"):
        served = ocbench("pull", word, "--name", f"offline{len(word)}")
        assert served.code == 0, served.err
        assert hub_run.repositories["me/toy"].head in served.err
    assert hub_run.asked == []


def test_a_hub_out_of_reach_is_told_even_where_the_cache_could_serve(
    ocbench: Callable, hub_run: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ocbench("pull", "hf:me/toy").code == 0
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    refused = ocbench("pull", "hf:me/toy", "--name", "again")
    assert refused.code == 6
    assert "http://127.0.0.1:1 cannot be reached" in refused.err


LIGHT = """
import sys
from ocbench.cli import main
try:
    main(["pull", "hf:me/toy", "--runs-dir", sys.argv[1]])
finally:
    assert "torch" not in sys.modules
"""


def test_a_process_takes_endpoint_and_token_from_its_environment_and_no_torch(
    hub_run: HubServer, tmp_path: Path
) -> None:
    hub_run.repositories["me/toy"].private = True
    settings = {"HF_ENDPOINT": hub_run.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-c", LIGHT, str(tmp_path / "elsewhere")]
    done = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "elsewhere" / "toy" / "checkpoints" / "final" / "model.safetensors").exists()


def test_a_dry_run_shows_and_fetches_nothing_else(ocbench: Callable, hub_run: HubServer, scored: Path) -> None:
    shown = ocbench("pull", "hf:me/toy", "-n", "--json")
    assert shown.code == 0
    assert "model.safetensors" in json.loads(shown.out)["files"]
    assert not hub_run.got("model.safetensors")
    assert not (scored.parent / "toy").exists()


def test_a_publication_is_no_run_directory(ocbench: Callable, folder: Path) -> None:
    refused = ocbench("evaluate", folder)
    assert refused.code == 6
    assert f"ocbench pull folder:{folder}" in refused.err


def test_a_run_that_was_pulled_can_be_pushed_again(ocbench: Callable, folder: Path, tmp_path: Path) -> None:
    assert ocbench("pull", folder, "--name", "toy").code == 0
    assert ocbench("push", "toy", tmp_path / "second").code == 0
    one, two = (json.loads((place / "ocbench.json").read_text()) for place in (folder, tmp_path / "second"))
    assert one["weights_digest"] == two["weights_digest"]
    files = [{e["path"]: e["sha256"] for e in found["files"] if e["path"] != "README.md"} for found in (one, two)]
    assert files[0] == files[1]


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", ""])
def test_a_name_stays_in_the_runs_directory(ocbench: Callable, folder: Path, name: str) -> None:
    refused = ocbench("pull", folder, "--name", name) if name else ocbench("pull", "folder:", "-n")
    assert refused.code == 2


def test_a_damaged_record_of_a_pull_is_told(ocbench: Callable, folder: Path, scored: Path) -> None:
    assert ocbench("pull", folder).code == 0
    change_json(scored.parent / "toy" / "pulled.json", schema="other")
    shown = ocbench("show", scored.parent / "toy")
    assert shown.code == 6
    assert "pulled.json" in shown.err
