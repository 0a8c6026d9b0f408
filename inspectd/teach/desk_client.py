"""Asks the teaching desk of a line, over its socket."""

from __future__ import annotations

import socket
from typing import Final

import msgspec

from inspectd.errors import UnavailableError
from inspectd.teach.desk_messages import MOST_ANSWER_BYTES, DeskAnswer, DeskRequest, decode_answer

SECONDS: Final = 60.0
"""Longest wait for an answer: a large picture is verified, a large journal is read."""


def ask_desk(path: str, request: DeskRequest, timeout_seconds: float = SECONDS) -> tuple[DeskAnswer, bytes]:
    """The answer of a desk, and the picture that was asked for; waits, so it belongs into a thread.

    Args:
        path: of its socket.
        request: what is asked.
        timeout_seconds: longest wait for any part of the answer.

    Raises:
        UnavailableError: it does not answer; it may have done what it was asked for.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_seconds)
            connection.connect(path)
            connection.sendall(msgspec.json.encode(request) + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline(MOST_ANSWER_BYTES)
                answer = decode_answer(line)
                picture = stream.read(min(answer.picture_bytes, MOST_ANSWER_BYTES))
    except (OSError, ValueError) as error:  # msgspec's are of this kind
        raise UnavailableError(
            f"the teaching desk at {path} does not answer ({error}); is `inspectd teach serve` running?"
        ) from error
    if len(picture) != answer.picture_bytes:
        raise UnavailableError(f"the teaching desk at {path} broke off; try again")
    return answer, picture
