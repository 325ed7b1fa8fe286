"""The README tells the truth: its commands exist, and every command has help and is in it."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from ocbench.cli import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(?:bash|sh)\n(.*?)```", README, re.DOTALL)
LINES = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines() if line.split("#")[0].strip()]


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("ocbench ")])
def test_every_command_of_the_readme_parses(line):
    verb, *words = line.split()[1:]
    command = cli.commands[verb]
    words = [word.strip("'\"") for word in words]
    if "--help" in words:
        return
    command.make_context(verb, words, resilient_parsing=False)


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("bash ")])
def test_every_script_of_the_readme_is_there(line):
    assert (ROOT / line.split()[1]).is_file()


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_verb_has_help_and_is_in_the_readme(name):
    command = cli.commands[name]
    short = command.get_short_help_str(80)
    assert short
    assert not short.endswith("..."), "the first line of a verb's help must fit"
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name not in ("seed", "precision", "nan"):
            assert parameter.help, f"{name} {parameter.opts}"
    assert f"`{name}" in README


def test_the_mission_is_in_the_readme():
    for line in ("ocbench prepare clevrtex", "ocbench train ast-seg --scenario ct", "ocbench evaluate --split camo"):
        assert line in LINES
