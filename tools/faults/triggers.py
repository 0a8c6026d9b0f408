"""The plant's side of the `control` socket, written from its description: JSON over a DEALER."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, Final, Self

import zmq

_CONNECT_MS: Final = 5000


class TriggerPort:
    """Sends triggers and takes answers. Belongs to the thread that enters it.

    A trigger is never queued for a daemon that is not there: it would come when its part is gone.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def __enter__(self) -> Self:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        for option, value in ((zmq.LINGER, 0), (zmq.RECONNECT_IVL, 20), (zmq.IMMEDIATE, 1)):
            self._socket.setsockopt(option, value)
        self._socket.connect(self._endpoint)
        self._socket.poll(_CONNECT_MS, zmq.POLLOUT)
        return self

    def __exit__(self, *_: object) -> None:
        self._context.destroy(linger=0)

    def send(self, trigger_id: str) -> bool:
        """Trigger a part; False when no daemon is there to receive it."""
        request = {"schema": "trigger/1", "trigger_id": trigger_id, "part_id": f"part-{trigger_id}"}
        try:
            self._socket.send(json.dumps(request).encode(), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def answers(self, seconds: float) -> Iterator[tuple[str, dict[str, Any]]]:
        """Answers that come within so many seconds, with the trigger ids they are for."""
        end = time.monotonic() + seconds
        while self._socket.poll(max(0, round((end - time.monotonic()) * 1000))):
            answer = json.loads(self._socket.recv_multipart()[-1])
            yield answer["trigger_id"], answer
