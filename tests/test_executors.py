"""Executors: every word, the same bytes from each, and what is told when their processes die, lack or differ.

The Dask scheduler and its workers are real processes on this machine, which end with the test that started them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import distributed
import dots
import pytest

from ocbench import executors, jobs, prepare, registry
from ocbench.errors import DataError, UsageError
from ocbench.scene import Scene

HERE = Path(__file__).parent
ENDING = ("--idle-timeout", "30s")  # should this process be killed, no other outlives it by long


@dataclass
class Cluster:
    word: str  # of --executor
    scheduler: subprocess.Popen
    workers: list[subprocess.Popen]


@contextmanager
def cluster(folder: Path, workers: int = 2, **settings: str) -> Iterator[Cluster]:
    """A scheduler and workers of one thread each, who find the modules beside this one."""
    folder.mkdir(exist_ok=True)
    place = folder / "scheduler.json"
    environment = {**os.environ, "PYTHONPATH": str(HERE), "DASK_CONFIG": str(folder), **settings}

    def start(*words: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "dask", *words, "--no-dashboard", "--scheduler-file", str(place)]
        return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)

    started = [start("scheduler", "--host", "127.0.0.1", "--port", "0", *ENDING)]
    try:
        for _ in range(workers):
            started.append(start("worker", "--nthreads", "1", "--no-nanny", "--death-timeout", "30s"))
        while not place.exists() or not place.read_text().endswith("}"):
            assert started[0].poll() is None, "the scheduler did not start"
            time.sleep(0.02)
        address = json.loads(place.read_text())["address"]
        if workers:
            with distributed.Client(address) as client:
                client.wait_for_workers(workers)
        yield Cluster(address.replace("tcp", "dask"), started[0], started[1:])
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SCENES_PER_SHARD", 3)


def digests(plan: jobs.Plan) -> dict[str, list[str]]:
    return {name: [s.sha256 for s in manifest.shards] for name, manifest in prepare.prepare(plan).items()}


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("local:3", 3), ("local:012", 12), ("local", os.cpu_count()), ("dask://node-1:8786", "tcp://node-1:8786"),
        ("dask://[::1]:8786", "tcp://[::1]:8786"),
    ],
)  # fmt: skip
def test_a_word_means_local_processes_or_a_scheduler(word: str, meaning: int | str) -> None:
    assert executors.parsed(word) == meaning


@pytest.mark.parametrize(
    "word", ["", "local:", "local:0", "local:-1", "local:x", "local:²", "threads:2", "dask", "dask://", "dask://node"]
)
def test_other_words_are_refused(word: str) -> None:
    with pytest.raises(UsageError, match=rf"no executor '{word}'\n.*local, local:N or dask://host:port"):
        executors.parsed(word)


def test_one_worker_is_this_process_and_nothing_to_do_needs_none() -> None:
    for word, tasks in (("local:1", 5), ("local:4", 1), ("dask://127.0.0.1:1", 0)):
        with executors.opened(word, tasks) as (executor, most):
            assert executor.submit(os.getpid).result() == os.getpid()
            assert most() == 1


def test_local_processes_are_others(tmp_path: Path) -> None:
    with executors.opened("local:2", 5) as (executor, most):
        assert executor.submit(os.getpid).result() != os.getpid()
        assert most() == 3


# A Dask cluster


def test_a_cluster_gives_the_same_shards_even_where_a_worker_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it writes a shard, which another worker then writes again."""
    monkeypatch.chdir(tmp_path)  # the workers' folders are others, and yet they write to this one's
    spec = registry.dataset("mini-plain")

    def plan(data_dir: str, executor: str) -> jobs.Plan:
        options = jobs.Options(executor=executor, limit=12)
        return jobs.plan(spec, spec.protocol(), data_dir, splits=["train", "val"], options=options)

    with cluster(tmp_path / "cluster") as found:
        victim = found.workers[0]

        def kill() -> None:
            while not list(tmp_path.glob(f"data/shards/*/*/*/*.tar.*-{victim.pid}.part")):
                time.sleep(0.001)
            victim.send_signal(signal.SIGKILL)

        threading.Thread(target=kill, daemon=True).start()
        made = digests(plan("data", found.word))
        assert victim.wait(timeout=1) == -signal.SIGKILL
    assert made == digests(plan("alone", "local:1"))
    left = {path.name for path in (tmp_path / "data").rglob("*") if path.is_file()}
    assert left == {"manifest.json", *(f"{number:06d}.tar" for number in range(4))}


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_read_in_one_pass_is_encoded_by_the_cluster(shared: Cluster, tmp_path: Path, packed: bool) -> None:
    source = dots.write(tmp_path / "raw", packed=packed)
    made = digests(dots.plan(tmp_path / "data", source, executor=shared.word))
    assert made == digests(dots.plan(tmp_path / "alone", source))
    assert not [path for path in (tmp_path / "data").rglob("*.tar*") if not path.name.endswith(".tar")]


