"""Which frame belongs to which trigger. Pure: time is handed in.

A frame's exposure is reckoned at `captured_ns - latency_ns`, the earliest it can have been. Frames of a
camera come in the order of their exposure, and a trigger is dated by its arrival, so when a frame comes every
trigger before its exposure is known. Both rules give a frame to one trigger at most; in doubt a trigger goes
without.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from inspectd.records import FrameRef, View


class Settled(NamedTuple):
    """What became certain: each view and each frame handed to a matcher comes out once."""

    matched: list[tuple[View, FrameRef]]
    missed: list[View]
    unclaimed: list[FrameRef]


class Matcher(Protocol):
    """Pairs one camera's views, opened by triggers, with its frames."""

    waiting: list[View]
    """Views that have no frame yet, oldest first."""

    def expect(self, view: View) -> None:
        """A trigger came: one of the frames before or after it is wanted."""

    def frame(self, frame: FrameRef) -> None:
        """A frame came."""

    def settle(self, now_ns: int) -> Settled:
        """Say what is certain at `now_ns`; call it after every frame and at `wake_ns`."""

    def give_up(self) -> Settled:
        """Let go of every view and every frame: nothing more will come."""

    def wake_ns(self) -> int | None:
        """When something becomes certain by itself; None when never."""


class FirstAfter:
    """The first frame exposed after the trigger, and before the next one.

    A frame belongs to the newest trigger before its exposure. Were it given to an older one that still waits,
    one lost frame would shift every later part by one.
    """

    def __init__(self, window_ns: int, latency_ns: int) -> None:
        """Wait for a frame until `window_ns` after the trigger, or the view's deadline if that is sooner."""
        self.waiting: list[View] = []
        self._window_ns = window_ns
        self._latency_ns = latency_ns
        self._frames: list[FrameRef] = []
        self._closed_ns = -1  # arrival of the newest trigger that waits no more

    def expect(self, view: View) -> None:
        """A trigger came."""
        self.waiting.append(view)

    def frame(self, frame: FrameRef) -> None:
        """A frame came."""
        self._frames.append(frame)

    def settle(self, now_ns: int) -> Settled:
        """Give each frame to its trigger; what no trigger wants now, none will want."""
        settled = Settled([], [], [])
        self._miss(settled, [view for view in self.waiting if self._end_ns(view) <= now_ns])
        frames, self._frames = self._frames, []
        for frame in frames:
            view = self._owner(frame.captured_ns - self._latency_ns)
            if view is None:
                settled.unclaimed.append(frame)
                continue
            settled.matched.append((view, frame))
            self._leave(view)
            self._miss(settled, [older for older in self.waiting if older.began_ns <= view.began_ns])
        return settled

    def give_up(self) -> Settled:
        """Miss every view."""
        settled = Settled([], [], self._frames)
        self._frames = []
        self._miss(settled, list(self.waiting))
        return settled

    def wake_ns(self) -> int | None:
        """The end of the first window."""
        return min(map(self._end_ns, self.waiting), default=None)

    def _owner(self, exposed_ns: int) -> View | None:
        before = [view for view in self.waiting if self._closed_ns < view.began_ns < exposed_ns]
        return before[-1] if before else None

    def _miss(self, settled: Settled, views: list[View]) -> None:
        for view in views:
            settled.missed.append(view)
            self._leave(view)

    def _leave(self, view: View) -> None:
        self.waiting.remove(view)
        self._closed_ns = max(self._closed_ns, view.began_ns)

    def _end_ns(self, view: View) -> int:
        return min(view.began_ns + self._window_ns, view.deadline_ns)


class _Exposure:
    """A frame's place in time; it stays when the frame is claimed, so that nobody takes the next one."""

    def __init__(self, at_ns: int, frame: FrameRef) -> None:
        self.at_ns = at_ns
        self.frame: FrameRef | None = frame


