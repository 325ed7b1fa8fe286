"""`ocbench push`: what is sent, what never is, and what is refused."""

from __future__ import annotations

import getpass
import hashlib
import json
import platform
from collections.abc import Callable
from pathlib import Path

import pytest
from hub_server import READ_ONLY, HubServer
from huggingface_hub import ModelCard, constants
from published import RUN, change_json, folder, scored, scored_toy, server

__all__ = ["folder", "scored", "scored_toy", "server"]
SENT = {
    "README.md", "log.jsonl", "model.safetensors", "ocbench.json", "panels/squares-test@native.png", "run.json",
    "scenes.txt", "scores/squares-test@native.json", "scores/squares-test@native.jsonl",
}  # fmt: skip


def test_all_that_is_shown_is_sent_in_one_commit(ocbench: Callable, scored: Path, server: HubServer) -> None:
    done = ocbench("push", "last", "hf:me/toy", "--json")
    assert done.code == 0, done.err
    repository = server.repositories["me/toy"]
    assert set(repository.files) == SENT | {".gitattributes"}
    assert len(repository.commits) == 2  # made, filled
    assert repository.head in json.loads(done.out)["address"]
    manifest = json.loads(repository.files["ocbench.json"])
    assert manifest["schema"] == "ocbench.published/1"
    assert (manifest["run"], manifest["model"], manifest["distribution"]) == (RUN, "toy", "ocbench-toy")
    for entry in manifest["files"]:
        data = repository.files[entry["path"]]
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["size"], entry["sha256"])
    assert repository.files["model.safetensors"] == (scored / "checkpoints/final/model.safetensors").read_bytes()


def test_the_card_has_front_matter_results_and_how_to_use_it(ocbench: Callable, scored: Path) -> None:
    shown = ocbench("push", RUN, "hf:me/toy", "-n")
    assert shown.code == 0, shown.err
    data = ModelCard(shown.out).data
    assert (data.library_name, data.license, data.datasets) == ("ocbench", "cc0-1.0", ["squares"])
    sheet = json.loads((scored / "scores/squares-test@native.json").read_text())
    means = {result["metric"]: result["mean"] * result["scale"] for result in sheet["results"]}
    assert {r.metric_type: r.metric_value for r in data.eval_results} == pytest.approx(means, rel=1e-5)
    assert {r.dataset_args["fingerprint"] for r in data.eval_results} == {sheet["fingerprint"]}
    for words in ("ocbench pull hf:me/toy", "ocbench evaluate toy", "ocbench-toy==", "at most 2 updates", "95 %"):
        assert words in shown.out


def test_a_dry_run_needs_no_token_and_asks_nobody(
    ocbench: Callable, scored: Path, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    shown = ocbench("push", RUN, "hf:me/toy", "--dry-run", "--json")
    assert shown.code == 0, shown.err
    assert set(json.loads(shown.out)["files"]) | {"ocbench.json"} == SENT
    assert server.asked == []
    refused = ocbench("push", RUN, "hf:me/toy")
    assert refused.code == 6
    assert "no token" in refused.err
    assert "HF_TOKEN" in refused.err
    assert server.asked == []


def test_nothing_of_this_machine_leaks(ocbench: Callable, scored: Path, tmp_path: Path) -> None:
    change_json(
        scored / "run.json",
        init_from=f"{tmp_path}/old 12ab",
        device=f"cpu of {platform.node()}",
        versions={"torch": "2 (file:///home/somebody/wheels/torch.whl)"},
        shared={"background": "/scratch/somebody/runs/first"},
        overrides=["width=/home/somebody/x y/nets"],
    )
    with open(scored / "log.jsonl", "a") as file:
        file.write(json.dumps({"event": "stopped", "reason": f"{getpass.getuser()} wrote '~/stop/now'"}) + "\n")
    sheet = scored / "scores" / "squares-test@native.json"
    change_json(sheet, environment={"python": r"C:\Users\somebody\python.exe", "machine": platform.node()})
    assert ocbench("push", RUN, tmp_path / "shared" / "toy").code == 0
    texts = {p.name: p.read_text() for p in (tmp_path / "shared" / "toy").rglob("*") if p.suffix in (".json", ".md")}
    texts["log"] = (tmp_path / "shared" / "toy" / "log.jsonl").read_text()
    for word in (str(tmp_path), "somebody", "~/", "stop/", "/scratch", "/home", "C:"):
        assert [name for name, text in texts.items() if word in text] == []
    run, told = (json.loads(texts[name]) for name in ("run.json", "squares-test@native.json"))
    assert (run["device"], run["shared"], run["overrides"]) == ("cpu of host", {"background": "first"}, ["width=nets"])
    assert told["environment"] == {"python": "python.exe", "machine": "host"}
    assert "user wrote 'now'" in texts["log"]


def test_a_run_that_is_not_finished_or_damaged_is_refused(ocbench: Callable, scored: Path, tmp_path: Path) -> None:
    weights = scored / "checkpoints" / "final" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + b"!")
    damaged = ocbench("push", RUN, tmp_path / "toy")
    assert damaged.code == 6
    assert "no whole final weights" in damaged.err
    weights.unlink()
    unfinished = ocbench("push", RUN, tmp_path / "toy")
    assert unfinished.code == 6
    assert "is not finished" in unfinished.err
    assert not (tmp_path / "toy").exists()


