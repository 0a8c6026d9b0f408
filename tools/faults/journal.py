"""The journal as somebody finds it who opens the file when the daemon is gone."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from faults.audit import Header, Name


def committed(state_dir: Path) -> dict[Name, Header]:
    """Every verdict in the journal, by its name; a copy is read, with what its log still holds."""
    with tempfile.TemporaryDirectory() as folder:
        for file in state_dir.glob("journal.sqlite*"):
            shutil.copy(file, folder)
        with closing(sqlite3.connect(Path(folder) / "journal.sqlite")) as connection:
            rows = connection.execute("SELECT header FROM verdict").fetchall()
    headers = [json.loads(header) for (header,) in rows]
    return {(header["epoch"], header["seq"]): header for header in headers}