class Nearest:
    """The frame nearest in time, where the trigger is also the nearest to the frame.

    A pair is certain when no nearer frame can come (one after the trigger is there, or the window is over)
    and no nearer trigger can (as much time has passed since the exposure as lies between the two). A trigger
    whose nearest frame belongs to another one is missed: the second nearest shows another part.
    """

    def __init__(self, window_ns: int, before_ns: int, latency_ns: int, history: int) -> None:
        """Take frames from `before_ns` before to `window_ns` after the trigger.

        Args:
            window_ns: the frame must have arrived by then.
            before_ns: how long before the trigger the exposure may be.
            latency_ns: longest time from an exposure to its stamp.
            history: unclaimed frames held at most; the oldest leaves for the next.
        """
        self.waiting: list[View] = []
        self._window_ns = window_ns
        self._before_ns = before_ns
        self._latency_ns = latency_ns
        self._history = history
        self._exposures: list[_Exposure] = []
        self._newest_ns = -1
        self._wake_ns: int | None = None

    def expect(self, view: View) -> None:
        """A trigger came."""
        self.waiting.append(view)

    def frame(self, frame: FrameRef) -> None:
        """A frame came."""
        exposure = _Exposure(frame.captured_ns - self._latency_ns, frame)
        self._newest_ns = max(self._newest_ns, exposure.at_ns)
        self._exposures.append(exposure)

    def settle(self, now_ns: int) -> Settled:
        """Decide every view that can be decided, then let go of frames that no trigger can want any more."""
        settled = Settled([], [], [])
        while any(self._decide(view, now_ns, settled) for view in list(self.waiting)):
            pass  # begin again: a view that leaves may free another one's frame
        self._forget(now_ns, settled)
        times = [time_ns for view in self.waiting for time_ns in self._times(view) if time_ns > now_ns]
        self._wake_ns = min(times, default=None)
        return settled

    def give_up(self) -> Settled:
        """Miss every view and let go of every frame."""
        held = [exposure.frame for exposure in self._exposures if exposure.frame is not None]
        settled = Settled([], self.waiting, held)
        self.waiting, self._exposures, self._wake_ns = [], [], None
        return settled

    def wake_ns(self) -> int | None:
        """The next end of a window, or the time from which a frame is uncontested."""
        return self._wake_ns

    def _decide(self, view: View, now_ns: int, settled: Settled) -> bool:
        """Decide one view; False when it has to wait."""
        over = self._end_ns(view) <= now_ns
        nearest = self._nearest(view)
        if nearest is None or not (over or self._newest_ns >= view.began_ns):
            return over and self._miss(view, settled)
        if nearest.frame is None or view.deadline_ns <= now_ns:
            return self._miss(view, settled)
        owner = min(self.waiting, key=lambda other: abs(other.began_ns - nearest.at_ns))
        if owner is not view or now_ns < self._uncontested_ns(view, nearest):
            return False
        settled.matched.append((view, nearest.frame))
        nearest.frame = None
        self.waiting.remove(view)
        return True

    def _miss(self, view: View, settled: Settled) -> bool:
        settled.missed.append(view)
        self.waiting.remove(view)
        return True

    def _nearest(self, view: View) -> _Exposure | None:
        first_ns, last_ns = view.began_ns - self._before_ns, view.began_ns + self._window_ns
        wanted = [exposure for exposure in self._exposures if first_ns <= exposure.at_ns <= last_ns]
        return min(wanted, key=lambda exposure: abs(exposure.at_ns - view.began_ns), default=None)

    def _forget(self, now_ns: int, settled: Settled) -> None:
        oldest_ns = min([now_ns, *(view.began_ns for view in self.waiting)]) - self._before_ns
        old = [exposure for exposure in self._exposures if exposure.at_ns < oldest_ns]
        self._exposures = [exposure for exposure in self._exposures if exposure.at_ns >= oldest_ns]
        held = [exposure for exposure in self._exposures if exposure.frame is not None]
        for exposure in [*old, *held[: max(0, len(held) - self._history)]]:
            if exposure.frame is not None:
                settled.unclaimed.append(exposure.frame)
                exposure.frame = None

    def _times(self, view: View) -> list[int]:
        nearest = self._nearest(view)
        uncontested = [] if nearest is None else [self._uncontested_ns(view, nearest)]
        return [self._end_ns(view), view.deadline_ns, *uncontested]

    def _uncontested_ns(self, view: View, exposure: _Exposure) -> int:
        """From when on no trigger that is nearer to the exposure than this one can come."""
        return max(view.began_ns, 2 * exposure.at_ns - view.began_ns)

    def _end_ns(self, view: View) -> int:
        return min(view.began_ns + self._window_ns, view.deadline_ns)
