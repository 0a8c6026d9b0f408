"""The reader's side: the client library as the gate uses it, and as a program that may be killed.

Run as a program it writes down what it is given: `python -m faults.reader ENDPOINT RECORD CURSOR ...`.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from faults.audit import Name

from inspectd.client import ClientKeys, Liveness, Lost, VerdictReader
from inspectd.wire import PartVerdict


class GateReader:
    """The gate's reader, with a record of everything it was given."""

    def __init__(self, endpoint: str, delivered: list[Name], lost: list[str]) -> None:
        self._reader = VerdictReader(endpoint, start="oldest")
        self._delivered = delivered
        self._lost = lost

    def __enter__(self) -> Self:
        self._reader.__enter__()
        return self

    def __exit__(self, *of: object) -> None:
        self._reader.__exit__(*of)

    @property
    def is_alive(self) -> bool:
        """The line may be trusted now."""
        return self._reader.liveness is Liveness.ALIVE

    def part_verdict(self, seconds: float) -> PartVerdict | None:
        """The next verdict of a part, if one comes in time."""
        item = self._reader.receive(seconds)
        if isinstance(item, Lost):
            self._lost.append(f"lost between {item.after} and {item.before}: {item.reason}")
        elif item is not None:
            self._delivered.append((item.epoch, item.seq))
        return item if isinstance(item, PartVerdict) else None


@dataclass
class Record:
    """Everything that a reading program wrote down, over all its lives."""

    given: list[Name] = field(default_factory=list)
    at_utc_ns: list[int] = field(default_factory=list)
    decided_utc_ns: list[int] = field(default_factory=list)
    repeated: list[Name] = field(default_factory=list)
    """Given again though their commit had returned."""
    unsure: int = 0
    """Given again because the reader was killed between taking and committing them."""
    lost: list[str] = field(default_factory=list)


def read_record(file: Path) -> Record:
    """Read back what a reading program wrote.

    A verdict that was taken but not committed when the program was killed is given again: it cannot know how
    far its caller got. One that was committed must never be.
    """
    record = Record()
    committed: set[Name] = set()
    seen: set[Name] = set()
    waiting: list[Name] = []
    for line in file.read_text().splitlines() if file.exists() else []:
        match line.split(" ", 4):
            case ["given", epoch, seq, at, decided]:
                name = int(epoch), int(seq)
                if name in committed:
                    record.repeated.append(name)
                elif name in seen:
                    record.unsure += 1
                else:
                    record.given.append(name)
                    record.at_utc_ns.append(int(at))
                    record.decided_utc_ns.append(int(decided))
                seen.add(name)
                waiting.append(name)
            case ["committed", *_]:
                committed.update(waiting)
                waiting.clear()
            case ["lost", *rest]:
                record.lost.append(" ".join(rest))
    return record


def read_on(reader: VerdictReader, write: Callable[[str], None], commit_every: int) -> None:
    """Take verdicts for ever."""
    for number in itertools.count(1):
        item = reader.receive(timeout_seconds=1.0)
        if isinstance(item, Lost):
            write(f"lost {item}")
        elif item is not None:
            write(f"given {item.epoch} {item.seq} {time.time_ns()} {item.decided_utc_ns}")
        else:
            write(f"silence {reader.liveness}")
            continue
        if number % commit_every == 0:
            reader.commit()
            write("committed")


def main() -> None:
    """Be a reader that writes down what it is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("endpoint")
    parser.add_argument("record", type=Path)
    parser.add_argument("cursor", type=Path)
    parser.add_argument("--sync")
    parser.add_argument("--server-key", type=Path)
    parser.add_argument("--client-key", type=Path)
    parser.add_argument("--commit-every", type=int, default=1, help="verdicts; a commit waits for the disk")
    arguments = parser.parse_args()
    keys = None
    if arguments.client_key:
        keys = ClientKeys(server_key=arguments.server_key, client_key=arguments.client_key)
    out = os.open(arguments.record, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with VerdictReader(
        arguments.endpoint, sync=arguments.sync, cursor=arguments.cursor, start="oldest", keys=keys
    ) as reader:

        def write(line: str) -> None:
            os.write(out, f"{line}\n".encode())

        read_on(reader, write, arguments.commit_every)


if __name__ == "__main__":
    main()
