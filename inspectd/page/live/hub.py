"""What every tab is told: the line's state, rows, events and pictures. Belongs to the event loop."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import msgspec

from inspectd.client import Event, Heartbeat, PartVerdict, Verdict
from inspectd.client.locked_out import locked_out
from inspectd.page.line.answered import Answered
from inspectd.page.line.counts import PartCounts
from inspectd.page.line.link import Live
from inspectd.page.line.orders import OrderFile
from inspectd.page.line.state import LineNow
from inspectd.page.live.pictures import LivePicture, Strip, TabPictures
from inspectd.page.rows import row_of
from inspectd.page.settings import PageConfig
from inspectd.page.told import (
    ToldBothCounts,
    ToldClock,
    ToldLineCounted,
    ToldLineEvent,
    ToldLineState,
    ToldRow,
)
from inspectd.shifts import shift_began_ms

MOST_ROWS: Final = 50
MOST_TABS: Final = 100
_STATE_SECONDS: Final = 0.1
"""The state is put together at most so often, for all tabs together."""

_Item = TypeVar("_Item")

_encoder: Final = msgspec.json.Encoder()


class Told(Generic[_Item]):
    """A list that only grows, of which the last are kept, so that each reader knows how many it missed."""

    def __init__(self, kept: int) -> None:
        self.number = 0
        self._items: deque[_Item] = deque(maxlen=kept)

    def add(self, item: _Item) -> None:
        """One more."""
        self._items.append(item)
        self.number += 1

    def after(self, number: int) -> tuple[list[_Item], int]:
        """What came after so many, and how many of these are not kept any more."""
        new = min(self.number - number, len(self._items))
        return list(self._items)[len(self._items) - new :], self.number - number - new


class OpenTab:
    """One tab's side of the hub.

    Attributes:
        pictures: that it still has to get.
        clock: its question for the page's clock, to be answered.
        news: is set when there may be something to send.
        rows_seen: rows it was sent, or missed.
        events_seen: the same of events.
    """

    def __init__(self, rows_seen: int, events_seen: int) -> None:
        self.pictures = TabPictures()
        self.clock: ToldClock | None = None
        self.news = asyncio.Event()
        self.rows_seen, self.events_seen = rows_seen, events_seen


class LiveHub:
    """Takes in what the bus says, and has it ready for tabs.

    Args:
        settings: the page's.
        counts: of parts.
        orders: the order under way.
        clock: seconds on a clock that never goes back.
        clock_ms: milliseconds since 1970, UTC.
    """

    def __init__(
        self,
        settings: PageConfig,
        counts: PartCounts,
        orders: OrderFile,
        *,
        clock: Callable[[], float] = time.monotonic,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._view, self._zone = settings.view, settings.zone
        self._counts, self._orders = counts, orders
        self._clock, self.clock_ms = clock, clock_ms
        self.line = LineNow(clock, clock_ms, lambda: "; ".join(locked_out.problems().values()))
        self.rows: Told[ToldRow] = Told(MOST_ROWS)
        self.events: Told[ToldLineEvent] = Told(MOST_ROWS)
        self.strip = Strip()
        self.tabs: set[OpenTab] = set()
        self.wanted: frozenset[str] = frozenset()
        """The line's cameras that some tab shows; read by the thread that reads pictures."""
        self._state: ToldLineCounted | None = None
        self._state_at = float("-inf")
        self._state_number = 0
        self.count_anew()  # before the first verdict is read

    # --- from the bus -------------------------------------------------------------------------------------

    def take(self, messages: list[Live], *, is_old: bool = False) -> None:
        """Take in what was published; `is_old`: while nobody read it, so that it says nothing of now."""
        for message in messages:
            match message:
                case Heartbeat() if is_old:
                    continue
                case Heartbeat():
                    self.line.see_heartbeat(message)
                    self._find_wanted()
                case Event():
                    self.line.see_event(message)
                    self.events.add(_event(message))
                case Verdict() | PartVerdict():
                    if not is_old:
                        self.line.see_verdict(message)
                    self.rows.add(row_of(message))
        self._wake()

    def take_status(self, answer: Answered) -> None:
        """Take in the line's answer on how it is."""
        self.line.see_status(answer)

    def take_picture(self, picture: LivePicture) -> None:
        """Take in a picture; tabs that are behind get it in place of an older one."""
        picture = msgspec.structs.replace(picture, taken_at=self.line.taken_at(picture.captured_utc_ns))
        self.strip.add(picture)
        for tab in self.tabs:
            if tab.pictures.offer(picture):
                tab.news.set()

    # --- for tabs -----------------------------------------------------------------------------------------

    def open_tab(self) -> OpenTab:
        """A new tab; it gets the last rows and events that there are."""
        tab = OpenTab(max(0, self.rows.number - MOST_ROWS), max(0, self.events.number - MOST_ROWS))
        self.tabs.add(tab)
        return tab

    def close_tab(self, tab: OpenTab) -> None:
        """It is gone."""
        self.tabs.discard(tab)
        self._find_wanted()

    def show(self, tab: OpenTab, cameras: frozenset[str]) -> None:
        """A tab shows these cameras."""
        tab.pictures.show(cameras)
        self._find_wanted()

    def state(self) -> tuple[int, ToldLineCounted]:
        """The state as it is now, and a number that changes with all of it but times that run."""
        now = self._clock()
        if self._state is None or now - self._state_at >= _STATE_SECONDS:
            self._state_at = now
            counts, target = self._said_counts(), self._view.takt_target_seconds
            state: ToldLineCounted = {
                **self.line.said(),
                "counts": counts,
                "yield": counts["shift"]["yield"],
                "takt_target_ms": None if target is None else round(target * 1000),
            }
            if self._state is None or _lasting(state) != _lasting(self._state):
                self._state_number += 1
            self._state = state
        return self._state_number, self._state

    def picture_message(self, picture: LivePicture) -> bytes:
        """A picture as tabs get it, with how old it is."""
        return picture.message(self.clock_ms(), self._clock())

    def state_message(self) -> tuple[int, str]:
        """The same as tabs get it."""
        number, state = self.state()
        told: ToldLineState = {"t": "state", "server_ms": self.clock_ms(), **state}
        return number, _encoder.encode(told).decode()

    def _said_counts(self) -> ToldBothCounts:
        self.count_anew()
        order, of_order = self._orders.order, self._counts.sums("order")
        shift = self._counts.sums("shift")
        assert shift is not None  # it was begun just now
        return {
            "shift": shift,
            "order": None if order is None or of_order is None else {"name": order.name, **of_order},
        }

    def count_anew(self) -> None:
        """Begin to count for a shift or an order that has begun; to be called every few seconds."""
        now_ms = self.clock_ms()
        began_ms = shift_began_ms(now_ms, self._view.shift_starts, self._zone)
        self._counts.begin("shift", began_ms, now_ms)
        order = self._orders.order
        self._counts.begin("order", order.from_ms if order else None, now_ms)

    def _find_wanted(self) -> None:
        """Cameras that the line has, and no other text that a tab sends: it becomes a topic on the bus."""
        shown = frozenset(camera for tab in self.tabs for camera in tab.pictures.shown)
        self.wanted = shown & self.line.cameras.keys()

    def _wake(self) -> None:
        for tab in self.tabs:
            tab.news.set()


def _event(event: Event) -> ToldLineEvent:
    return {
        "ms": event.utc_ns // 1_000_000,
        "kind": event.severity,
        "name": event.event,
        "camera": event.camera,
        "text": event.detail,
        "args": {} if event.process is None else {"process": event.process},
    }


def _lasting(state: ToldLineCounted) -> dict[str, Any]:
    """The state without what changes by itself, or with every heartbeat."""
    bus = {name: value for name, value in state["bus"].items() if name not in {"heartbeat_age_ms", "seq"}}
    cameras = [{k: v for k, v in camera.items() if k != "frame_age_ms"} for camera in state["cameras"]]
    words = {**state["words"], "args": {}}
    return {**state, "bus": bus, "cameras": cameras, "words": words, "takt_ms": None, "clock_ahead_ms": None}
