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
"""Two frames that are both so much quicker than all before show that the clock jumped ahead."""
_BEHIND_NS: Final = 5_000_000
"""A frame that comes so much later than the envelope allows was held up, or the clock went back."""
_AGREE_NS: Final = 5_000_000
"""Delays that differ by less are the same."""
_WITNESSES: Final = 8
"""So many frames in a row that were waited for and are equally late are late for good. Of a camera that says
its time, which shows how old each is, the clock went back."""
_LATE_ANYHOW: Final = 32
"""So many in a row that are late, equally or not, are late for good."""
_LITTLE_NS: Final = 20_000_000
"""Frames that come late by less when the clock is set stay in doubt by as much."""
_SAID_EVERY_NS: Final = 60_000_000_000


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
    says or as young as its arrival, and that stays so as long as they come late. Once they do so for good,
    the envelope is that of the late ones, and every frame may be older by how late they came.

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
        self._ahead_ns = 0
        """By how much the last frame was too quick to be of this clock."""
        self._late_ns: list[int] = []
        """How late the last frames were, those in a row that were waited for and late."""
        self._late_from_ns: int | None = None
        """From where on frames are late while they are: the envelope gets vaguer, and must not hide them."""
        self._came_late = 0
        """Frames in a row that came late, or in doubt because those before did."""
        self._risen_ns = self._risen_slack_ns = 0
        """By how much the envelope lies above the first one, and how exactly that is known."""
        self._unsure_ns = 0
        """The same of a clock before it was set: so much older each frame may be, for good."""
        self._is_lost = False
        self._above_ns = self._room_ns = self._moved_ns = 0
        """By its exposure a frame may come so much after the envelope: one taken with the present exposure
        of a camera that stamps its beginning; any; one of a camera that stamps the end."""
        self._on_time_ns: list[int] = []
        """How far from the envelope the last frames were that were waited for and on time."""
        self._say_ns = 0
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
        is_quickest = False
        if last is not None and device_ns <= last[0]:
            back_ms = (offset_ns - last[1]) / 1e6
            self._restart(f"the camera's clock went back by {back_ms:.0f} ms", is_bounded=is_bounded)
        elif self._has_waited:
            before_ns, self._ahead_ns = self._ahead_ns, self._ahead_of_all_ns(device_ns, offset_ns)
            has_witness = before_ns and abs(self._ahead_ns - before_ns) <= _AGREE_NS
            if self._ahead_ns and self._is_confirmed and not has_witness:
                self._last = last
                return None  # one alone may have an odd stamp
            if self._ahead_ns:
                ahead_ms = self._ahead_ns / 1e6
                self._restart(f"the camera's clock jumped ahead by {ahead_ms:.0f} ms", is_bounded=is_bounded)
        if self._has_waited and self._is_late(device_ns, offset_ns):
            if self._late_from_ns is None:
                self._late_from_ns = self._slack(device_ns) + _BEHIND_NS
            if waited:
                self._take_late(device_ns, offset_ns, is_bounded=is_bounded)
        else:
            self._late_from_ns = None
            if waited:
                self._take_on_time(device_ns, offset_ns, is_bounded=is_bounded)
            is_quickest = self._is_quickest(device_ns, offset_ns) and not self._fall(device_ns, offset_ns)
            self._learn(device_ns, offset_ns)
        self._has_waited = self._has_waited or waited
        self._is_confirmed = self._is_confirmed or (self._has_waited and not is_quickest)
        # Every frame so far may have lain here, for nobody knows how long.
        if not self._has_waited or ((is_quickest or self._is_lost) and not is_bounded):
            return None
        return self._span(device_ns, arrival_ns)

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
        older_ns = self._unsure_ns + self._risen_ns + self._risen_slack_ns
        first_ns = min(arrival_ns, device_ns + baseline_ns - slack_ns - older_ns)
        # One that looks late was held up, or the clock went back: it may be as young as its arrival.
        is_late = older_ns or self._late_ns
        last_ns = device_ns + baseline_ns + self._room_ns + slack_ns
        return FrameSpan(first_ns, (arrival_ns if is_late else min(arrival_ns, last_ns)) - first_ns)

    def take_remark(self) -> str:
        """Oddities of the device's clock since the last call, in words; empty when there were none."""
        remark, self._remark = self._remark, ""
        return remark

    def _restart(self, what: str, *, is_bounded: bool) -> None:
        # How late frames come that are measured anew is not known any more.
        late_ns = self._risen_ns + max(self._late_ns, default=0)
        if is_bounded:
            self._unsure_ns = 0
        elif late_ns > _LITTLE_NS:
            self._is_lost = True
        else:
            self._unsure_ns += late_ns and late_ns + self._risen_slack_ns
        self._remark = f"{what}; " + (
            "its frames came late before, so none is dated until it is opened anew"
            if self._is_lost and not is_bounded
            else "synchronised again"
        )
        self._begin_anew()
        self._came_late = self._risen_ns = self._risen_slack_ns = self._ahead_ns = 0
        self._has_waited = self._is_confirmed = False

    def _begin_anew(self) -> None:
        self._points.clear()
        self._line = None
        self._late_ns.clear()
        self._late_from_ns = None
        self._on_time_ns.clear()
        self._above_ns = self._room_ns = self._moved_ns = 0

    def _ahead_of_all_ns(self, device_ns: int, offset_ns: int) -> int:
        """By how much a frame is quicker than any frame of this clock can be; 0: it is not."""
        ahead_ns = self._baseline(device_ns) - offset_ns
        allowed_ns = self._slack(device_ns) + self._risen_ns + self._risen_slack_ns + _AHEAD_NS
        return ahead_ns if ahead_ns > allowed_ns else 0

    def _is_late(self, device_ns: int, offset_ns: int) -> bool:
        """Whether a frame is later than the envelope and what the camera was set to allow."""
        late_ns = offset_ns - self._baseline(device_ns) - self._room_ns
        return late_ns > (self._late_from_ns or self._slack(device_ns) + _BEHIND_NS)

    def _take_late(self, device_ns: int, offset_ns: int, *, is_bounded: bool) -> None:
        """One more that was waited for and late; enough of them are late for good."""
        self._late_ns.append(offset_ns - self._baseline(device_ns) - self._room_ns)
        self._came_late += 1
        is_alike = _is_alike(self._late_ns)
        if is_bounded and is_alike:
            late_ms = f"{self._late_ns[-1] / 1e6:.0f} ms"
            what = f"the camera's clock went back by {late_ms}, or its frames take as much longer"
            self._restart(what, is_bounded=True)
            self._learn(device_ns, offset_ns)
            return
        self._say_late(device_ns, is_bounded=is_bounded)
        if is_alike or len(self._late_ns) >= _LATE_ANYHOW:
            rise_ns = min(self._late_ns)
            self._risen_ns += rise_ns
            self._risen_slack_ns = max(self._risen_slack_ns, self._slack(device_ns) - _SLACK_NS)
            self._move(rise_ns)
            self._late_ns.clear()
            self._late_from_ns = None
            self._learn(device_ns, offset_ns)

    def _take_on_time(self, device_ns: int, offset_ns: int, *, is_bounded: bool) -> None:
        """One that was waited for and is not late; enough show how late the present exposure makes them."""
        self._late_ns.clear()
        if not self._risen_ns:
            self._came_late = self._say_ns = 0
        else:
            self._came_late += 1
            self._say_late(device_ns, is_bounded=is_bounded)
        if not self._room_ns or self._risen_ns:
            return
        self._on_time_ns.append(offset_ns - self._baseline(device_ns))
        del self._on_time_ns[:-_WITNESSES]
        if _is_alike(self._on_time_ns):
            self._move(max(0, min(self._on_time_ns)))
            self._above_ns = self._room_ns = self._moved_ns = 0
            self._on_time_ns.clear()

    def _learn(self, device_ns: int, offset_ns: int) -> None:
        """Make a frame one of the envelope's where it is known how late it comes by its exposure."""
        if not self._points:
            self._remember(device_ns, offset_ns)
            return
        after_ns, near_ns = offset_ns - self._baseline(device_ns), self._slack(device_ns) + _SLACK_NS
        if self._is_late(device_ns, offset_ns):
            return  # nobody knows what it shows
        if not self._room_ns:
            self._remember(device_ns, offset_ns)
            return
        for by_exposure_ns in (0, self._above_ns, self._moved_ns):
            if abs(after_ns - by_exposure_ns) <= near_ns:
                self._remember(device_ns, offset_ns - by_exposure_ns)
                return

    def _fall(self, device_ns: int, offset_ns: int) -> bool:
        """Let the envelope fall to a frame that came that much quicker; True: as frames did before."""
        if not self._is_confirmed:
            self._begin_anew()
            return False
        fallen_ns = self._baseline(device_ns) - offset_ns
        exactly_ns = self._risen_slack_ns + _BEHIND_NS
        is_as_before = self._risen_ns > 0 and fallen_ns <= self._risen_ns + exactly_ns
        self._risen_ns = max(0, self._risen_ns - fallen_ns)
        if self._risen_ns <= exactly_ns:
            self._risen_ns = self._risen_slack_ns = 0
        self._move(-fallen_ns)
        return is_as_before

    def _say_late(self, device_ns: int, *, is_bounded: bool) -> None:
        if self._came_late >= _WITNESSES and device_ns >= self._say_ns and not is_bounded:
            self._say_ns = device_ns + _SAID_EVERY_NS
            late_ns = self._risen_ns + (self._late_ns[-1] if self._late_ns else 0)
            self._remark = (
                f"the last {self._came_late} frames came late, now by {late_ns / 1e6:.0f} ms: the camera or "
                "the network holds them back, or its clock went back; its own time would tell, and is not "
                "known to 5 ms. Until they come as before, or the camera is opened anew, each may be that "
                "old (docs/cameras.md)"
            )

    def _is_quickest(self, device_ns: int, offset_ns: int) -> bool:
        """Whether it came that much quicker than all before it, or is the first."""
        if not self._points:
            return True
        return offset_ns < self._baseline(device_ns) - self._slack(device_ns) - _BEHIND_NS

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


def _is_alike(delays_ns: list[int]) -> bool:
    """Whether the last ones are enough, and equal."""
    last_ns = delays_ns[-_WITNESSES:]
    return len(last_ns) == _WITNESSES and max(last_ns) - min(last_ns) <= _AGREE_NS


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
