"""The main process's channel to a child that reads frames out of the cameras' rings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from inspectd.ipc.channel import Channel, ChannelClosedError, ChannelFullError, ChannelMessageError
from inspectd.ipc.messages import AttachRing, DetachRing
from inspectd.ipc.ring import FrameRing


class RingClient:
    """Base of the supervisor's jobs whose child reads frames: keeps the child supplied with rings.

    A child that does not take a record it cannot do without is out of step with the rings. `stuck` is then
    set, and the supervisor replaces the child.
    """

    def __init__(self, start: msgspec.Struct, rings: Callable[[], list[tuple[str, FrameRing]]]) -> None:
        """Begin every child with `start` and with each of `rings`, camera and ring."""
        self.stuck: str | None = None
        self._start = start
        self._rings = rings
        self._channel: Channel[Any] | None = None

    def started(self, channel: Channel[Any]) -> None:
        """A child was launched: send its settings and the rings there are."""
        self._channel = channel
        self.stuck = None
        channel.send(self._start)
        for camera, ring in self._rings():
            self.attach(camera, ring)

    def lost(self, cause: str, exit_code: int | None, now_ns: int) -> None:  # noqa: ARG002 - for those below
        """See `Job.lost`."""
        self._channel = None

    def attach(self, camera: str, ring: FrameRing) -> None:
        """Give the child a ring that frames will lie in."""
        self._post(AttachRing(camera, ring.generation), (ring.fd,))

    def detach(self, camera: str, generation: int) -> None:
        """Take a ring back in which no frame lies any more."""
        self._post(DetachRing(camera, generation))

    def _post(
        self, record: msgspec.Struct, fds: tuple[int, ...] = (), *, may_be_skipped: bool = False
    ) -> bool:
        """Send a record; False where the child does not take it.

        Raises:
            ChannelMessageError: it is larger than the channel takes, and may not be skipped.
        """
        if self._channel is None:
            return False
        try:
            self._channel.send(record, fds)
        except ChannelClosedError:
            # The supervisor reads the same from the channel next, and replaces the child.
            return False
        except ChannelFullError as error:
            if not may_be_skipped:
                self.stuck = str(error)
            return False
        except ChannelMessageError:
            if not may_be_skipped:
                raise
            return False
        return True
