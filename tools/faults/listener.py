"""An ear at the bus that shares no code with the client library: what arrived, and when."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import Any, Final

import zmq

_POLL_MS: Final = 50


@dataclass(frozen=True)
class Heard:
    """One message: its header as JSON, and when it arrived on the monotonic clock."""

    at_ns: int
    header: dict[str, Any]

    @property
    def of_part(self) -> bool:
        """It is the verdict of a whole part, the one a gate acts on."""
        return bool(self.header["schema"].startswith("part/"))


class Listener:
    """Collects verdicts, heartbeats and events of a `verdicts` endpoint in a thread of its own."""

    def __init__(self, endpoint: str) -> None:
        self.numbered: list[Heard] = []
        """Verdicts of frames and of parts, which share one numbering."""
        self.events: list[Heard] = []
        self.last_heartbeat: Heard | None = None
        self.heartbeats_ns: list[int] = []
        """When each heartbeat arrived."""
        self._endpoint = endpoint
        self._stop = threading.Event()
        self._connected = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)
        self._thread.start()
        self._connected.wait(5)

    def events_since(self, since_ns: int) -> list[Heard]:
        """Events that arrived at or after `since_ns`."""
        return [event for event in self.events[:] if event.at_ns >= since_ns]

    def alarm(self, since_ns: int, about: str) -> Heard | None:
        """The first alarm whose name begins so and which arrived at or after `since_ns`."""
        alarms = [e for e in self.events_since(since_ns) if e.header["severity"] == "alarm"]
        return next((event for event in alarms if event.header["event"].startswith(about)), None)

    def state(self, since_ns: int = 0) -> str | None:
        """The line's state in the last heartbeat, if one arrived at or after `since_ns`."""
        heartbeat = self.last_heartbeat
        return heartbeat.header["state"] if heartbeat and heartbeat.at_ns >= since_ns else None

    def close(self) -> None:
        """Stop listening."""
        self._stop.set()
        self._thread.join()

    def _listen(self) -> None:
        with zmq.Context() as context, context.socket(zmq.SUB) as socket:
            for option, value in ((zmq.LINGER, 0), (zmq.RECONNECT_IVL, 20), (zmq.RCVHWM, 0)):
                socket.setsockopt(option, value)
            socket.subscribe(b"")
            socket.connect(self._endpoint)
            self._connected.set()
            while not self._stop.is_set():
                if socket.poll(_POLL_MS):
                    self._take(socket.recv_multipart()[1])

    def _take(self, header: bytes) -> None:
        heard = Heard(time.monotonic_ns(), json.loads(header))
        match heard.header["schema"].partition("/")[0]:
            case "verdict" | "part":
                self.numbered.append(heard)
            case "event":
                self.events.append(heard)
            case "heartbeat":
                self.last_heartbeat = heard
                self.heartbeats_ns.append(heard.at_ns)


def wait_for(condition: Any, timeout_seconds: float, what: str) -> Any:
    """The first true answer of `condition`.

    Raises:
        TimeoutError: there was none in time; the message says what was waited for.
    """
    deadline = time.monotonic() + timeout_seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_seconds:g} s")
        time.sleep(0.01)
    return answer
