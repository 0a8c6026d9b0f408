"""The line as it is now, put together of what its bus says. Pure: time is handed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

import msgspec

from inspectd.client import (
    Event,
    HealthCondition,
    HealthStatus,
    Heartbeat,
    LineState,
    LineStatus,
    PartVerdict,
    Reason,
    Verdict,
)
from inspectd.page.line.answered import Answered
from inspectd.page.line.clocks import OtherClock
from inspectd.page.line.counts import is_part
from inspectd.page.told import (
    Level,
    ToldAlarm,
    ToldCameraState,
    ToldCause,
    ToldGoldenDue,
    ToldHealth,
    ToldInForce,
    ToldLineNow,
    ToldWords,
)

STALE_SECONDS: Final = 1.0
_ANSWER_SECONDS: Final = 10.0
"""The line is asked every two seconds: what it said longer ago may no longer be so."""
_TAKT_PARTS: Final = 20
_TAKT_SECONDS: Final = 60.0
_TAKT_TIMES: Final = 3.0
"""After so long without a part, or so many times the takt, a line has none."""
_SEEN_FRAMES: Final = 256
"""That are remembered of a camera: far more than can be judged between two regions of one frame."""
_NE107: Final[dict[HealthStatus, Level]] = {
    HealthStatus.GOOD: "ok",
    HealthStatus.MAINTENANCE_REQUIRED: "maintenance",
    HealthStatus.OUT_OF_SPECIFICATION: "out_of_spec",
    HealthStatus.FUNCTION_CHECK: "check",
    HealthStatus.FAILURE: "failure",
}
_STATES: Final = {
    LineState.STARTING: "starting",
    LineState.RUNNING: "running",
    LineState.DRAINING: "stopping",
    LineState.STOPPED: "stopped",
}


class CameraNow(msgspec.Struct):
    """One camera, as the last messages have it.

    Attributes:
        phase: of its life: `opening`, `up`, `down` or `ended`.
        detail: of the event that last said why it is down.
        frame_at: when the last frame of it was heard of, on the page's own clock; None: not yet.
    """

    phase: str
    detail: str = ""
    frame_at: float | None = None


class _Began(NamedTuple):
    """When an alarm began, or, where nobody knows, was first heard of.

    Attributes:
        ms: then, on the page's own clock.
        is_known: that is when it began.
        since_utc_ns: when it began as the line has it; None: an earlier version, which does not say.
    """

    ms: int
    is_known: bool
    since_utc_ns: int | None


class _Frames:
    """When the last frames of a camera were heard of."""

    def __init__(self) -> None:
        self.times: deque[float] = deque(maxlen=_TAKT_PARTS)
        self._seen: deque[tuple[int, int]] = deque(maxlen=_SEEN_FRAMES)

    def see(self, item: Verdict, now: float) -> None:
        """A frame, or a region of it, was judged: of its regions the first counts.

        One that another has overtaken counts too: such as are not scored are judged before those that wait.
        """
        frame = (item.frame_generation or 0, item.frame_seq or 0)
        if frame not in self._seen:
            self._seen.append(frame)
            self.times.append(now)


class LineNow:
    """What is known of the line; nothing is shown as it is now that was not heard of within a second.

    Args:
        clock: seconds on a clock that never goes back.
        clock_ms: milliseconds since 1970, UTC.
        why_silent: what is known of why nothing comes, in words; empty: nothing.
    """

    def __init__(
        self, clock: Callable[[], float], clock_ms: Callable[[], int], why_silent: Callable[[], str] = str
    ) -> None:
        self._clock, self._clock_ms, self._why_silent = clock, clock_ms, why_silent
        self.cameras: dict[str, CameraNow] = {}
        self.heartbeat: Heartbeat | None = None
        self._status: LineStatus | None = None
        self._answered_at = 0.0
        self._heard_at = 0.0
        self._is_stopped = False
        self._alarms: dict[tuple[str, str | None], _Began] = {}
        self._parts_at: deque[float] = deque(maxlen=_TAKT_PARTS)
        self._frames_at: dict[str, _Frames] = {}
        self.other_clock = OtherClock()
        """Of the line's host."""

    # --- what the bus says --------------------------------------------------------------------------------

    def see_heartbeat(self, heartbeat: Heartbeat) -> None:
        """The line is alive."""
        # What the last one did not have has begun since; after a silence, who knows.
        is_followed = self.is_alive
        is_another_run = self.heartbeat is None or self.heartbeat.epoch != heartbeat.epoch
        if is_another_run:
            self._parts_at.clear()
            self._frames_at.clear()
        if is_another_run or not is_followed:
            # It may have ended meanwhile and begun anew: only a line that says since when knows better.
            self._alarms = {
                key: began for key, began in self._alarms.items() if began.since_utc_ns is not None
            }
        self.heartbeat, self._heard_at = heartbeat, self._clock()
        self.other_clock.heard(self._heard_at, heartbeat.utc_ns / 1e9)
        self._is_stopped = heartbeat.state == LineState.STOPPED  # the last one comes after the event
        for name in [name for name in self.cameras if name not in heartbeat.cameras]:
            del self.cameras[name]
            self._frames_at.pop(name, None)
        for name, phase in heartbeat.cameras.items():
            camera = self.cameras.setdefault(name, CameraNow(phase))
            camera.phase = phase
            if phase == "up":
                camera.detail = ""
        self._alarms = {
            (each.condition, each.camera): self._began(each, heartbeat.utc_ns, is_followed=is_followed)
            for each in heartbeat.conditions
        }

    def _began(self, alarm: HealthCondition, utc_ns: int, *, is_followed: bool) -> _Began:
        before = self._alarms.get((alarm.condition, alarm.camera))
        since_utc_ns = alarm.since_utc_ns
        if before is not None and before.since_utc_ns == since_utc_ns:
            return before
        if since_utc_ns is None:
            return _Began(self._clock_ms(), is_known=is_followed, since_utc_ns=None)
        # By its age: the clock of the line's host may be another.
        age_ms = max(0, utc_ns - since_utc_ns) // 1_000_000
        return _Began(self._clock_ms() - age_ms, is_known=True, since_utc_ns=since_utc_ns)

    def see_event(self, event: Event) -> None:
        """Something happened: a camera's is kept as the reason why it is down."""
        if event.event == "stopped":
            self._is_stopped = True
        if event.camera in self.cameras and event.severity != "info":
            self.cameras[event.camera].detail = event.detail

    def see_verdict(self, item: Verdict | PartVerdict) -> None:
        """A part was judged."""
        now = self._clock()
        if isinstance(item, Verdict) and item.captured_utc_ns is not None and item.camera in self.cameras:
            self.cameras[item.camera].frame_at = now
        if not is_part(item) or item.reason is Reason.GOLDEN:
            return
        if isinstance(item, PartVerdict):
            self._parts_at.append(now)
        elif item.camera in self.cameras:
            self._frames_at.setdefault(item.camera, _Frames()).see(item, now)

    def see_status(self, answer: Answered) -> None:
        """The line answered how it is."""
        self._status, self._answered_at = answer.status, self._clock()
        self.other_clock.answered(answer.asked_at, answer.answered_at, answer.status.utc_ns / 1e9)

    def taken_at(self, captured_utc_ns: int) -> float | None:
        """When a picture was taken at the earliest, on the page's own clock; None: that is not known."""
        now = self._clock()
        age = self.other_clock.age(captured_utc_ns / 1e9, now)
        return None if age is None else now - age

    def judged_ms(self) -> int:
        """The time that a part has in counts that is judged now: the line's, as far as that is known.

        Where the line's clock is ahead they date it by this host's.
        """
        return self._clock_ms() + min(0, self._clock_ahead_ms() or 0)

    # --- what is shown ------------------------------------------------------------------------------------

    @property
    def status(self) -> LineStatus | None:
        """The line's last answer on how it is; None: there is none of this run of this line, or it is old."""
        status, heartbeat = self._status, self.heartbeat
        if status is None or self._clock() - self._answered_at > _ANSWER_SECONDS:
            return None
        return status if heartbeat is None or heartbeat.epoch == status.epoch else None

    @property
    def heartbeat_age_ms(self) -> int | None:
        """Since the last sign of life; None: there was none yet."""
        return None if self.heartbeat is None else round((self._clock() - self._heard_at) * 1000)

    @property
    def is_alive(self) -> bool:
        """The line was heard of within the last second, or three of its heartbeats where these are rarer."""
        if self.heartbeat is None or self._is_stopped:
            return False
        patience = max(STALE_SECONDS, 3 * self.heartbeat.interval_ms / 1000)
        return self._clock() - self._heard_at <= patience

    @property
    def state(self) -> str:
        """`running`, `starting`, `stopping`, `stopped`, `unreachable`, or `waiting`: not heard of yet."""
        if self.heartbeat is None:
            return "waiting"
        if self._is_stopped:
            return "stopped"
        if not self.is_alive:
            return "unreachable"
        return _STATES.get(self.heartbeat.state, self.heartbeat.state)

    def said(self) -> ToldLineNow:
        """The state as tabs get it, but for counts and the clock."""
        heartbeat, state = self.heartbeat, self.state
        is_alive = self.is_alive
        age_ms = self.heartbeat_age_ms
        words: ToldWords = {"key": f"line_{state}", "args": {"seconds": round((age_ms or 0) / 1000)}}
        return {
            "bus": {
                "alive": is_alive,
                "heartbeat_age_ms": age_ms,
                "epoch": heartbeat.epoch if heartbeat else None,
                "seq": heartbeat.last_seq if heartbeat else None,
            },
            "state": state,
            "words": words,
            "ne107": self._ne107(is_alive=is_alive),
            "cameras": [self._camera(name, is_alive=is_alive) for name in sorted(self.cameras)],
            "alarms": self._said_alarms(is_alive=is_alive),
            "clock_ahead_ms": self._clock_ahead_ms(),
            "takt_ms": self._takt_ms() if is_alive else None,
            "recipe": self._recipe(),
            "golden": self._golden(),
        }

    def _ne107(self, *, is_alive: bool) -> ToldHealth:
        if not is_alive or self.heartbeat is None:
            detail = "" if self._is_stopped else self._why_silent()
            cause: ToldCause = {"name": f"line_{self.state}", "camera": None, "detail": detail}
            return {"level": "check" if self._is_stopped else "failure", "causes": [cause]}
        causes: list[ToldCause] = [
            {"name": each.condition, "camera": each.camera, "detail": each.detail}
            for each in self.heartbeat.conditions
        ]
        try:
            level: Level = _NE107[HealthStatus(self.heartbeat.health)]
        except ValueError:  # of another version: what is not known is not called good
            level = "check"
        return {"level": level, "causes": causes}

    def _camera(self, name: str, *, is_alive: bool) -> ToldCameraState:
        camera = self.cameras[name]
        age = None if camera.frame_at is None else round((self._clock() - camera.frame_at) * 1000)
        reason = None if is_alive and camera.phase == "up" else camera.phase if is_alive else "line"
        return {
            "name": name, "up": reason is None, "reason": reason, "detail": camera.detail or None,
            "frame_age_ms": age,
        }  # fmt: skip

    def _said_alarms(self, *, is_alive: bool) -> list[ToldAlarm]:
        if self.heartbeat is None or not is_alive:
            return []
        return [
            {
                "name": each.condition, "camera": each.camera, "detail": each.detail, "status": each.status,
                "since_ms": self._alarms[each.condition, each.camera].ms,
                "is_since_known": self._alarms[each.condition, each.camera].is_known,
                "words": {"key": f"condition_{each.condition}", "args": {"camera": each.camera or ""}},
            }
            for each in self.heartbeat.conditions
        ]  # fmt: skip

    def _clock_ahead_ms(self) -> int | None:
        """How far the clock of the line's host is ahead of the page's, at the most; None: not known."""
        now = self._clock()
        ahead = self.other_clock.ahead(now)
        return None if ahead is None else round((now + ahead) * 1000 - self._clock_ms())

    def _takt_ms(self) -> float | None:
        """Median time from part to part of the last ones; None while none come.

        Where nothing was triggered, from frame to frame of the camera that takes most: several that look at
        one part at once, or regions of a frame, are no more parts. A camera that runs free beside triggered
        ones goes on while no part comes.
        """
        has_triggers = self.heartbeat is not None and self.heartbeat.counts.triggers > 0
        if has_triggers or self._parts_at:
            return self._middle_ms(self._parts_at)
        by_camera = [takt for each in self._frames_at.values() if (takt := self._middle_ms(each.times))]
        return min(by_camera, default=None)

    def _middle_ms(self, times: Sequence[float]) -> float | None:
        if len(times) < 3:
            return None
        takt = median(after - before for before, after in pairwise(times))
        is_over = self._clock() - times[-1] > max(_TAKT_SECONDS, _TAKT_TIMES * takt)
        return None if is_over else round(1000 * takt, 1)

    def _recipe(self) -> ToldInForce | None:
        status = self.status
        if status is None:
            return None
        banks = sorted({each.bank_sha256[:16] for each in status.recipes})
        return {
            "name": status.in_force,
            "number": status.in_force_number,
            "bank": banks[0] if len(banks) == 1 else None,
            "names": [each.recipe for each in status.recipes],
        }

    def _golden(self) -> list[ToldGoldenDue]:
        status = self.status
        if status is None:
            return []
        return [
            {
                "recipe": each.recipe, "state": each.state, "valid": each.state == "passed",
                "due_ms": _ms(each.due_utc_ns), "due_parts": each.due_parts,
                "overdue": each.state in {"overdue", "failed"}, "overdue_ms": _ms(each.overdue_utc_ns),
                "is_held": each.is_held, "held_from_ms": _ms(each.held_from_utc_ns),
                "under_way": each.under_way, "problems": each.problems,
                "last": each.last_outcome, "last_ms": _ms(each.last_utc_ns), "last_who": each.last_who,
            }
            for each in status.golden
        ]  # fmt: skip


def _ms(utc_ns: int | None) -> int | None:
    return None if utc_ns is None else utc_ns // 1_000_000
