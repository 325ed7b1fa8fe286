"""Verb: score sheets and published numbers -> tables. Reads run.json and scores/ alone; no torch.

sections.py   which numbers share a table, which runs share a row
standing.py   which published system a run stands for, or why none
layout.py     a table, and how it is written in Markdown and in LaTeX
formats.py    sections as tables, as CSV and as JSON
paired.py     scene by scene: one run less another
paper.py      Tables 1 to 3 of the AST-Seg paper in their own layout
tolerance.py  what continuous integration asks: is it worse than it was, or than what was published?
"""

from ocbench.report.formats import Options, csv_text, latex, markdown, record
from ocbench.report.sections import Row, Section, sections

__all__ = ["Options", "Row", "Section", "csv_text", "latex", "markdown", "record", "sections"]