def test_missing_scores_are_told_and_those_of_other_weights_stay(
    ocbench: Callable, scored: Path, tmp_path: Path
) -> None:
    change_json(scored / "scores" / "squares-test@native.json", weights_digest="0" * 64)
    done = ocbench("push", RUN, tmp_path / "toy")
    assert done.code == 0, done.err
    assert "'scores/squares-test@native.json' stays here: scores of other weights" in done.err
    assert "no scores to publish" in done.err
    assert not (tmp_path / "toy" / "scores").exists()


def test_what_lies_there_is_not_replaced_unasked(ocbench: Callable, scored: Path, server: HubServer) -> None:
    assert ocbench("push", RUN, "hf:me/toy").code == 0
    head = server.repositories["me/toy"].head
    assert ocbench("push", RUN, "hf:me/toy").code == 0
    assert server.repositories["me/toy"].head == head  # nothing new, no commit
    other = scored.rename(scored.with_name("another-s0"))
    for path in (other / "panels").iterdir():
        path.unlink()
    refused = ocbench("push", other, "hf:me/toy")
    assert refused.code == 6
    assert "holds another run" in refused.err
    assert ocbench("push", other, "hf:me/toy", "--overwrite").code == 0
    assert "panels/squares-test@native.png" not in server.repositories["me/toy"].files
    server.repositories["me/toy"].commit({"model.bin": b"somebody's"})
    assert "holds something that is no run" in ocbench("push", other, "hf:me/toy", "--overwrite").err


def test_a_folder_of_something_else_is_left_alone(ocbench: Callable, folder: Path, tmp_path: Path) -> None:
    assert ocbench("push", RUN, folder).code == 0  # again
    (folder / "notes.txt").write_text("mine")
    refused = ocbench("push", RUN, folder)
    assert refused.code == 6
    assert "notes.txt" in refused.err
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.tex").write_text("mine")
    refused = ocbench("push", RUN, tmp_path / "own", "--overwrite")
    assert refused.code == 6
    assert (tmp_path / "own" / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize(
    ("token", "answers", "says"),
    [
        (READ_ONLY, {}, "the token does not allow it"),
        ("hf_of_nobody", {"/api/repos/create": 401}, "the token does not allow it"),
        (None, {"/upload/": 403}, "cannot write 'hf:me/toy'"),
        (None, {"/api/repos/create": 500}, "answered HTTP 500"),
    ],
)
def test_what_the_hub_refuses_is_one_error(
    ocbench: Callable, scored: Path, server: HubServer, monkeypatch: pytest.MonkeyPatch, token: str | None,
    answers: dict[str, int], says: str,
) -> None:  # fmt: skip
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    server.answers = answers
    refused = ocbench("push", RUN, "hf:me/toy", "-q")
    assert refused.code == 6
    assert says in refused.err
    assert refused.err.count("error:") == 1


def test_offline_nothing_is_sent(
    ocbench: Callable, scored: Path, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused = ocbench("push", RUN, "hf:me/toy")
    assert refused.code == 6
    assert "HF_HUB_OFFLINE is set" in refused.err
    assert server.asked == []


def test_a_new_repository_may_be_private(ocbench: Callable, scored: Path, server: HubServer) -> None:
    assert ocbench("push", RUN, "hf:me/secret", "--private", "-q").code == 0
    assert server.repositories["me/secret"].private


@pytest.mark.parametrize("place", ["hf:toy", "hf:me/toy@", "hf:me/..", "hf:me/a--b", "me/toy", "s3://bucket/toy", ""])
def test_a_word_that_is_no_place(ocbench: Callable, scored: Path, place: str) -> None:
    refused = ocbench("push", RUN, place)
    assert refused.code == 2
    assert refused.err.startswith("error: ")


def test_only_a_place_on_this_machine_may_be_called_otherwise(ocbench: Callable, scored: Path) -> None:
    refused = ocbench("push", RUN, "hf:me/toy", "-n", "-s", "width=8")
    assert refused.code == 2
    assert "'width' names no place on this machine" in refused.err
