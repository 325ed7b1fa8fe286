"""One family of errors: how it is shown, its exit codes, and that it survives the way from a worker process."""

from __future__ import annotations

import pickle

import pytest

from ocbench.errors import DataError, OcbenchError, PluginError, RunError, UnknownNameError, UsageError


def test_an_error_shows_what_was_expected_and_found_and_what_to_do() -> None:
    error = DataError("no such thing", expected="this", found="that", hint="do so")
    assert str(error) == "no such thing\n  expected  this\n  found     that\n  hint      do so"
    assert str(DataError("short")) == "short"


def test_exit_codes_are_those_of_the_command_line() -> None:
    kinds = (OcbenchError, UsageError, UnknownNameError, PluginError, DataError, RunError)
    assert [kind.exit_code for kind in kinds] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("mini-plane", "'mini-plain'"), ("clevr-tex", "'clevrtex'"), ("zzz", None)],
)
def test_an_unknown_name_comes_with_its_neighbours(name: str, hint: str | None) -> None:
    error = UnknownNameError("dataset", name, ["mini-plain", "clevrtex"])
    assert error.message == f"no dataset named '{name}'"
    assert error.expected == "one of: clevrtex, mini-plain"
    assert (error.hint is None) if hint is None else (hint in str(error.hint))


def test_an_unknown_name_among_none_says_so() -> None:
    assert "none is registered" in str(UnknownNameError("model", "x", []))
    assert UnknownNameError("model", "x", ["xy"], hint="install it").hint == "install it"


@pytest.mark.parametrize(
    "error", [DataError("m", expected="e", found="f", hint="h"), UnknownNameError("split", "tets", ["test"])]
)
def test_errors_cross_processes_whole(error: OcbenchError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error)
