"""A table of texts, and how it is written in Markdown and in LaTeX (booktabs)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ocbench.tables import NOTHING, markdown_table

SPECIAL = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\to$", "σ": r"$\sigma$",
    "–": "--", "[": "{[}", "]": "{]}",
})  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Texts under headings; the first column names the row."""

    title: str
    headings: tuple[str, ...]  # [columns]
    rows: tuple[tuple[str, ...], ...]  # [rows][columns]
    groups: tuple[tuple[str, int], ...] = ()  # headings above the headings: (text, columns), from the second column on
    rules: frozenset[int] = frozenset()  # rows with a line above them
    notes: tuple[str, ...] = ()


def markdown(table: Table) -> str:
    """Title, table and notes; a heading above others is written before each of them."""
    above = [""] + [text for text, columns in table.groups for _ in range(columns)]
    headings = [
        f"{group} {heading}".strip() for group, heading in zip(above, table.headings, strict=True)
    ] if table.groups else table.headings  # fmt: skip
    notes = "".join(f"\n* {note}" for note in table.notes)
    return f"### {table.title}\n\n{markdown_table(headings, table.rows)}" + (f"\n{notes}" if notes else "")


def latex(tables: Iterable[Table]) -> str:
    """The tables as LaTeX to be included in a document that loads booktabs."""
    return "\n\n".join(["% in the preamble: \\usepackage{booktabs}", *map(_latex_table, tables)])


def _latex_table(table: Table) -> str:
    body: list[str] = []
    for place, row in enumerate(table.rows):
        if place in table.rules:
            body.append(r"\midrule")
        body.append(_latex_row(row))
    notes = [rf"\par\smallskip\footnotesize {escaped(note)}" for note in table.notes]
    return "\n".join([
        r"\begin{table}", r"\centering\small", rf"\caption{{{escaped(table.title)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.headings) - 1)}}}", r"\toprule", *_latex_groups(table),
        _latex_row(table.headings), r"\midrule", *body, r"\bottomrule", r"\end{tabular}", *notes, r"\end{table}",
    ])  # fmt: skip


def _latex_groups(table: Table) -> list[str]:
    """The line of headings above headings, and the rules below it."""
    if not table.groups:
        return []
    cells, rules, column = [""], [], 2
    for text, columns in table.groups:
        cells.append(rf"\multicolumn{{{columns}}}{{c}}{{{escaped(text)}}}")
        rules.append(rf"\cmidrule(lr){{{column}-{column + columns - 1}}}")
        column += columns
    return [" & ".join(cells) + r" \\", " ".join(rules)]


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(escaped(cell) for cell in cells) + r" \\"


def escaped(text: str) -> str:
    """The text as LaTeX prints it literally."""
    return " ".join(text.split()).translate(SPECIAL)


def column_texts(values: Iterable[str | None]) -> tuple[str, ...]:
    """Cells, with a dash where there is nothing."""
    return tuple(NOTHING if value is None else value for value in values)
