"""Sends triggers and reads whether the line took them; `docs/triggers.md` describes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import msgspec
import zmq

from inspectd.client.clock import clock_seconds
from inspectd.client.sockets import LOOK_MS, ClientKeys, LastingConnection, requester
from inspectd.errors import InputError
from inspectd.wire import Accepted, Refusal, TriggerRequest

TriggerAnswer = Accepted | Refusal

_encoder: Final = msgspec.json.Encoder()
_decoder: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(TriggerAnswer)


class PollFor(NamedTuple):
    """Wait for these events of the socket, at most so long."""

    events: int
    milliseconds: int


class BaseTriggerSender:
    """A sender of triggers without the waiting; `TriggerSender` describes arguments and errors."""

    def __init__(
        self, endpoint: str, keys: ClientKeys | None = None, clock: Callable[[], float] = clock_seconds
    ) -> None:
        self._clock = clock
        self._context: zmq.Context[Any] = zmq.Context()
        self._endpoint = endpoint
        self._keys = keys
        self._is_owed = False
        try:
            self._connect()
        except InputError:
            self.close()
            raise

    def keep(self) -> None:
        """Look after the connection; to be called now and then, and never while something is sent."""
        self._connection.keep()

    def close(self) -> None:
        """Close the connection."""
        self._context.destroy(linger=0)

    def _steps(self, trigger: TriggerRequest, timeout_seconds: float) -> Iterator[PollFor | TriggerAnswer]:
        """Yields each wait, then the answer; ends without one when time is up."""
        deadline = self._clock() + timeout_seconds
        if self._is_owed:
            # The answer to a trigger that timed out may come yet, and ids come again: it finds nobody.
            before = self._connection
            try:
                self._connect()
            finally:
                before.close()
            self._is_owed = False
        while True:
            self._connection.keep()
            left_ms = self._left_ms(deadline)
            yield PollFor(zmq.POLLOUT, min(left_ms, LOOK_MS))
            if self._clock() > deadline:
                return  # sent now, after a program that was held up, it would be dated by another part
            try:
                self._socket.send(_encoder.encode(trigger), zmq.NOBLOCK)
                break
            except zmq.Again:  # nobody is there, or not any more
                if left_ms == 0:
                    return
        self._is_owed = True
        while True:
            left_ms = self._left_ms(deadline)
            yield PollFor(zmq.POLLIN, left_ms)
            try:
                answer = self._answer(self._socket.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                if left_ms == 0:
                    return
                continue
            if self._clock() > deadline:
                return  # this program was held up: who asked has given the part up, as with no answer
            # An answer to an earlier trigger, that came after its time-out, is nobody's now.
            if answer is not None and answer.trigger_id in {trigger.trigger_id, None}:
                self._is_owed = False
                yield answer
                return

    def _connect(self) -> None:
        self._socket = requester(self._context)
        # A trigger is not kept for a line that is away: when that came back, the part would be gone.
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self._connection = LastingConnection(self._socket)
        self._connection.connect(self._endpoint, self._keys)

    def _left_ms(self, deadline: float) -> int:
        return max(0, round((deadline - self._clock()) * 1000))

    @staticmethod
    def _answer(parts: list[bytes]) -> TriggerAnswer | None:
        try:
            answer: TriggerAnswer = _decoder.decode(parts[-1])
        except (ValueError, RecursionError):
            return None
        return answer


class TriggerSender(BaseTriggerSender):
    """Sends triggers to one line. Belongs to the thread that made it.

        with TriggerSender("ipc:///run/inspectd/line1/control.sock") as sender:
            answer = sender.send(TriggerRequest("4711"), timeout_seconds=0.1)
            if isinstance(answer, Accepted):
                expect(answer.trigger_id, answer.epoch, answer.received_utc_ns)

    Args:
        endpoint: such as `ipc:///run/inspectd/line1/control.sock` or `tcp://127.0.0.1:5574`.
        keys: for TCP with keys; local sockets need none.
        clock: seconds on a clock that never goes back.

    Raises:
        InputError: the endpoint cannot be one, or a key file cannot be used.
    """

    def send(self, trigger: TriggerRequest, timeout_seconds: float) -> TriggerAnswer | None:
        """Send a trigger and wait for its answer; None when none came in time.

        A part may pass only by the `part/1` whose `trigger_id`, `epoch` and `triggered_utc_ns` equal the
        answer's `trigger_id`, `epoch` and `received_utc_ns`: ids come again, and old verdicts are replayed.
        Without an answer the trigger may have been taken or not, and the part is a reject. No trigger is sent
        after its time is up, and no answer is given that is only read after it.

        Raises:
            InputError: the trigger before was not answered, so a new connection is needed, and a key file
                cannot be used any more. The part is a reject; the next call tries again.
        """
        for step in self._steps(trigger, timeout_seconds):
            if not isinstance(step, PollFor):
                return step
            self._socket.poll(step.milliseconds, step.events)
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
