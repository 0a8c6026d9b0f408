"""Notifications to systemd: the service is ready, stopping, or getting parts through.

The protocol is sd_notify(3): datagrams of `NAME=value` lines to the socket named by NOTIFY_SOCKET.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

from inspectd.errors import UnavailableError

_log = logging.getLogger(__name__)

_VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """The service manager's notification socket; without one, every method does nothing.

    Attributes:
        watchdog_interval_ns: time systemd waits for `watchdog()` before it ends the service; None if it does
            not watch this process.
    """

    def __init__(self, address: str | None, watchdog_interval_ns: int | None = None) -> None:
        """Send to `address`.

        Args:
            address: a path, an abstract name that begins with `@`, or None to send nothing.
            watchdog_interval_ns: the interval in which `watchdog()` is expected.

        Raises:
            UnavailableError: `address` is neither.
        """
        if address is not None and address[:1] not in ("/", "@"):
            raise UnavailableError(
                f"NOTIFY_SOCKET: got {address!r}, expected an absolute path or an abstract name "
                "that begins with @; unset it when inspectd is not started by systemd"
            )
        self.watchdog_interval_ns = watchdog_interval_ns
        self._serving = False
        self._address = None if address is None else "\0" + address[1:] if address[0] == "@" else address

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str] = os.environ) -> Notifier:
        """The socket and the watchdog interval from systemd's environment variables.

        The variables are removed, so that no child notifies systemd in this process's name.

        Raises:
            UnavailableError: a variable holds something systemd would not write.
        """
        address, usec, pid = (environ.pop(name, "") for name in _VARIABLES)
        return cls(address or None, _watchdog_interval_ns(usec, pid))

    def ready(self) -> None:
        """Parts can be judged."""
        self._serving = True
        self._send("READY=1")

    def reloading(self) -> None:
        """The configuration file is being read again; `ready` follows, whatever comes of it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The stop has begun."""
        self._serving = False
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send("STATUS=" + " ".join(text.split()))

    def watchdog(self) -> None:
        """Keep-alive; `ProgressWatchdog` decides when to send it.

        Sent between `ready` and `stopping` only, and only if systemd watches: it arms its watchdog at the
        first one it receives, and would end a start or a drain that takes longer.
        """
        if self._serving and self.watchdog_interval_ns is not None:
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(0)  # a service manager that reads nothing must not stop the line
                sender.sendto(message.encode(), self._address)
        except OSError as error:
            # The line keeps running; systemd acts by itself if it receives nothing.
            _log.warning("cannot notify systemd of %s: %s", message, error)


class ProgressWatchdog:
    """Decides when the service has earned its next WATCHDOG=1: only while parts get through it.

    A timer thread would keep a service alive that has judged nothing for an hour. Here a keep-alive is due a
    third of the interval after the last one, unless the pipeline is stuck: a frame has waited for half the
    interval and its scoring process answered nothing since, or scoring has not been ready for as long. So
    systemd acts at most one and a half intervals after the pipeline stopped. A line without parts is healthy.

    Pure: times are handed in, in nanoseconds of one monotonic clock.
    """

    def __init__(self, interval_ns: int) -> None:
        """Watch with systemd's interval, `Notifier.watchdog_interval_ns`."""
        self._feed_every_ns = interval_ns // 3
        self._patience_ns = interval_ns // 2
        self._fed_ns: int | None = None
        self._waiting_since_ns: dict[int, int] = {}  # by scoring process
        self._unready_since_ns: int | None = None

    def frame_submitted(self, now_ns: int, process: int = 0) -> None:
        """A scoring process got a good frame, which needs a score."""
        self._waiting_since_ns.setdefault(process, now_ns)

    def scored(self, now_ns: int, process: int = 0) -> None:  # noqa: ARG002 - every event carries its time
        """A scoring process answered; the answers of others say nothing of what it has."""
        self._waiting_since_ns.pop(process, None)

    def due(self, now_ns: int, scoring_ready: bool) -> bool:  # noqa: FBT001 - named at its one call
        """True when WATCHDOG=1 is due; it then counts as sent.

        Args:
            now_ns: the time.
            scoring_ready: every recipe is warm in a scoring process.
        """
        self._note_readiness(now_ns, scoring_ready=scoring_ready)
        if self._stuck(now_ns):
            return False
        if self._fed_ns is not None and now_ns - self._fed_ns < self._feed_every_ns:
            return False
        self._fed_ns = now_ns
        return True

    def _note_readiness(self, now_ns: int, *, scoring_ready: bool) -> None:
        if not scoring_ready:
            self._unready_since_ns = now_ns if self._unready_since_ns is None else self._unready_since_ns
        elif self._unready_since_ns is not None:
            # Frames that the last scoring process took with it will never be scored.
            self._unready_since_ns = None
            self._waiting_since_ns.clear()

    def _stuck(self, now_ns: int) -> bool:
        since = (*self._waiting_since_ns.values(), self._unready_since_ns)
        return any(start is not None and now_ns - start > self._patience_ns for start in since)


def _watchdog_interval_ns(usec: str, pid: str) -> int | None:
    for name, text in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)):
        if text and not (text.isascii() and text.isdigit() and int(text) > 0):
            raise UnavailableError(
                f"{name}: got {text!r}, expected a whole number above 0, as systemd sets it"
            )
    if not usec or (pid and int(pid) != os.getpid()):
        return None
    return int(usec) * 1000
