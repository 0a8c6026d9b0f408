"""What clients may call: each method with its arguments and the role it takes, checked before it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from asyncua import ua

from inspectd.gateways.opcua.access import CALLER, PlantUsers
from inspectd.gateways.opcua.audit import PlantAudit
from inspectd.gateways.opcua.guarded import GuardedServer
from inspectd.gateways.opcua.nodes import PlantNodes
from inspectd.gateways.opcua.settings import PlantRole
from inspectd.text import printable

_MOST_CHARACTERS: Final = 1000
_EXPECTED: Final = {
    "id": f"a structure with an Id of at most {_MOST_CHARACTERS} characters, or null",
    "text": f"a text of at most {_MOST_CHARACTERS} characters, or null",
    "number": "an integer",
    "list": "an array, or null",
}
"""By kind of an argument: what it has to be."""
Answer = list[Any]


class PlantMethod(NamedTuple):
    """A method: its path, the kinds of its arguments, who may call it, and what it does.

    Kinds are those of `_EXPECTED`.
    """

    path: str
    arguments: tuple[str, ...]
    role: PlantRole
    call: Callable[..., Awaitable[Answer]]
    on_unread: Callable[[], None] | None = None
    """Called in its place where somebody who may call it gives arguments that it cannot take."""


class MethodDesk:
    """Links methods to the server.

    Args:
        server: whose nodes they are.
        nodes: the line's.
        users: who may call what.
        audit: where calls that change something are recorded, and all that were refused.
    """

    def __init__(
        self, server: GuardedServer, nodes: PlantNodes, users: PlantUsers, audit: PlantAudit
    ) -> None:
        """Nothing is linked yet."""
        self._server, self._nodes, self._users, self._audit = server, nodes, users, audit

    def link(self, method: PlantMethod) -> None:
        """Have a method answered."""

        async def answer(_parent: Any, *given: Any) -> Any:
            return await self._answer(method, [each.Value for each in given])

        self._server.link_method(self._nodes.node(method.path), answer)

    async def _answer(self, method: PlantMethod, given: list[Any]) -> Any:
        who, name = CALLER.get(), method.path.rpartition(".")[2]
        if not self._users.may(who, method.role):
            self._audit.refuse(name, who, "BadUserAccessDenied")
            return ua.StatusCode(ua.StatusCodes.BadUserAccessDenied)
        values = [_value(kind, value) for kind, value in zip(method.arguments, given, strict=False)]
        flaw = _flaw(method, given, values)
        if flaw is not None:
            status, detail = flaw
            if method.on_unread is not None:
                method.on_unread()
            self._audit.refuse(name, who, status, detail=detail)
            return ua.StatusCode(getattr(ua.StatusCodes, status))
        try:
            result = await method.call(*values)
            if method.role is not PlantRole.OBSERVER:
                self._record(name, who, values, int(result[-1].Value))
        except asyncio.CancelledError:  # the client went: what it asked for may be done all the same
            self._audit.refuse(name, who, "client_gone")
            raise
        except Exception as error:  # a fault of this program, which ends it: asyncua would only answer it
            loop = asyncio.get_running_loop()
            loop.call_exception_handler({"message": f"fault in {name}", "exception": error})
            raise
        return result

    def _record(self, name: str, who: str, values: list[Any], error: int) -> None:
        said = printable(" ".join(value for value in values if isinstance(value, str) and value))
        if error:
            self._audit.refuse(name, who, f"error {error}", arguments=said[:200])
        else:
            self._audit.did(name, who, arguments=said[:200])


def _flaw(method: PlantMethod, given: list[Any], values: list[Any]) -> tuple[str, str] | None:
    """Status code and detail where what is given is not what a method takes; `values`: as it takes them."""
    if len(given) != len(method.arguments):
        is_less = len(given) < len(method.arguments)
        status = "BadArgumentsMissing" if is_less else "BadTooManyArguments"
        return status, f"got {len(given)} arguments, expected {len(method.arguments)}"
    for number, (kind, got, value) in enumerate(zip(method.arguments, given, values, strict=True), 1):
        if value is None:
            detail = f"argument {number}: got {type(got).__name__}, expected {_EXPECTED[kind]}"
            return "BadInvalidArgument", detail
    return None


def _value(kind: str, value: Any) -> Any:
    """An argument as handlers take it; None: it is of another kind."""
    match kind:
        case "number":
            is_number = isinstance(value, int) and not isinstance(value, bool)
            return int(value) if is_number else None
        case "list":
            return value if isinstance(value, list) else [] if value is None else None
        case "id":
            value = "" if value is None else getattr(value, "Id", 0)
    value = getattr(value, "Text", value)
    value = "" if value is None else value
    return value if isinstance(value, str) and len(value) <= _MOST_CHARACTERS else None
