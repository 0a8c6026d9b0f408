"""Matches frames to triggers. Pure: time is handed in.

Neither a frame's exposure nor a trigger's coming is a moment, both are spans. With `first_after`:

    time -->
    trigger 1   [=====]                        from came_ns to received_ns
    frame A              [======]              from first_ns to last_ns, wholly after 1: it is trigger 1's
    trigger 2                       [=====]
    frame B                            [======]  may be from before or after 2 came: it is nobody's
                                              ^ B is decided once known_ns is here, at its last_ns

- A trigger came between `came_ns`, up to which everything is known to have been read, and `received_ns`, when
  it was read.
- A frame was exposed between its stamp less the camera's longest latency, and its stamp with its doubt less
  the shortest latency (`Exposure`).

A trigger is given a frame only where that is right for every moment of these spans. In doubt nobody gets it,
and the trigger goes without: no picture of another part is ever judged for it.

A frame that was lost is some time between the frame before it and the next one, and before the line heard of
it (`lose_frame`). It may have been the trigger's own, so nobody gets one that comes after it in its place.

The main process may read a frame before a trigger that came earlier. So a frame waits until every trigger is
known that can have come within its span (`known_ns`). A trigger that was refused still shows that a part is
there (`pass_by`). Frames of a camera come in the order of their exposure. Triggers of one sender are read in
the order they came; of two senders the order is known only where their spans do not overlap.
"""

from __future__ import annotations

from bisect import insort
from itertools import takewhile
from typing import Final, NamedTuple, Protocol

import msgspec

from inspectd.records import Exposure, FrameRef, PendingView, Trigger

_MANY: Final = 64
"""So many triggers are remembered before somebody asks whether the oldest can go, where no frame comes."""


class Settled(NamedTuple):
    """Outcome that became certain: each view and each frame handed to a matcher comes out once."""

    matched: list[tuple[PendingView, FrameRef]]
    missed: list[PendingView]
    unclaimed: list[FrameRef]


class Matcher(Protocol):
    """Pairs one camera's views, opened by triggers, with its frames."""

    waiting: list[PendingView]
    """Views that have no frame yet, oldest first."""
    triggers: TriggersSeen
    """Those that came, refused ones too, as far back as a frame or another trigger can still concern them."""

    @property
    def is_empty(self) -> bool:
        """Whether no view waits, and no frame is remembered."""

    def expect(self, view: PendingView) -> None:
        """Add a view, opened by a trigger newer than those before it; it waits for its frame."""

    def pass_by(self, trigger: Trigger) -> None:
        """Add a refused trigger: its part is there all the same, and the frames that show it are nobody's."""

    def add_frame(self, frame: FrameRef) -> None:
        """Add a frame, newer than those before it."""

    def lose_frame(self, now_ns: int) -> None:
        """Add a frame that was lost until now, newer than those before it; its picture never comes."""

    def settle(self, now_ns: int, known_ns: int) -> Settled:
        """Return what is certain at `now_ns`; call it after every frame and at `wake_ns`.

        Args:
            now_ns: the time.
            known_ns: every trigger that came until then has been handed over; not above `now_ns`.
        """

    def give_up(self) -> Settled:
        """Return every waiting view as missed and every held frame as unclaimed: nothing more will come."""

    def needs_known_ns(self, known_ns: int) -> int | None:
        """Next time after `known_ns` up to which all triggers have to be known for more to become certain."""

    def wake_ns(self) -> int | None:
        """When something becomes certain by itself."""


class TriggersSeen(list[Trigger]):
    """The triggers of one camera in the order they were read, those that were refused among them."""

    def __init__(self) -> None:
        """None came yet."""
        super().__init__()
        self._refused_in_turn = 0

    @property
    def forget_ns(self) -> int | None:
        """When all but the newest are known to lie behind, the oldest can go; None: they are few."""
        return self[-_MANY].received_ns + 1 if len(self) > _MANY else None

    def add_taken(self, trigger: Trigger) -> None:
        """Add one that was taken."""
        self._refused_in_turn = 0
        self.append(trigger)

    def add_refused(self, trigger: Trigger) -> None:
        """Add one that was refused or lost; of many in turn the first and the last are kept."""
        if self and trigger.received_ns < self[-1].received_ns:  # lost before what was read since
            insort(self, trigger, key=lambda each: each.received_ns)
            return
        if min(self._refused_in_turn, len(self)) > 1:
            # Both stand for it: its span, and what is not known of its order.
            between, first = self.pop(), self[-1]
            came_ns = min(first.came_ns, between.came_ns)
            self[-1] = msgspec.structs.replace(
                first,
                doubt_ns=first.received_ns - came_ns,
                source=first.source if _is_before(first, between) else "",
            )
            if not _is_before(between, trigger):
                trigger = msgspec.structs.replace(trigger, source="")
        self._refused_in_turn += 1
        self.append(trigger)


