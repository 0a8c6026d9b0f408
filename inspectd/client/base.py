"""What the readers of verdicts share: their sockets, and everything that does not wait."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import zmq

from inspectd.client.session import Session
from inspectd.client.sockets import ClientKeys, connect, requester, subscriber, sync_endpoint
from inspectd.client.tracker import Liveness
from inspectd.errors import InputError
from inspectd.wire import Heartbeat
from inspectd.wire.sync import Position

MESSAGES_PER_TURN: Final = 256
_QUEUE_MESSAGES: Final = 10_000


class Reader:
    """The base of `VerdictReader` and `AsyncVerdictReader`, which add the waiting."""

    def __init__(
        self,
        make_context: Callable[[], zmq.Context[Any]],
        verdicts: str,
        sync: str | None,
        *,
        cursor: Path | None,
        start: Literal["now", "oldest"],
        keys: ClientKeys | None,
        patience_seconds: float,
    ) -> None:
        """Connect, with sockets of the context that `make_context` gives; the rest as for `VerdictReader`.

        Raises:
            InputError: an endpoint, the cursor file or a key file cannot be used.
        """
        sync = sync_endpoint(verdicts, sync)
        self._session = Session(cursor, start=start, patience_seconds=patience_seconds)
        self._context = make_context()
        try:
            self._live, self._sync = _open_sockets(self._context, verdicts, sync, keys)
        except InputError:
            self.close()
            raise

    def commit(self) -> None:
        """Remember that the caller is done with everything it received.

        Raises:
            UnavailableError: the cursor file cannot be written.
        """
        self._session.commit()

    @property
    def liveness(self) -> Liveness:
        """What may be assumed of the line, from what was taken in by the last `receive`."""
        return self._session.liveness

    @property
    def heartbeat(self) -> Heartbeat | None:
        """The last heartbeat heard."""
        return self._session.heartbeat

    @property
    def position(self) -> Position | None:
        """Everything up to it was received; None before the line was heard."""
        return self._session.position

    def close(self) -> None:
        """Stop listening; what was not committed is read again by the next reader."""
        self._context.destroy(linger=0)


def _open_sockets(
    context: zmq.Context[Any], verdicts: str, sync: str, keys: ClientKeys | None
) -> tuple[Any, Any]:
    """The two sockets of a verdict reader, connected.

    Raises:
        InputError: an endpoint or a key file cannot be used.
    """
    live, requests = subscriber(context, _QUEUE_MESSAGES), requester(context)
    live.setsockopt(zmq.SUBSCRIBE, b"i1/")
    requests.setsockopt(zmq.SNDHWM, 8)
    connect(live, verdicts, keys)
    connect(requests, sync, keys)
    return live, requests
