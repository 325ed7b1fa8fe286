"""Verb: runs -> one HTML file that opens offline. Reads run.json, log.jsonl, scores/, gallery/; no torch, no network.

collect.py    what the runs hold: sheets, rows of scenes, galleries
scores.py     score tables with intervals beside published rows; the gap between splits
curves.py     training curves as SVG
cuts.py       slices of objects
pictures.py   galleries as data: URIs, within a budget of bytes
payload.py    what the page's script reads, as JSON
page.py       all of it in the template, under a content security policy
assets/       the template, style sheets and scripts, which are written into the page
"""

from ocbench.html.page import write_report

__all__ = ["write_report"]