def _is_before(earlier: Trigger, later: Trigger) -> bool:
    """Whether one trigger certainly came before another that was read after it."""
    return earlier.received_ns <= later.came_ns or (earlier.source == later.source != "")


class _Held(NamedTuple):
    """A frame that waits to be decided."""

    frame: FrameRef
    lost_ns: int
    """The last moment at which a frame that was lost before it can have been exposed."""


class FirstAfter:
    """The first frame exposed after the trigger, and before the next one.

    A frame belongs to the newest trigger before its exposure. Were it given to an older one that still waits,
    one lost frame would shift every later part by one.
    """

    def __init__(self, window_ns: int, latency_ns: tuple[int, int]) -> None:
        """Wait for a frame until `window_ns` after the trigger, or the view's deadline if that is sooner.

        Args:
            window_ns: the frame must have arrived by then.
            latency_ns: shortest and longest time from an exposure to its stamp.
        """
        self.waiting: list[PendingView] = []
        self.triggers = TriggersSeen()
        self._window_ns = window_ns
        self._latency_ns = latency_ns
        self._frames: list[_Held] = []
        self._lost_ns = -1
        self._lag_ns = 0

    @property
    def is_empty(self) -> bool:
        """See `Matcher.is_empty`."""
        return not self.waiting and not self._frames

    def expect(self, view: PendingView) -> None:
        """See `Matcher.expect`."""
        self.waiting.append(view)
        self.triggers.add_taken(view.trigger)

    def pass_by(self, trigger: Trigger) -> None:
        """See `Matcher.pass_by`."""
        self.triggers.add_refused(trigger)

    def add_frame(self, frame: FrameRef) -> None:
        """See `Matcher.add_frame`."""
        self._lost_ns = min(self._lost_ns, Exposure.of(frame, self._latency_ns).last_ns)
        self._frames.append(_Held(frame, self._lost_ns))

    def lose_frame(self, now_ns: int) -> None:
        """See `Matcher.lose_frame`."""
        self._lost_ns = now_ns - self._latency_ns[0]

    def settle(self, now_ns: int, known_ns: int) -> Settled:
        """Give each frame to its trigger; what no trigger wants now, none will want."""
        settled = Settled([], [], [])
        self._lag_ns = now_ns - known_ns
        self._miss(settled, [view for view in self.waiting if _end_ns(view, self._window_ns) <= now_ns])
        while self._frames and Exposure.of(self._frames[0].frame, self._latency_ns).last_ns <= known_ns:
            frame, lost_ns = self._frames.pop(0)
            view = self._owner(Exposure.of(frame, self._latency_ns))
            if view is None:
                settled.unclaimed.append(frame)
                continue
            # Nor can a later frame be theirs.
            self._miss(settled, self.waiting[: self.waiting.index(view)])
            if lost_ns > view.trigger.came_ns:  # perhaps it was the first one, and this is another part's
                self._miss(settled, [view])
                settled.unclaimed.append(frame)
                continue
            settled.matched.append((view, frame))
            self.waiting.remove(view)
        self._forget(known_ns)
        return settled

    def give_up(self) -> Settled:
        """See `Matcher.give_up`."""
        settled = Settled([], self.waiting, [held.frame for held in self._frames])
        self.waiting, self._frames = [], []
        self.triggers.clear()
        return settled

    def needs_known_ns(self, known_ns: int) -> int | None:
        """The end of the first frame's span; without frames, where triggers can be forgotten."""
        times = [Exposure.of(held.frame, self._latency_ns).last_ns for held in self._frames[:1]]
        if self.triggers.forget_ns is not None:
            times.append(self.triggers.forget_ns)
        return min((time_ns for time_ns in times if time_ns > known_ns), default=None)

    def wake_ns(self) -> int | None:
        """The end of the first window, or when every trigger within the first frame's span is known."""
        known = [
            Exposure.of(held.frame, self._latency_ns).last_ns + self._lag_ns for held in self._frames[:1]
        ]
        return min([*(_end_ns(view, self._window_ns) for view in self.waiting), *known], default=None)

    def _owner(self, exposed: Exposure) -> PendingView | None:
        newest: Trigger | None = None
        for trigger in reversed(self.triggers):
            if newest is not None and trigger.received_ns <= newest.came_ns:
                break  # as is whatever was read before it
            if trigger.came_ns > exposed.last_ns:
                continue
            if newest is None:
                newest = trigger
            elif not _is_before(trigger, newest):
                return None
        if newest is None or newest.received_ns >= exposed.first_ns:
            return None
        return next((view for view in self.waiting if view.trigger is newest), None)

    def _miss(self, settled: Settled, views: list[PendingView]) -> None:
        for view in views:
            settled.missed.append(view)
            self.waiting.remove(view)

    def _forget(self, known_ns: int) -> None:
        """Forget triggers that came before all that wait, and before all that are still to be read."""
        certain_ns = min([known_ns, *(view.trigger.came_ns for view in self.waiting)])
        is_old = (trigger.received_ns < certain_ns for trigger in self.triggers)
        del self.triggers[: sum(takewhile(bool, is_old))]


