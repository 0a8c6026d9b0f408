"""Checks a line with golden parts; `docs/golden.md` and `docs/wire.md` describe requests and answers."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from inspectd import wire
from inspectd.client.clock import clock_seconds
from inspectd.client.sockets import Asker, ClientKeys
from inspectd.wire.golden import GoldenAction, GoldenAnswer, GoldenRequest, decode_golden_answer


class GoldenAsker(Asker):
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
        clock: Callable[[], float] = clock_seconds,
    ) -> None:
        super().__init__(endpoint, "control", keys, clock=clock)
        self._who, self._line = who, line
        self._asked = 0
        self._own = secrets.token_hex(2)
        """In the names of its requests, and so of checks: whoever asks as the same person has another one."""

    def ask(
        self,
        action: GoldenAction,
        *,
        recipe: str | None = None,
        part: str | None = None,
        timeout_seconds: float = 5.0,
    ) -> GoldenAnswer:
        """Ask, and wait for the answer.

        Without one, what was asked for may be done all the same, unless the line reads it later than it takes
        triggers: ask for the status.

        Raises:
            UnavailableError: the line does not answer, or not in this format.
        """
        self._asked += 1
        number = f"-{self._own}-{self._asked}"
        name = f"{(self._who or 'golden')[: 64 - len(number)]}{number}"
        request = GoldenRequest(name, action, recipe, part, self._who, self._line)
        is_status = action is GoldenAction.STATUS
        once_sent = "" if is_status else " What was asked for may be done all the same: ask for the status"
        self.send(wire.encode(request), timeout_seconds, once_sent=once_sent)
        return self.receive(
            lambda parts: decode_golden_answer(parts[-1]), lambda answer: answer.request in {name, None}
        )
