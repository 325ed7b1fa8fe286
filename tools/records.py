"""What every benchmark keeps of a measurement: the command, the machine, and what was found."""

import json
import os
import platform
from pathlib import Path


def keep(path: Path, command: str, **found: object) -> None:
    """Writes a record as JSON to `path`."""
    machine = {"cores": os.cpu_count(), "system": platform.system(), "load": os.getloadavg()[0]}
    record = {"command": command, "machine": machine, "python": platform.python_version(), **found}
    path.write_text(json.dumps(record, indent=1) + "\n")