class _Place:
    """A frame's place in time; it stays when the frame is claimed, so that nobody takes the next one.

    One that was lost has a place too, which nobody can claim.
    """

    def __init__(self, exposed: Exposure, frame: FrameRef | None) -> None:
        self.exposed = exposed
        self.frame = frame


class Nearest:
    """The frame nearest in time, where the trigger is also the nearest to the frame, of all there were.

    A pair is certain when no nearer frame can come (one after the trigger is there, or the window is over)
    and no nearer trigger can (all are known that came until as much time had passed since the exposure as
    lies between the two). A trigger whose nearest frame belongs to another one, or may, is missed: the second
    nearest shows another part.
    """

    def __init__(self, window_ns: int, before_ns: int, latency_ns: tuple[int, int], history: int) -> None:
        """Take frames from `before_ns` before to `window_ns` after the trigger.

        Args:
            window_ns: the frame must have arrived by then.
            before_ns: how long before the trigger the exposure may be.
            latency_ns: shortest and longest time from an exposure to its stamp.
            history: unclaimed frames held at most; the oldest leaves for the next.
        """
        self.waiting: list[PendingView] = []
        self.triggers = TriggersSeen()
        self._window_ns = window_ns
        self._before_ns = before_ns
        self._latency_ns = latency_ns
        self._history = history
        self._places: list[_Place] = []
        self._lost: _Place | None = None  # of those that were lost since the newest frame
        self._newest_first_ns = -1
        self._wake_ns: int | None = None

    @property
    def is_empty(self) -> bool:
        """See `Matcher.is_empty`."""
        return not self.waiting and not self._places

    def expect(self, view: PendingView) -> None:
        """See `Matcher.expect`."""
        self.waiting.append(view)
        self.triggers.add_taken(view.trigger)

    def pass_by(self, trigger: Trigger) -> None:
        """See `Matcher.pass_by`."""
        self.triggers.add_refused(trigger)

    def add_frame(self, frame: FrameRef) -> None:
        """See `Matcher.add_frame`."""
        exposed = Exposure.of(frame, self._latency_ns)
        if self._lost is not None:
            first_ns, last_ns = self._lost.exposed
            self._lost.exposed = Exposure(first_ns, min(last_ns, exposed.last_ns))
            self._lost = None
        self._newest_first_ns = exposed.first_ns
        self._places.append(_Place(exposed, frame))

    def lose_frame(self, now_ns: int) -> None:
        """See `Matcher.lose_frame`."""
        if self._places and self._places[-1] is self._lost:
            self._places.pop()  # the next one takes in both
        self._lost = _Place(Exposure(self._newest_first_ns, now_ns - self._latency_ns[0]), None)
        self._places.append(self._lost)

    def settle(self, now_ns: int, known_ns: int) -> Settled:
        """Decide every view that can be decided, then let go of frames that no trigger can want any more."""
        settled = Settled([], [], [])
        for view in list(self.waiting):
            self._decide(view, now_ns, known_ns, settled)
        self._forget(known_ns, settled)
        times = [time_ns for view in self.waiting for time_ns in self._times(view, now_ns - known_ns)]
        self._wake_ns = min((time_ns for time_ns in times if time_ns > now_ns), default=None)
        return settled

    def give_up(self) -> Settled:
        """See `Matcher.give_up`."""
        held = [place.frame for place in self._places if place.frame is not None]
        settled = Settled([], self.waiting, held)
        self.waiting, self._places, self._wake_ns = [], [], None
        self.triggers.clear()
        return settled

    def needs_known_ns(self, known_ns: int) -> int | None:
        """The end of the newest frame's span; when a frame is uncontested, or no longer remembered."""
        own = [(view, self._own(view)) for view in self.waiting]
        times = [_uncontested_ns(view, place) for view, place in own if place is not None]
        for place in self._places[-1:]:
            times += [place.exposed.last_ns, place.exposed.last_ns + self._before_ns + 1]
        if self.triggers.forget_ns is not None:
            times.append(self.triggers.forget_ns + 2 * self._before_ns)
        return min((time_ns for time_ns in times if time_ns > known_ns), default=None)

    def wake_ns(self) -> int | None:
        """The next end of a window, or the time from which a frame is uncontested."""
        return self._wake_ns

    def _decide(self, view: PendingView, now_ns: int, known_ns: int, settled: Settled) -> None:
        """Decide one view, or let it wait."""
        over = _end_ns(view, self._window_ns) <= now_ns
        place = self._own(view)
        if view.deadline_ns <= now_ns or (over and place is None):
            self._leave(view, settled.missed)
        elif place is not None and (over or self._newest_ns() >= view.began_ns):
            if place.frame is None:
                self._leave(view, settled.missed)
            elif known_ns >= _uncontested_ns(view, place):
                settled.matched.append((view, place.frame))
                place.frame = None
                self.waiting.remove(view)

    def _leave(self, view: PendingView, missed: list[PendingView]) -> None:
        missed.append(view)
        self.waiting.remove(view)

    def _newest_ns(self) -> int:
        return self._places[-1].exposed.first_ns if self._places else -1

    def _own(self, view: PendingView) -> _Place | None:
        """The frame that is this trigger's wherever both lie in their spans, by what came so far."""
        trigger = view.trigger
        last_ns = view.began_ns + self._window_ns
        wanted = [
            place
            for place in self._places
            if place.exposed.last_ns >= trigger.came_ns - self._before_ns
            and place.exposed.first_ns <= last_ns
        ]
        for index, place in enumerate(wanted):
            if (
                trigger.received_ns - self._before_ns <= place.exposed.first_ns
                and place.exposed.last_ns <= last_ns
                # A sum of two times is above twice a third where the earlier one is nearer to that.
                and all(
                    other.exposed.last_ns + place.exposed.last_ns < 2 * trigger.came_ns
                    for other in wanted[:index]
                )
                and all(
                    other.exposed.first_ns + place.exposed.first_ns > 2 * trigger.received_ns
                    for other in wanted[index + 1 :]
                )
                and self._is_nearest(trigger, place.exposed)
            ):
                return place
        return None

    def _is_nearest(self, trigger: Trigger, exposed: Exposure) -> bool:
        at = next(index for index, other in enumerate(self.triggers) if other is trigger)
        return all(
            _is_before(other, trigger) and other.received_ns + trigger.received_ns < 2 * exposed.first_ns
            for other in self.triggers[:at]
        ) and all(
            _is_before(trigger, other) and other.came_ns + trigger.came_ns > 2 * exposed.last_ns
            for other in self.triggers[at + 1 :]
        )

    def _forget(self, known_ns: int, settled: Settled) -> None:
        oldest_ns = min([known_ns, *(view.trigger.came_ns for view in self.waiting)]) - self._before_ns
        old = [place for place in self._places if place.exposed.last_ns < oldest_ns]
        self._places = [place for place in self._places if place.exposed.last_ns >= oldest_ns]
        held = [place for place in self._places if place.frame is not None]
        for place in [*old, *held[: max(0, len(held) - self._history)]]:
            if place.frame is not None:
                settled.unclaimed.append(place.frame)
                place.frame = None
        # One from further back than this is further from any frame than a trigger that may still want it.
        self.triggers[:] = [t for t in self.triggers if t.received_ns >= oldest_ns - self._before_ns]

    def _times(self, view: PendingView, lag_ns: int) -> list[int]:
        place = self._own(view)
        uncontested = [] if place is None else [_uncontested_ns(view, place) + lag_ns]
        return [_end_ns(view, self._window_ns), view.deadline_ns, *uncontested]


def _uncontested_ns(view: PendingView, place: _Place) -> int:
    """No trigger that comes after this can be nearer to the exposure than the view's own."""
    return 2 * place.exposed.last_ns - view.trigger.came_ns


def _end_ns(view: PendingView, window_ns: int) -> int:
    return min(view.began_ns + window_ns, view.deadline_ns)
