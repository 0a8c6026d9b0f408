"""Asks the line's teaching desk in a person's name, with a record before and after each act."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from anyio import CapacityLimiter, to_thread

from inspectd.errors import UnavailableError
from inspectd.page.accounts.roles import Act
from inspectd.page.answers import ApiError
from inspectd.page.guard import Account, Guard
from inspectd.recipes.audit import BEGUN
from inspectd.teach.desk_client import ask_desk
from inspectd.teach.desk_messages import DeskPerson, DeskRequest
from inspectd.text import printable

_AT_A_TIME: Final = 4
_LONGEST_REASON: Final = 300


class TeachingDesk:
    """The desk, as routes ask it.

    Args:
        socket: of the desk; None: there is none on this host.
        line: `PLANT/LINE` that it has to be of.
        guard: writes the records, and counts acts.
    """

    def __init__(self, socket: str | None, line: str, guard: Guard) -> None:
        self._socket, self._line, self._guard = socket, line, guard
        # Who waits for the desk must not take every thread of the page.
        self._limiter = CapacityLimiter(_AT_A_TIME)

    async def look(self, request: DeskRequest) -> tuple[Any, bytes]:
        """What the desk answers to a look.

        Raises:
            ApiError: there is none, it does not answer, or what is asked for is not there.
        """
        try:
            return await self._asked(request)
        except UnavailableError as error:
            raise ApiError(503, "no_desk", f"{error}") from error

    async def act(self, account: Account, act: Act, about: str, reason: str, request: DeskRequest) -> Any:
        """Have something done, between two records.

        Raises:
            ApiError: the desk refuses, or does not answer.
        """
        await self._guard.record(account, act, about=about, why=reason, result=BEGUN)
        try:
            value, _ = await self._asked(request)
        except ApiError as error:
            await self._guard.record_end(account, act, about, reason, f"refused: {error.sentence}")
            raise
        except UnavailableError as error:
            await self._guard.record_end(account, act, about, reason, f"not known: {error}")
            raise ApiError(503, "no_desk", str(error)) from error
        await self._guard.record_end(account, act, about, reason, "done")
        return value

    async def _asked(self, request: DeskRequest) -> tuple[Any, bytes]:
        socket = self._socket
        if socket is None:
            raise ApiError(
                404, "no_teaching", "Nothing can be taught from this page: line.teach_socket is not set."
            )
        meant = msgspec.structs.replace(request, line=self._line)
        answer, picture = await to_thread.run_sync(lambda: ask_desk(socket, meant), limiter=self._limiter)
        if answer.what == "unavailable":
            raise UnavailableError(answer.detail)
        if answer.what:
            raise ApiError(409, answer.what, answer.detail)
        return answer.value, picture


def desk_person(account: Account, reason: str) -> DeskPerson:
    """Who asks the desk, and why."""
    return DeskPerson(
        account.name[:64], account.role, account.door[:100], printable(reason)[:_LONGEST_REASON]
    )
