"""Asks a line to prepare a recipe, or to put one in force."""

from __future__ import annotations

from typing import Final

import msgspec

from inspectd import wire
from inspectd.client.sockets import Asker, ClientKeys
from inspectd.wire import RecipeAck, RecipeRefusal, RecipeRequest

_answers: Final[msgspec.json.Decoder[RecipeAck | RecipeRefusal]] = msgspec.json.Decoder(
    RecipeAck | RecipeRefusal
)


def ask_recipe(
    endpoint: str, request: RecipeRequest, keys: ClientKeys | None = None, timeout_seconds: float = 5.0
) -> RecipeAck | RecipeRefusal:
    """The line's answer to a request for a recipe.

    After `timeout_seconds` without one it is not known what became of it: ask for the line's status, or
    again; to activate what is in force already changes nothing.

    Args:
        endpoint: the line's control socket.
        request: what is asked for.
        keys: for a TCP endpoint of a line that requires keys.
        timeout_seconds: longest wait for the answer.

    Raises:
        InputError: the endpoint or a key file cannot be used.
        UnavailableError: the line does not answer, or not in this format.
    """
    once_sent = " What was asked for may be done all the same: ask for the line's status"
    with Asker(endpoint, "control", keys) as asker:
        asker.send(wire.encode(request), timeout_seconds, once_sent=once_sent)
        return asker.receive(lambda parts: _answers.decode(parts[0]))
