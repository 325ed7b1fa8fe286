"""Where work is done: in this process, in processes of this machine, or on a Dask cluster, behind one interface.

local, local:N      N spawned processes, by default one per core; one worker is this process itself
dask://host:port    the workers of a running Dask scheduler, which must see the storage that the work reads and writes
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from ocbench.errors import DataError, UsageError

GRACE = 0.2  # seconds
REACHED_WITHIN = 10  # seconds for a scheduler to answer, and then to have a worker
ALIKE = ("ocbench", "distributed", "numpy", "pillow")  # packages whose versions decide the bytes, or the talk
SAME = "install the same there: pip install -c constraints.txt 'ocbench[dask]'"
GO_ON = "run the same command again: what is whole is kept"


def parsed(word: str) -> int | str:
    """What a word of --executor means: a number of local processes, or the address of a Dask scheduler."""
    if word == "local":
        return os.cpu_count() or 1
    if match := re.fullmatch(r"local:0*([1-9]\d*)", word, re.ASCII):
        return int(match[1])
    if match := re.fullmatch(r"dask://([^/\s]+:\d+)", word, re.ASCII):
        return f"tcp://{match[1]}"
    raise UsageError(f"no executor '{word}'", expected="local, local:N or dask://host:port")


@contextmanager
def opened(word: str, tasks: int) -> Iterator[tuple[Executor, Callable[[], int]]]:
    """An executor for so many tasks, and how many of them to keep in flight: a cluster may grow.

    DataError where its workers cannot be reached, are of another version, or die; at the end no worker is at work.
    """
    place = parsed(word)
    if isinstance(place, str) and tasks:
        with _cluster(place) as found:
            yield found
    elif isinstance(place, int) and min(place, tasks) > 1:
        with _processes(min(place, tasks)) as found:
            yield found
    else:
        yield _Here(), lambda: 1


class _Here(Executor):
    """This process: a task is done once it is submitted, and what it raises is raised at once."""

    def submit(self, task: Callable, /, *arguments: Any, **named: Any) -> Future:
        future: Future = Future()
        future.set_result(task(*arguments, **named))
        return future


@contextmanager
def _processes(count: int) -> Iterator[tuple[Executor, Callable[[], int]]]:
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=spawn, initializer=_follow_parent)
    try:
        yield pool, lambda: count + 1
    except BrokenProcessPool as wrong:
        time.sleep(GRACE)  # Ctrl-C reaches workers and this process alike: should it be late here, it is raised now
        raise DataError(
            "a worker process died", found=str(wrong), hint="run the same command again, perhaps with fewer workers"
        ) from wrong
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """Makes this worker end with the process that started it, however that ends, and at once when interrupted."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def _cluster(address: str) -> Iterator[tuple[Executor, Callable[[], int]]]:
    """The workers of a Dask scheduler: a task whose worker dies is given to another one, once there is one."""
    try:
        from distributed import Client, KilledWorker
    except ImportError as wrong:
        raise UsageError(
            "--executor dask://… needs Dask", found=str(wrong), hint="pip install 'ocbench[dask]'"
        ) from wrong
    try:
        client = Client(address, timeout=REACHED_WITHIN, set_as_default=False)
    except (OSError, ValueError) as wrong:
        raise DataError(
            f"cannot reach the Dask scheduler at '{address}'", found=str(wrong), hint="start one there: dask scheduler"
        ) from wrong
    with client:
        _refuse_strange_workers(client, address)
        try:
            with client.get_executor(pure=False) as executor:
                yield executor, lambda: sum(client.nthreads().values()) + 1
        except KilledWorker as wrong:
            raise DataError("several Dask workers died on one task", found=str(wrong), hint=GO_ON) from wrong
        except (CancelledError, OSError) as wrong:
            raise DataError(f"the Dask scheduler at '{address}' was lost", found=str(wrong), hint=GO_ON) from wrong


def _refuse_strange_workers(client: Any, address: str) -> None:
    """Waits for a worker; DataError where none comes, or where one has other packages than this process."""
    try:
        client.wait_for_workers(1, timeout=REACHED_WITHIN)
    except TimeoutError as wrong:
        raise DataError(
            f"the Dask scheduler at '{address}' has no worker",
            hint=f"start one that finds ocbench: dask worker {address}",
        ) from wrong
    mine = _versions()
    for worker, theirs in client.run(_versions, on_error="return").items():
        if isinstance(theirs, Exception):
            raise DataError(
                f"the Dask worker at '{worker}' cannot run ocbench", found=str(theirs), hint=SAME
            ) from theirs
        if differing := [name for name in mine if mine[name] != theirs[name]]:
            raise DataError(
                f"the Dask worker at '{worker}' has other versions than this process",
                expected=", ".join(f"{name} {mine[name]}" for name in differing),
                found=", ".join(f"{name} {theirs[name]}" for name in differing),
                hint=SAME,
            )


def _versions() -> dict[str, str]:
    return {"python": ".".join(platform.python_version_tuple()[:2]), **{name: version(name) for name in ALIKE}}
