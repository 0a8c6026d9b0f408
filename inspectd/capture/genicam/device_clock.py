"""A camera's own clock, and the machine's. Pure: time is handed in.

A camera stamps a frame by its own clock, which began at any time and runs up to some hundred ppm too fast or
slow. `arrival - stamp` is an unknown constant that drifts, plus each frame's delay on its way. Frames that
were not delayed lie on its lower envelope: a line below all points, touching those of the quickest. The line
that lies closest below is the edge of the lower convex hull over the middle of the window (Moon, Skelly and
Towsley, "Estimation and removal of clock skew from network delay measurements", INFOCOM 1999, solve the same
linear program).
"""

from __future__ import annotations

from typing import Final, NamedTuple

_BUCKET_NS: Final = 250_000_000
"""Of so much device time the quickest frame is kept."""
_WINDOW_NS: Final = 30_000_000_000
_FEWEST: Final = 32
"""So many are kept however old they are: a line may see a part a minute."""
_STEADY_NS: Final = 4_000_000_000
"""From a window of this length on, the drift is taken from it."""
_STEADY_BUCKETS: Final = 8
MOST_DRIFT: Final = 6e-4
"""Two quartz clocks that drift further apart than 0.6 ms a second are broken."""
_LEFT_DRIFT: Final = 5e-5
"""What the fitted drift may be wrong by, and clocks change with temperature."""
_SLACK_NS: Final = 400_000
"""What the envelope may be wrong by: the quickest frames of a bucket are not all equally quick."""
_AHEAD_NS: Final = 20_000_000
"""Frames so much quicker than all before show that the clock jumped ahead; one alone has an odd stamp."""
_BEHIND_NS: Final = 5_000_000
"""A frame that comes so much later than the envelope allows was held up, or the clock went back."""
_LITTLE_NS: Final = 20_000_000
"""What comes late by less, all alike, may take as much longer now: it stays in doubt by that much."""
_WITNESSES: Final = 8
"""So many frames in a row that were waited for are late for good. Of a camera that says its time, which shows
how old each is, and that are equally late, the clock went back."""
_SAID_EVERY_NS: Final = 60_000_000_000
_AS_BEFORE_NS: Final = 60_000_000_000
"""Frames that came late for some minutes, then at once earlier again, are trusted after so long."""
_AGREE_NS: Final = 5_000_000
_QUICKER_NS: Final = 5_000_000
"""A frame so much quicker than all before it shows that they were old, and nothing of itself."""


class FrameSpan(NamedTuple):
    """When a frame was stamped, on the machine's clock: at `captured_ns` or up to `doubt_ns` later."""

    captured_ns: int
    doubt_ns: int


