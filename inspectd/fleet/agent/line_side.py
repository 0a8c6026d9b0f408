"""What the agent hears of its line, and asks it for: as any operator would, over the bus."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

import msgspec

from inspectd import log
from inspectd.client import (
    Event,
    LiveReader,
    Reason,
    RecipeAck,
    RecipeAction,
    RecipeRefusal,
    RecipeRefusalReason,
    RecipeRequest,
    RecipeState,
    Verdict,
    ask_recipe,
    ask_status,
)
from inspectd.config.program_files import endpoint
from inspectd.errors import UnavailableError
from inspectd.fleet.agent.order import Refusal, RefusedOrderError
from inspectd.fleet.agent.settings import AgentLine
from inspectd.fleet.agent.store_side import StoredVersion
from inspectd.wire.sync import LineStatus

WHO: Final = "fleet"
"""In the line's audit file; over TCP with keys the key's name stands there."""
_TURN_SECONDS: Final = 0.2
_AGAIN_SECONDS: Final = 0.5
_ENDS_KEPT: Final = 50
_ENDED_SECONDS: Final = 10.0
"""Longer than a request waits for its answer."""
_NEVER: Final = {RecipeRefusalReason.DAMAGED, RecipeRefusalReason.UNKNOWN, RecipeRefusalReason.OTHER_LINE}
"""What asking again cannot change."""

_log: Final = logging.getLogger(__name__)


class Tally(msgspec.Struct, frozen=True):
    """Verdicts of one version of a recipe; golden parts are no production, and none of them.

    Attributes:
        began: counted since, in seconds on a clock that never goes back.
        by_place: number by evaluation, of each camera or region.
    """

    began: float
    by_place: dict[str, dict[str, int]]

    @property
    def counts(self) -> dict[str, int]:
        """Number by evaluation."""
        return dict(sum(map(Counter, self.by_place.values()), Counter[str]()))

    @property
    def reject_share(self) -> float | None:
        """Share of what is no pass: a part that is undecidable is rejected as one that fails is."""
        count = sum(self.counts.values())
        return (count - self.counts.get("pass", 0)) / count if count else None


class LineEar:
    """Hears what a line publishes, in a thread of its own.

    Args:
        line: the line.
        clock: seconds on a clock that never goes back.

    Raises:
        InputError: the endpoint cannot be one, or a key file cannot be used.
    """

    def __init__(self, line: AgentLine, clock: Callable[[], float]) -> None:
        self._reader = LiveReader(line.verdicts, keys=line.keys)
        self._names = (line.plant, line.name)
        self._has_said_other = False
        self._clock = clock
        self._lock = threading.Lock()
        self._ends: deque[Event] = deque(maxlen=_ENDS_KEPT)
        self._counted: tuple[str, int] | None = None
        self._tally = Tally(clock(), {})
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="line-ear", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End, and disconnect."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._reader.close()

    def begin(self, recipe: str, version: int) -> None:
        """Count the verdicts by this version from now on, and no others."""
        with self._lock:
            self._counted, self._tally = (recipe, version), Tally(self._clock(), {})

    def count(self, recipe: str, version: int) -> Tally:
        """The verdicts by this version so far; from now on others are not counted."""
        if self._counted != (recipe, version):
            self.begin(recipe, version)
        with self._lock:
            return Tally(self._tally.began, {name: dict(of) for name, of in self._tally.by_place.items()})

    def end_of(self, request: str) -> Event | None:
        """The event that ended the loading which was asked for so; None: it has not come."""
        with self._lock:
            return next((event for event in self._ends if f"({request})" in event.detail), None)

    def _listen(self) -> None:
        while not self._stop.is_set():
            message = self._reader.receive(_TURN_SECONDS)
            if isinstance(message, Event | Verdict) and (message.plant, message.line) != self._names:
                self._heard_another(message)
            elif isinstance(message, Event) and message.event in {"recipe_prepared", "recipe_failed"}:
                with self._lock:
                    self._ends.append(message)
            elif isinstance(message, Verdict):
                self._heard(message)

    def _heard_another(self, message: Event | Verdict) -> None:
        if not self._has_said_other:
            self._has_said_other = True
            log.event(
                _log, logging.ERROR, "other_line", plant=message.plant, line=message.line,
                detail=f"is at line.verdicts, expected {'/'.join(self._names)}: nothing of it counts",
            )  # fmt: skip

    def _heard(self, verdict: Verdict) -> None:
        if verdict.reason is Reason.GOLDEN:  # a check of a few would be a few rejects, and stop a rollout
            return
        with self._lock:
            if self._counted == (verdict.recipe, verdict.recipe_version):
                counts = self._tally.by_place.setdefault(verdict.place, {})
                counts[verdict.evaluation] = counts.get(verdict.evaluation, 0) + 1


class LineDesk:
    """Asks a line for what an order wants.

    Args:
        line: the line.
        ear: hears how loading ends.
        load_seconds: longest time for that.
    """

    def __init__(self, line: AgentLine, ear: LineEar, load_seconds: float) -> None:
        self._sync, self._control = endpoint(line, "sync"), endpoint(line, "control")
        self._line, self._ear, self._load_seconds = line, ear, load_seconds

    async def status(self) -> LineStatus:
        """How the line is.

        Raises:
            InputError: an endpoint or a key cannot be used, or it is another line.
            UnavailableError: it does not answer.
        """
        return await asyncio.to_thread(ask_status, self._sync, self._line.keys, line=self._line.own_names)

    async def put_in_force(self, recipe: str, stored: StoredVersion, why: str) -> None:
        """Have a version loaded beside what runs, and put in force between two parts.

        Raises:
            RefusedOrderError: the line refuses, and will again, or has another recipe under that name.
            UnavailableError: it refuses now, or does not answer.
        """
        request = RecipeRequest(
            f"fleet-{secrets.token_hex(8)}",
            RecipeAction.PREPARE,
            recipe,
            stored.version,
            WHO,
            why[:200],
            self._line.meant,
        )
        answer = await self._asked(request)
        _refuse_other(answer, stored)
        if answer.state is RecipeState.LOADING:
            await self._loaded(request, answer.name)
        answer = await self._asked(msgspec.structs.replace(request, action=RecipeAction.ACTIVATE))
        _refuse_other(answer, stored)
        if answer.in_force_utc_ns is not None:
            self._ear.begin(recipe, stored.version)

    async def _loaded(self, request: RecipeRequest, name: str) -> None:
        is_loaded: bool | None = None
        try:
            async with asyncio.timeout(self._load_seconds):
                while (end := self._ear.end_of(request.request)) is None:
                    if is_loaded is False:  # nor has the event come since, which says why
                        raise UnavailableError(f"{name}: could not be loaded; the line's log says why")
                    is_loaded = (await self.status()).has_loaded(name)
                    if is_loaded:
                        return
                    await asyncio.sleep(_AGAIN_SECONDS)
        except TimeoutError as error:
            raise UnavailableError(f"{name}: not loaded within {self._load_seconds:g} s") from error
        if end.event == "recipe_failed":
            raise UnavailableError(end.detail.replace(f" ({request.request})", ""))

    async def _asked(self, request: RecipeRequest) -> RecipeAck:
        asking = asyncio.ensure_future(asyncio.to_thread(ask_recipe, self._control, request, self._line.keys))
        try:
            answer = await asyncio.shield(asking)
        except asyncio.CancelledError:
            # Its thread goes on: what it asks for must not reach the line after what a newer order wants.
            await asyncio.wait((asking,), timeout=_ENDED_SECONDS)
            raise
        if isinstance(answer, RecipeRefusal):
            detail = f"{request.recipe}@{request.version}: the line refuses, {answer.reason}: {answer.detail}"
            if answer.reason in _NEVER:
                raise RefusedOrderError(Refusal.LINE, detail)
            raise UnavailableError(detail)
        return answer


def _refuse_other(answer: RecipeAck, stored: StoredVersion) -> None:
    """Refuse what a line has under the name of a version that is another one in its store.

    Raises:
        RefusedOrderError: it is another one.
    """
    if answer.recipe_sha256 != stored.sha256:
        raise RefusedOrderError(
            Refusal.LINE,
            f"{answer.recipe}@{answer.version}: the line has it as {answer.state} with sha256 "
            f"{answer.recipe_sha256[:12]}, expected {stored.sha256[:12]} of its store; look with `inspectd "
            "recipe verify` and `inspectd status` at what judges, and make the order anew",
        )
