r"""Appends every verdict of a line to a CSV file, each once, over restarts of the line and of itself.

Each row is on the disk before the cursor beside the file (`FILE.csv.cursor`) moves past it. A crash between
the two would write that row again, so at the start rows after the cursor are cut off. What is lost becomes a
row of its own. The camera of a region's verdict is given as `CAMERA/REGION`. Ids are written on one line, as
`\u000a` for a line break, and with a `'` before one that a spreadsheet would take for a formula.
"""

import argparse
import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

from inspectd.client import Lost, PartVerdict, Verdict, VerdictReader
from inspectd.text import printable

HEADINGS = ["epoch", "seq", "camera", "part_id", "trigger_id", "evaluation", "reason", "score", "late"]

PATIENCE_SECONDS = 86_400.0
"""A line that does not answer is waited for: what it has must not be passed over."""


def row(item: "Verdict | PartVerdict | Lost") -> list[object]:
    if isinstance(item, Lost):
        return [item.before.epoch, item.before.seq - 1, "", "", "", "lost", item.reason, item.count, ""]
    camera, score = (item.place, item.score) if isinstance(item, Verdict) else ("", None)
    name = [item.epoch, item.seq, cell(camera), cell(item.part_id), cell(item.trigger_id)]
    return [*name, item.evaluation, item.reason, score, item.late]


def cell(text: str | None) -> str:
    """The plant's text on one line, and never a formula: a spreadsheet runs what begins with one of these."""
    shown = printable(text or "")
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown


def cut_uncommitted(file: Path, cursor: Path) -> None:
    """Take away rows that were written and not committed: they come again."""
    position = json.loads(cursor.read_text())["position"] if cursor.exists() else {"epoch": 0, "seq": 0}
    done = position["epoch"], position["seq"]
    kept = read = 0
    is_whole = False

    def lines() -> Iterator[str]:
        nonlocal read, is_whole
        for line in source:
            read += len(line)
            is_whole = line.endswith(b"\n")
            yield line.decode(errors="replace").replace("\r", " ")

    with file.open("rb") as source:
        rows = csv.reader(lines(), strict=True)  # strict: a row that breaks off within quotes is an error
        while True:
            try:
                fields = next(rows, None)
                if fields is None or not is_whole:
                    break
                if kept and (int(fields[0]), int(fields[1])) > done:  # the first row are the headings
                    break
            except (csv.Error, ValueError, IndexError) as error:
                if not source.read(1):
                    break  # the last row, which was never finished
                raise SystemExit(
                    f"{file}: a row before byte {read} was not written by this tool: {error}"
                ) from None
            kept = read
    os.truncate(file, kept)


def encoded(fields: list[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(fields)
    return text.getvalue().encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("verdicts", help="ipc:///run/inspectd/line1/verdicts.sock or tcp://127.0.0.1:5571")
    parser.add_argument("file", type=Path)
    parser.add_argument("--sync", help="the sync endpoint, for TCP")
    arguments = parser.parse_args()
    cursor = arguments.file.with_name(f"{arguments.file.name}.cursor")
    if arguments.file.exists():
        cut_uncommitted(arguments.file, cursor)
    with (
        arguments.file.open("ab", buffering=0) as target,
        VerdictReader(
            arguments.verdicts,
            arguments.sync,
            cursor=cursor,
            start="oldest",
            patience_seconds=PATIENCE_SECONDS,
        ) as reader,
    ):
        if target.tell() == 0:
            target.write(encoded(list(HEADINGS)))
        for item in reader:
            target.write(encoded(row(item)))
            os.fsync(target.fileno())
            reader.commit()


if __name__ == "__main__":
    main()
