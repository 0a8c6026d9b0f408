"""Checks a line with golden parts; `docs/golden.md` and `docs/wire.md` describe requests and answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import zmq

from inspectd import wire
from inspectd.client.sockets import ClientKeys, LastingConnection, requester
from inspectd.errors import InputError, UnavailableError
from inspectd.wire.golden import GoldenAction, GoldenAnswer, GoldenRequest, decode_golden_answer


class GoldenAsker:
    """Sends golden requests to one line, one at a time. Belongs to the thread that made it.

        with GoldenAsker("ipc:///run/inspectd/line1/control.sock", who="kim") as asker:
            answer = asker.ask(GoldenAction.BEGIN)

    Args:
        endpoint: of the control socket, such as `ipc:///run/inspectd/line1/control.sock`.
        who: who asks, for the record.
        line: `PLANT/LINE` that is meant: any other refuses; empty: whichever is there.
        keys: for TCP with keys; local sockets need none.
        clock: seconds on a clock that never goes back.

    Raises:
        InputError: the endpoint cannot be one, or a key file cannot be used.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        who: str = "",
        line: str = "",
        keys: ClientKeys | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint, self._who, self._line, self._clock = endpoint, who, line, clock
        self._asked = 0
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = requester(self._context)
        # A request is not kept for a line that is away: another part would be there when it came back.
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self._connection = LastingConnection(self._socket)
        try:
            self._connection.connect(endpoint, keys)
        except InputError:
            self.close()
            raise

    def ask(
        self,
        action: GoldenAction,
        *,
        recipe: str | None = None,
        part: str | None = None,
        timeout_seconds: float = 5.0,
    ) -> GoldenAnswer:
        """Ask, and wait for the answer.

        Raises:
            UnavailableError: the line does not answer, or not in this format.
        """
        self._asked += 1
        request = GoldenRequest(
            f"{self._who or 'golden'}-{self._asked}"[:64], action, recipe, part, self._who, self._line
        )
        deadline = self._clock() + timeout_seconds
        is_there = self._connection.poll(self._left_ms(deadline), zmq.POLLOUT) and self._clock() <= deadline
        if is_there and self._sent(wire.encode(request)):
            while self._socket.poll(self._left_ms(deadline)):
                answer = self._decoded(self._socket.recv_multipart()[-1])
                if answer.request in {
                    request.request,
                    None,
                }:  # another one is that of a request that timed out
                    return answer
        raise UnavailableError(
            f"{self._endpoint}: no answer within {timeout_seconds:g} s; is this the control socket of a "
            "running line?"
        )

    def close(self) -> None:
        """Disconnect."""
        self._context.destroy(linger=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _sent(self, request: bytes) -> bool:
        """False where the line went away since it could be sent: another part is there when it is back."""
        try:
            self._socket.send(request, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def _decoded(self, answer: bytes) -> GoldenAnswer:
        try:
            return decode_golden_answer(answer)
        except ValueError as error:
            raise UnavailableError(
                f"{self._endpoint}: answered with something else: {error}; is this line's inspectd older?"
            ) from error

    def _left_ms(self, deadline: float) -> int:
        return max(0, round((deadline - self._clock()) * 1000))