class DeviceClock:
    """Places the device's stamps on the machine's clock.

    A frame that is the quickest so far may have been held up itself, by anything up to the time since the
    camera was started: it is dated only once another one came no quicker.

    Frames that come late were held up, by the camera too, which may give each at the next signal only; or its
    clock went back. Only its own time tells these apart. Without it such a frame may be as old as its stamp
    says or as young as its arrival, and that stays so as long as they come late.

    A camera that was set to another exposure time gives its frames as much later or earlier after their
    stamps, or not, as it stamps the beginning or the end of the exposure. Until frames show which, one may be
    either. What is later still is late.
    """

    def __init__(self) -> None:
        self._points: list[tuple[int, int]] = []
        """Of each bucket the device's time and the offset of its quickest frame, oldest first."""
        self._line: tuple[int, int, float] | None = None
        """A point of the envelope and its slope; None: to be fitted anew."""
        self._last: tuple[int, int] | None = None
        """Stamp and offset of the last frame."""
        self._late = self._alike = self._overdue = 0
        """Frames in a row that were waited for and late; equally late; late, whether waited for or not."""
        self._late_ns = self._overdue_ns = self._usual_ns = 0
        """How late the last of either was, and what the envelope may have been wrong by then, at the most."""
        self._unsure_ns = 0
        """How much later frames came from some moment on, little and for good: so much older each may be."""
        self._drifted_ns = 0
        """What the clocks may have drifted at most while frames came late: the same."""
        self._returned_ns: int | None = None
        """Stamp of the frame that came so much earlier than the late ones before; None: they drifted back."""
        self._above_ns = self._room_ns = self._moved_ns = 0
        """By its exposure a frame may come so much after the envelope: one taken with the present exposure
        of a camera that stamps its beginning; any; one of a camera that stamps the end."""
        self._on_time_ns: list[int] = []
        """How far from the envelope the last frames were that were waited for and on time."""
        self._ahead_ns: list[int] = []
        """By how much the last frames, those in a row, were too quick to be of this clock."""
        self._say_ns = 0
        self._is_lost = False
        self._has_waited = False
        self._is_confirmed = False
        """The quickest frame was not the only one."""
        self._remark = ""

    def place(
        self, device_ns: int, arrival_ns: int, *, waited: bool, is_bounded: bool = False
    ) -> FrameSpan | None:
        """When this frame was stamped; None where nobody can know.

        Args:
            device_ns: the frame's stamp, on the device's clock.
            arrival_ns: when it was there, on the machine's.
            waited: the reader had nothing left to read, and waited for this frame.
            is_bounded: the camera's own answer (`asked_time`) shows how old it is at least.
        """
        if device_ns == 0:
            return None
        offset_ns = arrival_ns - device_ns
        last, self._last = self._last, (device_ns, offset_ns)
        is_late = False
        if last is not None and device_ns <= last[0]:
            back_ms = (offset_ns - last[1]) / 1e6
            self._restart(f"the camera's clock went back by {back_ms:.0f} ms", is_bounded=is_bounded)
        elif self._has_waited and self._is_ahead(device_ns, offset_ns):
            if not self._has_jumped():
                self._last = last
                return None
            ahead_ms = self._ahead_ns[-1] / 1e6
            self._restart(f"the camera's clock jumped ahead by {ahead_ms:.0f} ms", is_bounded=is_bounded)
        elif self._has_waited:
            is_late = self._take(device_ns, offset_ns, waited=waited, is_bounded=is_bounded)
        self._has_waited = self._has_waited or waited
        is_quickest = self._is_quickest(device_ns, offset_ns)
        if is_quickest and self._points and self._unsure_ns:  # as before they came late
            left_ns = self._unsure_ns - (self._baseline(device_ns) - offset_ns)
            self._unsure_ns = left_ns if left_ns > _BEHIND_NS else 0
            self._begin_anew()
        if not is_late and not self._late:  # nobody knows what one shows that is late
            self._learn(device_ns, offset_ns)
        self._is_confirmed = self._is_confirmed or (self._has_waited and not is_quickest)
        if not self._has_waited:
            return None  # every frame so far may have lain here, for nobody knows how long
        if (is_quickest or self._is_lost) and not is_bounded:
            return None
        return self._span(device_ns, arrival_ns)

    def _take(self, device_ns: int, offset_ns: int, *, waited: bool, is_bounded: bool) -> bool:
        """Take in how late a frame came; whether it still looks late."""
        is_late = self._looks_late(device_ns, offset_ns, is_bounded=is_bounded)
        if waited:
            self._count_late(device_ns, offset_ns, is_late=is_late)
        if is_bounded and self._alike >= _WITNESSES:
            late_ms = f"{self._late_ns / 1e6:.0f} ms"
            what = f"the camera's clock went back by {late_ms}, or its frames take as much longer"
            self._restart(what, is_bounded=True)
            return False
        if not is_bounded:
            self._say_late(device_ns)
            if self._alike >= _WITNESSES and self._late_ns <= _LITTLE_NS:
                self._unsure_ns += self._late_ns + self._room_ns
                self._begin_anew()
                self._remember(device_ns, offset_ns)
                return False
        if waited and not is_late:
            self._settle(device_ns, offset_ns)
        return is_late

    def expect_other_delays(self, longer_ns: int) -> None:
        """The camera was set to expose that much longer, or shorter: frames may come later or earlier so."""
        if not self._points:
            return
        self._above_ns += longer_ns
        if self._above_ns < 0:  # shorter than any since it is known how frames come
            self._move(self._above_ns)
            self._room_ns -= self._above_ns
            self._moved_ns -= self._above_ns
            self._above_ns = 0
        self._room_ns = max(self._room_ns, self._above_ns)
        self._on_time_ns.clear()

    def glance(self, device_ns: int, arrival_ns: int) -> FrameSpan | None:
        """When a frame was stamped that is not whole; nothing is learnt of it: its stamp may be another's.

        Args:
            device_ns: its stamp, on the device's clock.
            arrival_ns: when it was there, on the machine's.
        """
        if device_ns == 0 or not self._has_waited or self._is_lost:
            return None
        return self._span(device_ns, arrival_ns)

    def _span(self, device_ns: int, arrival_ns: int) -> FrameSpan:
        baseline_ns, slack_ns = self._baseline(device_ns), self._slack(device_ns)
        unsure_ns = self._unsure_ns + self._drifted_ns
        first_ns = min(arrival_ns, device_ns + baseline_ns - slack_ns - unsure_ns)
        # One that looks late was held up, or the clock went back: it may be as young as its arrival.
        is_late = self._late or unsure_ns
        on_time_ns = min(arrival_ns, device_ns + baseline_ns + self._room_ns + slack_ns)
        last_ns = arrival_ns if is_late else on_time_ns
        return FrameSpan(first_ns, last_ns - first_ns)

    def take_remark(self) -> str:
        """Oddities of the device's clock since the last call, in words; empty when there were none."""
        remark, self._remark = self._remark, ""
        return remark

    def _restart(self, what: str, *, is_bounded: bool) -> None:
        # How late frames come that are measured anew is not known any more.
        self._is_lost = self._is_lost or (self._late >= _WITNESSES and not is_bounded)
        self._remark = f"{what}; " + (
            "its frames came late before, so none is dated until it is opened anew"
            if self._is_lost and not is_bounded
            else "synchronised again"
        )
        self._begin_anew()
        if is_bounded:
            self._unsure_ns = self._drifted_ns = 0
        self._has_waited = self._is_confirmed = False

    def _begin_anew(self) -> None:
        self._points.clear()
        self._line = None
        self._late = self._alike = self._overdue = 0
        self._above_ns = self._room_ns = self._moved_ns = 0
        self._on_time_ns.clear()
        self._ahead_ns.clear()

    def _is_ahead(self, device_ns: int, offset_ns: int) -> bool:
        """Note whether a frame is quicker than any of this clock can be."""
        ahead_ns = self._baseline(device_ns) - offset_ns
        if ahead_ns <= self._slack(device_ns) + self._unsure_ns + self._drifted_ns + _AHEAD_NS:
            if self._ahead_ns:
                odd_ms = self._ahead_ns[-1] / 1e6
                self._remark = f"a stamp was {odd_ms:.0f} ms ahead of the camera's others: it was left out"
            self._ahead_ns.clear()
            return False
        self._ahead_ns.append(ahead_ns)
        return True

    def _has_jumped(self) -> bool:
        """Whether frames that are too quick show that the clock jumped: two alike, or many in a row."""
        last_ns = self._ahead_ns[-2:]
        is_alike = len(last_ns) == 2 and max(last_ns) - min(last_ns) <= _AGREE_NS
        return is_alike or not self._is_confirmed or len(self._ahead_ns) >= _WITNESSES

    def _late_by(self, device_ns: int, offset_ns: int) -> int:
        """How much later a frame is than the envelope and what the camera was set to allow."""
        return offset_ns - self._baseline(device_ns) - self._room_ns

    def _looks_late(self, device_ns: int, offset_ns: int, *, is_bounded: bool) -> bool:
        """Note whether a frame is later than the envelope allows, wherever that may lie.

        Where many were late in a row and then one is not, it may still be late by what the clocks may have
        drifted meanwhile: that stays in doubt, for good unless it is little and it came at once much earlier.
        """
        slack_ns, late_ns = self._slack(device_ns), self._late_by(device_ns, offset_ns)
        is_for_good = self._overdue >= _WITNESSES
        if not is_for_good:
            self._usual_ns = slack_ns
        has_dropped = is_for_good and self._overdue_ns - late_ns >= _LITTLE_NS
        if late_ns > _BEHIND_NS + (slack_ns if has_dropped else self._usual_ns):
            self._overdue, self._overdue_ns = self._overdue + 1, late_ns
            if self._overdue >= _WITNESSES:
                self._returned_ns = None
            return True
        drift_ns = slack_ns - self._usual_ns
        if not is_bounded and drift_ns > _SLACK_NS:
            self._drifted_ns = max(self._drifted_ns, drift_ns)
        if is_for_good:
            self._returned_ns = device_ns if has_dropped else None
        is_back = self._returned_ns is not None and device_ns - self._returned_ns > _AS_BEFORE_NS
        if is_back and self._drifted_ns <= _LITTLE_NS:
            self._drifted_ns = 0
        self._overdue = 0
        return False

    def _count_late(self, device_ns: int, offset_ns: int, *, is_late: bool) -> None:
        if not is_late:
            self._late = self._alike = self._say_ns = 0
            return
        late_ns = self._late_by(device_ns, offset_ns)
        agrees = self._late > 0 and abs(late_ns - self._late_ns) <= _AGREE_NS
        self._alike = self._alike + 1 if agrees else 1
        self._late, self._late_ns = self._late + 1, late_ns

    def _settle(self, device_ns: int, offset_ns: int) -> None:
        """One on time; enough of them show how late frames come by the present exposure."""
        if not self._room_ns:
            return
        self._on_time_ns.append(offset_ns - self._baseline(device_ns))
        del self._on_time_ns[:-_WITNESSES]
        last_ns = self._on_time_ns
        if len(last_ns) == _WITNESSES and max(last_ns) - min(last_ns) <= _AGREE_NS:
            self._move(max(0, min(last_ns)))
            self._above_ns = self._room_ns = self._moved_ns = 0
            self._on_time_ns.clear()

    def _say_late(self, device_ns: int) -> None:
        if self._late >= _WITNESSES and device_ns >= self._say_ns:
            self._say_ns = device_ns + _SAID_EVERY_NS
            self._remark = (
                f"the last {self._late} frames came late, now by {self._late_ns / 1e6:.0f} ms: the camera or "
                "the network holds them back, or its clock went back; its own time would tell, and is not "
                "known to 5 ms. Until they come as before, or the camera is opened anew, each may be that "
                "old (docs/cameras.md)"
            )

    def _is_quickest(self, device_ns: int, offset_ns: int) -> bool:
        """Whether it came that much quicker than all before it, or is the first."""
        if not self._points:
            return True
        return offset_ns < self._baseline(device_ns) - self._slack(device_ns) - _QUICKER_NS

    def _learn(self, device_ns: int, offset_ns: int) -> None:
        """Make a frame one of the envelope's where it is known how late it comes by its exposure."""
        if not self._room_ns:
            self._remember(device_ns, offset_ns)
            return
        after_ns, near_ns = offset_ns - self._baseline(device_ns), self._slack(device_ns) + _SLACK_NS
        for by_exposure_ns in (0, self._above_ns, self._moved_ns):
            if abs(after_ns - by_exposure_ns) <= near_ns:
                self._remember(device_ns, offset_ns - by_exposure_ns)
                return

    def _move(self, by_ns: int) -> None:
        self._points = [(device_ns, offset_ns + by_ns) for device_ns, offset_ns in self._points]
        self._line = None

    def _remember(self, device_ns: int, offset_ns: int) -> None:
        points = self._points
        if points and device_ns // _BUCKET_NS == points[-1][0] // _BUCKET_NS:
            if offset_ns < points[-1][1]:
                points[-1] = (device_ns, offset_ns)
                self._line = None
        else:
            points.append((device_ns, offset_ns))
            self._line = None
        while len(points) > _FEWEST and device_ns - points[0][0] > _WINDOW_NS:
            del points[0]

    def _is_steady(self) -> bool:
        points = self._points
        return len(points) >= _STEADY_BUCKETS and points[-1][0] - points[0][0] >= _STEADY_NS

    def _slack(self, device_ns: int) -> int:
        """How far the envelope may be off at this moment."""
        if self._is_steady():
            return _SLACK_NS + int(_LEFT_DRIFT * max(0, device_ns - self._points[-1][0]))
        return _SLACK_NS + int(MOST_DRIFT * (device_ns - self._points[0][0]))

    def _baseline(self, device_ns: int) -> int:
        """Offset of a frame that nothing delayed, at this moment of the device's clock."""
        x, y, drift = self._line = self._line or self._fit()
        return y + int(drift * (device_ns - x))

    def _fit(self) -> tuple[int, int, float]:
        if not self._is_steady():
            return 0, min(offset for _, offset in self._points), 0.0
        hull = _lower_hull(self._points)
        middle = (self._points[0][0] + self._points[-1][0]) // 2
        right = next(index for index, point in enumerate(hull) if point[0] >= middle) or 1
        (x0, y0), (x1, y1) = hull[right - 1], hull[right]
        return x1, y1, max(-MOST_DRIFT, min(MOST_DRIFT, (y1 - y0) / (x1 - x0)))


def _lower_hull(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Points of the lower convex hull, from left to right; `points` are in that order."""
    hull: list[tuple[int, int]] = []
    for x, y in points:
        while len(hull) >= 2:
            (x0, y0), (x1, y1) = hull[-2], hull[-1]
            if (x1 - x0) * (y - y0) > (y1 - y0) * (x - x0):
                break
            hull.pop()
        hull.append((x, y))
    return hull