def test_an_error_of_a_worker_is_told_as_if_it_were_ones_own(shared: Cluster, tmp_path: Path) -> None:
    source = dots.write(tmp_path / "raw")
    (source / "dots-000012.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"dots-000012\.png' cannot be decoded"):
        prepare.prepare(dots.plan(tmp_path / "data", source, executor=shared.word))


def test_workers_of_other_versions_are_refused(shared: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "version", lambda name: f"my {name}")
    with (
        pytest.raises(DataError, match=r"has other versions than this process\n.*ocbench my ocbench, (.*\n)*.*hint"),
        executors.opened(shared.word, 1),
    ):
        pass


def test_a_worker_without_ocbench_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty" / "ocbench").mkdir(parents=True)
    (tmp_path / "empty" / "ocbench" / "__init__.py").touch()
    with (
        cluster(tmp_path / "cluster", workers=1, PYTHONPATH=str(tmp_path / "empty")) as found,
        pytest.raises(DataError, match=r"Dask worker at '.*' cannot run ocbench\n.*No module named"),
        executors.opened(found.word, 1),
    ):
        pass


def test_no_scheduler_no_worker_no_dask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "REACHED_WITHIN", 1)
    source = dots.write(tmp_path / "raw")
    with pytest.raises(DataError, match=r"cannot reach the Dask scheduler at 'tcp://127\.0\.0\.1:1'\n(.*\n)*.*start"):
        prepare.prepare(dots.plan(tmp_path / "data", source, executor="dask://127.0.0.1:1"))
    with (
        cluster(tmp_path / "cluster", workers=0) as found,
        pytest.raises(DataError, match=r"has no worker\n.*dask worker tcp://"),
        executors.opened(found.word, 1),
    ):
        pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(UsageError, match=r"needs Dask\n(.*\n)*.*pip install 'ocbench\[dask\]'"),
        executors.opened("dask://127.0.0.1:1", 1),
    ):
        pass


def dying(source: str, part: str, start: int, stop: int) -> Iterator[Scene]:
    os.kill(os.getpid(), signal.SIGKILL)
    yield from dots.read(source, part, start, stop)


@pytest.mark.parametrize("asked", ["a result", "how many workers"])
def test_a_task_that_kills_its_workers_and_a_lost_scheduler_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setattr(executors, "REACHED_WITHIN", 3)
    source = dots.write(tmp_path / "raw")
    with cluster(tmp_path / "cluster", DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0") as found:
        deadly = replace(dots.SPEC, read=dying)
        with pytest.raises(DataError, match=r"several Dask workers died on one task\n(.*\n)*.*run the same command"):
            prepare.prepare(dots.plan(tmp_path / "data", source, ["val"], spec=deadly, executor=found.word))

        def lose() -> None:
            with executors.opened(found.word, 1) as (executor, most):
                slow = executor.submit(time.sleep, 60)
                found.scheduler.kill()
                if asked == "a result":
                    slow.result()
                found.scheduler.wait()
                most()

        with pytest.raises(DataError, match=r"the Dask scheduler at '.*' was lost\n(.*\n)*.*run the same command"):
            lose()
