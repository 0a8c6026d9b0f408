"""Age of a live stream's frame when it arrives, by the stream's own timestamps. Pure."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

_DRIFT: Final = 2e-4
"""Two quartz clocks drift apart by less, in ms a ms: each by 0.1 ms a second at most."""

_JITTER_MS: Final = 15.0
"""A timestamp this far ahead of all before it may be a quicker delivery; further ahead it is odd. Frames that
all are late by more than this are behind; what is less may be the clocks' drift, and is followed as that."""

_LOOK_MS: Final = 1_000.0
"""The quickest frame of so long shows whether the stream is behind, or drifts."""

_BEHIND_MS: Final = 5_000.0
_SAID_EVERY_MS: Final = 60_000.0
"""A stream that is behind for so long is said to be, and again so long after that."""

_QUICKER_MS: Final = 3.0
"""Deliveries that within a second become this much quicker show that those before had waited."""

_PAUSE: Final = 1.5
"""A gap between two arrivals longer than this, against that between their timestamps, is a pause."""

_WITNESSES: Final = 3
_REMEMBERED: Final = 32
"""Odd timestamps that agree, among so many frames, are the stream's new time. One in fifty never is."""


class StreamClock:
    """Estimates a frame's age against the quickest delivery seen.

    `arrival - timestamp` of a stream is an unknown constant plus the delay of each frame. Its minimum is the
    baseline of an undelayed frame; what lies above it is delay, or the stream's clock was set back by less
    than the time between two frames, or runs slow. So the age is the most that it can be: the frame may be as
    young as its arrival.

    The baseline is a leaky minimum: it creeps up by 0.2 ms a second at most, so that it follows two clocks
    that drift apart. A stream that falls behind and stays so is no such drift: the baseline stays where it
    was, however long, and goes up and down only as the frames drift that are behind.

    No single timestamp can move it: one that lies ahead of the baseline is believed once others agree with
    it. A timestamp that runs back cannot be delay, so the baseline is then taken anew.

    Nothing is known before the stream is `settled`: until a frame was waited for, all of them may have been
    waiting here; and as long as frames come quicker and quicker, those before waited somewhere else.
    """

    def __init__(self, settle_ms: float = 1000.0) -> None:
        """Nothing is known until for `settle_ms` none came quicker than all before by more than 3 ms."""
        self._settle_ms = settle_ms
        self._quickest: deque[tuple[float, float]] = deque()
        """When each delivery quicker than all before it came, by `_flown_ms`, and its offset."""
        self._flown_ms = 0.0
        """So long the stream was seen to flow: what comes after a pause shows nothing of the pause."""
        self._has_waited = False
        self.settled = False
        self._remark = ""
        self._baseline_ms = 0.0
        self._level_ms = self._lowest_ms = 0.0
        """Offset of the quickest frames now, and the baseline at its lowest while the stream is behind."""
        self._floor_ms = math.inf
        """Of the quickest frame since `_looked_ms`."""
        self._looked_ms = self._punctual_ms = self._say_ms = 0.0
        """When that was last looked at, it was last not behind, and it is to be said that it is."""
        self._age_ms = 0.0
        self._last_arrival_ms = 0.0
        self._last_timestamp_ms: float | None = None
        self._ahead: deque[tuple[int, float]] = deque(maxlen=_WITNESSES)
        self._frames = 0

    def age_ms(self, arrival_ms: float, timestamp_ms: float | None, *, waited: bool) -> float | None:
        """Longest delay that this frame can have against an undelayed one, in ms; None: nobody can know.

        Args:
            arrival_ms: monotonic time of arrival.
            timestamp_ms: the frame's own time, on the stream's clock; None when it has none.
            waited: True when the reader had read all there was before it, and waited for this frame.
        """
        self._frames += 1
        if timestamp_ms is None or timestamp_ms == self._last_timestamp_ms:
            return None  # of two pictures for one moment, one has a wrong timestamp
        offset_ms = arrival_ms - timestamp_ms
        last_ms = timestamp_ms if self._last_timestamp_ms is None else self._last_timestamp_ms
        pace_ms = timestamp_ms - last_ms
        self._flown_ms += max(0.0, min(arrival_ms - self._last_arrival_ms, _PAUSE * pace_ms))
        self._last_arrival_ms = arrival_ms
        if self._last_timestamp_ms is None:
            self._restart(offset_ms)
        elif offset_ms < self._baseline_ms - _JITTER_MS and not self._is_witnessed(offset_ms):
            return None
        elif pace_ms < 0 and offset_ms > self._baseline_ms + _JITTER_MS:
            back_ms = offset_ms - self._baseline_ms - self._age_ms
            self._remark = f"the stream's own clock went back by {back_ms:.0f} ms; synchronised again"
            self.settled = False
            self._restart(offset_ms)
        self._last_timestamp_ms = timestamp_ms
        self._settle(offset_ms, waited=waited)
        self._follow(offset_ms, arrival_ms)
        self._age_ms = offset_ms - self._baseline_ms
        return self._age_ms if self.settled else None

    def _follow(self, offset_ms: float, arrival_ms: float) -> None:
        """Move the baseline as this frame shows."""
        self._floor_ms = min(self._floor_ms, offset_ms)
        since_ms = arrival_ms - self._looked_ms
        if since_ms >= _LOOK_MS:
            drift_ms = _DRIFT * since_ms
            moved_ms = self._floor_ms - self._level_ms
            if self._floor_ms - self._baseline_ms <= _JITTER_MS:
                self._start_from(min(self._baseline_ms + drift_ms, self._floor_ms))
                self._punctual_ms, self._say_ms = arrival_ms, arrival_ms + _BEHIND_MS
            elif abs(moved_ms) > _JITTER_MS:
                # It fell further behind, or made some of it good: what looked like drift before was none.
                self._baseline_ms, self._level_ms = self._lowest_ms, self._floor_ms
            else:
                moved_ms = max(-drift_ms, min(drift_ms, moved_ms))
                self._level_ms += moved_ms
                self._baseline_ms += moved_ms
                self._lowest_ms = min(self._lowest_ms, self._baseline_ms)
            self._note_behind(arrival_ms)
            self._floor_ms, self._looked_ms = math.inf, arrival_ms
        if offset_ms < self._baseline_ms:
            self._start_from(offset_ms)

    def _start_from(self, baseline_ms: float) -> None:
        self._baseline_ms = self._level_ms = self._lowest_ms = baseline_ms

    def _note_behind(self, arrival_ms: float) -> None:
        if self.settled and arrival_ms >= self._say_ms:
            self._say_ms = arrival_ms + _SAID_EVERY_MS
            behind_s = (arrival_ms - self._punctual_ms) / 1000
            late_ms = self._floor_ms - self._baseline_ms
            self._remark = (
                f"for {behind_s:.0f} s every frame has come late, now by {late_ms:.0f} ms: something holds "
                "them back, or the stream's own clock was set back or runs slow; until they come as before, "
                "or the camera is opened anew, each counts as perhaps that old"
            )

    def _settle(self, offset_ms: float, *, waited: bool) -> None:
        self._has_waited = self._has_waited or waited
        quickest, since_ms = self._quickest, self._flown_ms - self._settle_ms
        if not quickest or offset_ms < quickest[-1][1]:
            quickest.append((self._flown_ms, offset_ms))
        while len(quickest) > 1 and quickest[1][0] <= since_ms:
            quickest.popleft()
        stood = quickest[0][0] <= since_ms and quickest[0][1] <= quickest[-1][1] + _QUICKER_MS
        self.settled = self._has_waited and stood

    def take_remark(self) -> str:
        """Oddities of the stream's own clock since the last call, in words; empty when there were none."""
        remark, self._remark = self._remark, ""
        return remark

    def _restart(self, offset_ms: float) -> None:
        # What was behind still is: another clock does not change what lies on the way.
        self._start_from(offset_ms - (self._level_ms - self._baseline_ms))
        self._level_ms, self._floor_ms = offset_ms, math.inf
        self._looked_ms = self._punctual_ms = self._last_arrival_ms
        self._say_ms = self._punctual_ms + _BEHIND_MS
        self._quickest.clear()
        self._has_waited = False
        self._ahead.clear()

    def _is_witnessed(self, offset_ms: float) -> bool:
        """True when enough frames lately lay as far ahead; the baseline then goes where this one is."""
        ahead_ms = self._baseline_ms - offset_ms
        self._ahead.append((self._frames, offset_ms))
        recent = [offset for frame, offset in self._ahead if self._frames - frame < _REMEMBERED]
        if len(recent) < _WITNESSES or max(recent) - min(recent) > _JITTER_MS:
            if self.settled:
                self._remark = f"a timestamp lies {ahead_ms:.0f} ms ahead of those before it; ignored"
            return False
        if self.settled:
            self._remark = f"the stream's own clock jumped ahead by {ahead_ms:.0f} ms; synchronised again"
        self._restart(offset_ms)
        return True
