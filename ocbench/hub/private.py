"""What must not leave this machine: its folders, its name, and the name of its user.

A path becomes its last part. Names of host and user are replaced in free text only: a model, a metric or a split that
happens to be called like the user keeps its name.
"""

from __future__ import annotations

import getpass
import ntpath
import platform
import re
from pathlib import Path
from typing import Any

# What reading a run depends on, or what its author chose: only paths go.
CHOSEN = frozenset({
    "schema", "model", "scenario", "preset", "dataset", "split", "protocol", "trained_on", "published", "config",
    "overrides", "name", "checkpoint", "metric", "label", "results", "settings", "masks", "phase", "event",
    "fingerprint", "weights_digest",
})  # fmt: skip
WHOLE = re.compile(r"(?P<key>\w+=)?(?P<path>(?:/|~|\.\./|\./|file://|[A-Za-z]:[\\/]|\\\\).*)", re.DOTALL)
INSIDE = re.compile(
    r"(?<=')(?:~|/|[A-Za-z]:\\)[^']*(?=')|(?<=\")(?:~|/|[A-Za-z]:\\)[^\"]*(?=\")"  # in quotes, where it may have blanks
    r"|file://[^\s'\"]+|(?<![\w/.:~])(?:~|/[^\s'\"/]+)/[^\s'\"]+|(?<!\w)[A-Za-z]:\\[^\s'\"]+"
)


def without_places(text: str) -> str:
    """The text with each path of a machine cut down to its last part."""
    if whole := WHOLE.fullmatch(text):
        return (whole["key"] or "") + _last(whole["path"])
    return INSIDE.sub(lambda found: _last(found[0]), text)


def scrubbed(value: Any, names: dict[str, str]) -> Any:
    """A JSON-able record without paths of this machine, and outside of what was chosen without those names."""
    if isinstance(value, dict):
        return {key: scrubbed(inner, {} if key in CHOSEN else names) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [scrubbed(inner, names) for inner in value]
    if not isinstance(value, str):
        return value
    text = without_places(value)
    for name, instead in names.items():
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", instead, text, flags=re.IGNORECASE)
    return text


def names_of_machine() -> dict[str, str]:
    """Names of this host and its user, and the word that is published in the place of each."""
    host = platform.node()
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a number without a name, as in some containers
        user = ""
    names = {host: "host", host.partition(".")[0]: "host", user: "user", Path.home().name: "user"}
    return {name: instead for name, instead in names.items() if name}


def _last(path: str) -> str:
    """The last part of a path of any system."""
    return ntpath.basename(path.rstrip("/\\")) or "path"
