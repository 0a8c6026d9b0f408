"""The reader of verdicts: each one once, in order, losses named, across gaps and restarts."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from inspectd.client.base import BaseVerdictReader
from inspectd.client.joiner import Item
from inspectd.client.session import Wait


class VerdictReader(BaseVerdictReader):
    """Reads the verdicts of one line. Belongs to the thread that made it.

        with VerdictReader("ipc:///run/inspectd/line1/verdicts.sock", cursor=Path("mes.cursor")) as reader:
            for item in reader:  # Verdict, PartVerdict or Lost
                book(item)
                reader.commit()

    `receive` gives every verdict once and in order: what does not arrive live is requested again, and what
    cannot be had any more comes as a `Lost`. After `commit` a reader with the same cursor file goes on right
    after what was received by then, also when the daemon was restarted meanwhile. A caller that dies after
    `receive` and before `commit` is given the same verdicts again.

    Args:
        verdicts: such as `ipc:///run/inspectd/line1/verdicts.sock` or `tcp://127.0.0.1:5571`. A daemon that
            is not there yet is waited for.
        sync: where replays are requested; by default `sync.sock` beside a local `verdicts.sock`.
        line: plant and name of the line, as in its own file: nothing of another one is taken. None: the line
            of the cursor, or of the first message.
        cursor: the file that remembers how far the caller is; None: nothing is remembered. A `Cursor` that
            the caller keeps itself, such as in one transaction with what it made of the verdicts: begin right
            after it; `reader.cursor` is the next one to keep.
        start: where to begin without a cursor: with what is published from now on, or with the oldest verdict
            the line keeps.
        keys: for TCP endpoints of a line that requires keys.
        patience_seconds: what is not replayed within this time is given up and comes as `Lost`.
        on_event: is called for each event of the line, as `receive` takes it in; events are not replayed.
        on_golden: the same for records of checks with golden parts.

    Raises:
        InputError: an endpoint, the cursor or a key file cannot be used, or the cursor is of another line.
    """

    def receive(self, timeout_seconds: float) -> Item | None:
        """The next verdict, or what was lost in its place; None when nothing came in time.

        Raises:
            InputError: the endpoint publishes another line than `line` or the cursor file is of, or several.
        """
        for step in self._session.steps(timeout_seconds):
            if not isinstance(step, Wait):
                return step
            if self._poller.poll(self._begin(step)):
                self._take_in()
        return None

    def __iter__(self) -> Iterator[Item]:
        """Every verdict and loss from now on, without end."""
        while True:
            item = self.receive(timeout_seconds=1.0)
            if item is not None:
                yield item

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
