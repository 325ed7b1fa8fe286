"""The pages that the code writes: cli.md from the commands, api.md from the public names. A hook of mkdocs.yml.

The commands are asked through click, so that a new verb is on the page at the next build. Public names are read from
their source, never imported: a record is shown as it stands in the code, where each field has its comment.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click

GROUPS = {
    "Functions": "What `import ocbench` is for.",
    "Records of a dataset and a metric": "What a plug-in hands over: frozen records, no base classes.",
    "Records of a model": "The contract of a model; `Model` lists the methods of the module that `build` returns.",
    "Errors": "One family; the exit code is that of the command line.",
}
GROUP_OF = {"ocbench.scene": 1, "ocbench.plugin": 2, "ocbench.errors": 3}  # home -> place in GROUPS; else the first


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages to those that lie in docs/."""
    from mkdocs.structure.files import File

    from ocbench.cli import cli

    files.append(File.generated(config, "cli.md", content=cli_page(cli)))
    files.append(File.generated(config, "api.md", content=api_page()))
    return files


def cli_page(group: click.Group) -> str:
    """Markdown: each command with its help, usage and options."""
    head = (
        "# Command line\n\nWritten from the commands themselves. Words such as DATA and RUN, files and exit codes: "
        "[README](index.md#words).\n"
    )
    return "\n".join([head, *(text for path, command in commands(group) for text in command_text(path, command))])


def commands(group: click.Group, path: str = "ocbench") -> Iterator[tuple[str, click.Command]]:
    """(`ocbench verb`, command) of every command below the group, groups within it too."""
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def command_text(path: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    yield f"## {path}\n"
    yield f"{_prose(command.help or '')}\n"
    yield f"```text\n{path} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    rows = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    options = [row for row in rows if row is not None]
    if options:
        yield "| option | |\n| :--- | :--- |"
        yield "\n".join(f"| `{_cell(names)}` | {_cell(help, code=False)} |" for names, help in options) + "\n"


def _prose(help: str) -> str:
    """Help as Markdown; a block that click may not re-wrap is shown as it is."""
    blocks = inspect.cleandoc(help).split("\n\n")
    shown = [f"```text\n{b[2:].strip()}\n```" if b.startswith("\b\n") else b.replace("<", "&lt;") for b in blocks]
    return "\n\n".join(shown)


def _cell(text: str, code: bool = True) -> str:
    """Text for a cell of a table; a bar within code needs another sign, since backslashes are shown there."""
    return text.replace("|", "/") if code else text.replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")


def api_page() -> str:
    """Markdown: every public name with its docstring and, of a function, its signature, of a record, its code."""
    import ocbench

    pages: dict[str, list[str]] = {title: [f"## {title}\n\n{about}\n"] for title, about in GROUPS.items()}
    titles = list(GROUPS)
    for name in ocbench.__all__:
        if name != "__version__":
            home = ocbench._HOME[name]
            pages[titles[GROUP_OF.get(home, 0)]].append(name_text(name, home))
    version = (
        f"`ocbench.__version__` is `{ocbench.__version__}`. Names are loaded on first use: `import ocbench` is light."
    )
    return "\n".join([f"# Python\n\n{version}\n", *(text for page in pages.values() for text in page)])


def name_text(name: str, home: str) -> str:
    node, source = definition(name, home)
    doc = ast.get_docstring(node) or ""
    code = _signature(node, source) if isinstance(node, ast.FunctionDef) else _without_docstring(node, source)
    return f"### {name}\n\n*`{home}`*\n\n{doc}\n\n```py\n{code}\n```\n"


def definition(name: str, home: str) -> tuple[ast.FunctionDef | ast.ClassDef, str]:
    """The node that defines a public name, and the source that it stands in."""
    source, tree = _parsed(home)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return node, source
    raise LookupError(f"no '{name}' in {home}")


@cache
def _parsed(home: str) -> tuple[str, ast.Module]:
    spec = importlib.util.find_spec(home)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")
    return source, ast.parse(source)


def _signature(node: ast.FunctionDef, source: str) -> str:
    return "\n".join(source.splitlines()[node.lineno - 1 : node.body[0].lineno - 1])


def _without_docstring(node: ast.ClassDef, source: str) -> str:
    """The class as it stands, from its decorator on, less the docstring, which is shown as text."""
    lines = source.splitlines()
    start = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    first = node.body[0]
    head, rest = lines[start - 1 : first.lineno - 1], lines[first.end_lineno : node.end_lineno]
    return "\n".join(
        [*head, *(rest if ast.get_docstring(node) else lines[first.lineno - 1 : node.end_lineno])]
    ).rstrip()
