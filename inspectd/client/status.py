"""Asks a line how it is, and what it keeps."""

from __future__ import annotations

from typing import Final

from inspectd import wire
from inspectd.client.sockets import Asker, ClientKeys
from inspectd.errors import InputError, UnavailableError
from inspectd.wire import sync
from inspectd.wire.sync import ErrorReason, LineStatus, Snapshot, SnapshotRequest, StatusRequest

_STATUS: Final = wire.encode(StatusRequest("status"))
_SNAPSHOT: Final = wire.encode(SnapshotRequest("snapshot"))


def ask_status(
    endpoint: str,
    keys: ClientKeys | None = None,
    timeout_seconds: float = 5.0,
    *,
    line: tuple[str, str] | None = None,
) -> LineStatus:
    """How a line is now.

    Args:
        endpoint: the line's sync socket.
        keys: for a TCP endpoint of a line that requires keys.
        timeout_seconds: longest wait for the answer.
        line: plant and name of the line that is meant; None: whichever is there.

    Raises:
        InputError: the endpoint or a key file cannot be used, or the line there is another one.
        UnavailableError: the line does not answer, or not in this format.
    """
    answer = _asked(_STATUS, endpoint, keys, timeout_seconds)
    if isinstance(answer, LineStatus):
        if line not in {None, (answer.plant, answer.line)}:
            raise InputError(
                f"{endpoint}: is of line {answer.plant}/{answer.line}, expected {'/'.join(line)}; correct "
                "the endpoint, or which line is meant (line.plant, line.name)"
            )
        return answer
    if isinstance(answer, sync.Error) and answer.reason is ErrorReason.MALFORMED:
        raise UnavailableError(f"{endpoint}: this line's inspectd is older and cannot say how it is")
    detail = answer.detail if isinstance(answer, sync.Error) else f"got {type(answer).__name__}"
    raise UnavailableError(f"{endpoint}: {detail}; try again")


def ask_snapshot(endpoint: str, keys: ClientKeys | None = None, timeout_seconds: float = 5.0) -> Snapshot:
    """The last verdict that a line has published, and the oldest that it keeps.

    Arguments and errors are those of `ask_status`.
    """
    answer = _asked(_SNAPSHOT, endpoint, keys, timeout_seconds)
    if isinstance(answer, Snapshot):
        return answer
    detail = answer.detail if isinstance(answer, sync.Error) else f"got {type(answer).__name__}"
    raise UnavailableError(f"{endpoint}: {detail}; try again")


def _asked(request: bytes, endpoint: str, keys: ClientKeys | None, timeout_seconds: float) -> sync.Answer:
    with Asker(endpoint, "sync", keys) as asker:
        asker.send(request, timeout_seconds)
        return asker.receive(lambda parts: sync.decode_answer(parts[0]))
