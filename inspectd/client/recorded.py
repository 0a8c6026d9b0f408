"""Reads what a line has recorded, and nothing live."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from inspectd import wire
from inspectd.client.joiner import Numbered, Unread
from inspectd.client.sockets import Asker, ClientKeys
from inspectd.errors import InputError, UnavailableError
from inspectd.wire import PartVerdict, Verdict, sync
from inspectd.wire.sync import (
    MAX_LIMIT,
    End,
    Error,
    ErrorReason,
    Position,
    ReplayRequest,
    Truncated,
    Verdicts,
)


class Replayed(msgspec.Struct, frozen=True):
    """A verdict, and the header it was published with."""

    verdict: Numbered
    header: bytes

    @property
    def epoch(self) -> int:
        """The verdict's."""
        return self.verdict.epoch

    @property
    def seq(self) -> int:
        """The verdict's."""
        return self.verdict.seq


def replay(
    endpoint: str,
    first: Position | None = None,
    last: Position | None = None,
    keys: ClientKeys | None = None,
    timeout_seconds: float = 5.0,
) -> Iterator[Replayed | Truncated | Unread]:
    """Every verdict from `first` (None: the oldest) to `last` (None: the newest), both included, in order.

        for item in replay("ipc:///run/inspectd/line1/sync.sock", Position(1763924400000, 1)):
            print(item)

    Args:
        endpoint: the line's sync socket.
        first: where to begin.
        last: where to end.
        keys: for a TCP endpoint of a line that requires keys.
        timeout_seconds: longest wait for an answer.

    Yields:
        Verdicts, and what is known of those that this version cannot read; and a `Truncated` before the first
        where something that was asked for is no longer kept.

    Raises:
        InputError: the endpoint or a key file cannot be used.
        UnavailableError: the line does not answer, or not in this format.
    """
    with Asker(endpoint, "sync", keys) as asker:
        chunk, complete = 0, False
        while not complete:
            chunk += 1
            asker.send(wire.encode(ReplayRequest(str(chunk), first, last, MAX_LIMIT)), timeout_seconds)
            while True:
                answer, found = asker.receive(_decoded)
                yield from found
                if isinstance(answer, Error) and answer.reason is ErrorReason.BUSY:
                    raise UnavailableError(f"{endpoint}: {answer.detail}; try again")
                if isinstance(answer, Error):
                    raise InputError(f"{endpoint}: refused: {answer.reason}: {answer.detail}")
                if isinstance(answer, Truncated):
                    yield answer
                elif isinstance(answer, End):
                    first = Position(answer.through.epoch, answer.through.seq + 1)
                    complete = answer.complete
                    break


def _decoded(parts: list[bytes]) -> tuple[sync.Answer, list[Replayed | Unread]]:
    answer = sync.decode_answer(parts[0])
    return answer, [_replayed(header) for header in parts[2::2]] if isinstance(answer, Verdicts) else []


def _replayed(header: bytes) -> Replayed | Unread:
    try:
        verdict = wire.decode(header)
    except ValueError:
        return msgspec.json.decode(header, type=Unread)
    if not isinstance(verdict, Verdict | PartVerdict):
        raise ValueError(f"{type(verdict).__name__} among verdicts")  # noqa: TRY004 - what was sent is wrong
    return Replayed(verdict, header)
