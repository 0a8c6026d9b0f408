"""The plant's triggers, received in place of a line that is stopped."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from inspectd import config, wire
from inspectd.errors import UnavailableError
from inspectd.ipc.io_thread import IoThreads
from inspectd.ipc.poller import Poller
from inspectd.publish.control import parse
from inspectd.publish.door.listeners import Listeners
from inspectd.publish.door.sockets import Sockets
from inspectd.records import Trigger
from inspectd.wire import Refusal, RefusalReason

_SILENCE_SECONDS: Final = 60.0


class PlantTriggers:
    """Takes the place of the line at its `control` sockets, and refuses every trigger: no part passes.

    Args:
        settings: of the line.
        runtime_dir: its runtime directory, held.
        why: what the plant is answered.
    """

    def __init__(self, settings: config.Config, runtime_dir: Path, why: str) -> None:
        keys_dir, line = settings.security.keys_dir, settings.line
        self._why = why
        self._at = f"ipc://{runtime_dir}/control.sock"
        self._at += f" and tcp://{settings.publish.control_tcp}" if settings.publish.control_tcp else ""
        self._listeners = Listeners(settings.publish, runtime_dir)
        self._sockets = Sockets(
            settings.publish,
            wire.prefix(line.plant, line.name),
            self._listeners.local,
            self._listeners.tcp,
            keys_dir=Path(keys_dir) if keys_dir else None,
            on_refused=lambda _name, _cause: None,
        )
        self._io_threads = IoThreads()
        self._poller = Poller(is_handed_on=self._io_threads.are_asleep)
        self._came: list[Trigger] = []
        self._count = 0
        self._last_seconds = time.monotonic()

    def __enter__(self) -> Self:
        self._poller.add(self._sockets.control, self._take)
        for socket, callback in self._sockets.sources():
            self._poller.add(socket, callback)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._io_threads.close()
        self._sockets.close()
        self._listeners.close()

    @property
    def known_ns(self) -> int:
        """Every trigger that came until then was given by `next`; 0: nobody has looked long enough."""
        return self._poller.known_ns(self._sockets.control)

    def next(self, timeout_seconds: float) -> list[Trigger]:
        """The triggers that come within this time, dated as the line dates them.

        One that may have waited since before anybody looked is refused like the others, and left out.

        Raises:
            UnavailableError: for a minute none has come.
        """
        self._sockets.maintain()
        self._poller.wait(int(timeout_seconds * 1e9))
        if time.monotonic() - self._last_seconds > _SILENCE_SECONDS:
            raise UnavailableError(
                f"{self._count} triggers came, and for {_SILENCE_SECONDS:g} s no more, at {self._at}; "
                "does the plant send them?"
            )
        came, self._came = self._came, []
        return came

    def _take(self) -> None:
        known_ns = self.known_ns
        for incoming in self._sockets.requests("control"):
            now_ns, (envelope, parts) = time.monotonic_ns(), incoming.unwrapped()
            try:
                request = parse(parts)
            except ValueError as error:
                answer = Refusal(None, RefusalReason.MALFORMED, str(error)[:300])
            else:
                answer = Refusal(request.trigger_id, RefusalReason.NOT_READY, self._why)
                if known_ns:  # else it may have waited here since before anybody looked
                    trigger = Trigger(
                        request.trigger_id, request.part_id, received_ns=now_ns, doubt_ns=now_ns - known_ns
                    )
                    self._came.append(trigger)
                    self._count += 1
                    self._last_seconds = time.monotonic()
            self._sockets.reply("control", incoming.client, [*envelope, wire.encode(answer)])
