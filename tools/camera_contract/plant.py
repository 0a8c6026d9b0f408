"""So many parts come by a camera of a real line; half way it is unplugged. What of it breaks the contract?"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from support.daemon import WELL, Daemon
from support.triggers import Plant

from camera_contract.camera import ContractCamera
from inspectd.wire import Accepted, Evaluation, PartVerdict, Verdict

_WINDOW_MS: Final = 400
_PART_SECONDS: Final = 3.0
_AWAY_SECONDS: Final = 2.0
_AWAY_PITCH_SECONDS: Final = 0.1
_BACK_PITCH_SECONDS: Final = 0.1
_SHOWN: Final = 3
_TOO_LATE: Final = "missed_trigger"
_HEAD: Final = f"""
[line]
plant = "contract"
name = "line"
deadline_ms = 2000
[[recipes]]
name = "part"
bank = "stub.bank"
[triggers]
window_ms = {_WINDOW_MS}
max_delay_ms = 2000
id_memory_seconds = 1
[metrics]
port = 0
[evidence]
enabled = false
"""

BeforePart = Callable[[Daemon, int], None]
"""What the plant does before a part comes, such as changing the recipe."""


@dataclass(frozen=True)
class Case:
    """One kind of camera, and what it has to keep.

    Attributes:
        name: of the case, for the table.
        make: makes the camera, given an empty folder.
        unplugged: False: it cannot be, or is not.
        away_seconds: how long it is gone; 0: what happens to it half way is over at once.
        back_seconds: within these after its return a part passes.
        least_judged: share of the parts, before and after, that have to be judged.
        reasons: what other parts may be undecidable for, beside a frame that came too late, or whose time was
            in too much doubt.
        is_fired: it takes a frame for each part, and none besides.
        settle_seconds: time after its start before the first part, while its clock is learnt.
        prepare: done once, when the line runs.
        before: done before each part.
        check: of a verdict that judges, what is wrong with it beyond the contract; empty: nothing.
        figures: of all verdicts, what is to be shown, by name.
        most: what a figure may be at most.
    """

    name: str
    make: Callable[[Path], ContractCamera]
    unplugged: bool = True
    away_seconds: float = _AWAY_SECONDS
    back_seconds: float = 2.0
    least_judged: float = 0.99
    reasons: frozenset[str] = frozenset()
    is_fired: bool = False
    settle_seconds: float = 0.0
    prepare: Callable[[Daemon], None] = lambda _: None
    before: BeforePart = lambda _, __: None
    check: Callable[[ContractCamera, int, Verdict], str] = lambda *_: ""
    figures: Callable[[ContractCamera, list[Verdict]], dict[str, float]] = lambda *_: {}
    most: Mapping[str, float] = field(default_factory=dict)


@dataclass
class ContractResult:
    """What a case came to."""

    parts: int = 0
    passed: int = 0
    away_parts: int = 0
    back_seconds: float | None = None
    drops: int = 0
    undecidable: Counter[str] = field(default_factory=Counter)
    """Parts that came while the camera was there, by reason."""
    refused: Counter[str] = field(default_factory=Counter)
    figures: dict[str, float] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)


class _Showing:
    """Parts that were shown to a line, in their order."""

    def __init__(self, case: Case, camera: ContractCamera, daemon: Daemon, plant: Plant) -> None:
        self.case, self.camera, self.daemon, self.plant = case, camera, daemon, plant
        self.number = 0
        self.away: set[int] = set()
        self._awaited: list[str] = []
        self._heard = 0
        self._parts: dict[str, PartVerdict] = {}

    def show(self) -> PartVerdict | None:
        """A part comes by; its verdict, or None: its trigger was refused."""
        number = self._trigger()
        if not isinstance(self.plant.answers[str(number)], Accepted):
            return None
        self.camera.fire(number)
        self.daemon.until(lambda: str(number) in self._heard_parts(), _PART_SECONDS)
        return self._parts[str(number)]

    def show_at_pitch(self) -> int | None:
        """A part comes by while the camera comes back; the number of the first that passed, it or one before.

        Of a camera whose first frame is of no use the next part does not wait until that one is given up, as
        on a belt; of others it does: their frames are dated too loosely for parts that close.
        """
        number = self._trigger()
        if isinstance(self.plant.answers[str(number)], Accepted):
            self.camera.fire(number)
            self._awaited.append(str(number))
            end = time.monotonic() + (_BACK_PITCH_SECONDS if self.camera.undated else _PART_SECONDS)
            self.daemon.until(
                lambda: str(number) in self._heard_parts() or self._passed() or time.monotonic() > end
            )
        return self._passed()

    def _passed(self) -> int | None:
        """The first part of those that are awaited that passed."""
        heard = self._heard_parts()
        passed = (
            int(each) for each in self._awaited if each in heard and heard[each].evaluation is Evaluation.PASS
        )
        return next(passed, None)

    def show_away(self) -> None:
        """A part comes by while the camera is away; nobody waits for its verdict."""
        self.away.add(self._trigger())

    def _trigger(self) -> int:
        self.number += 1
        self.case.before(self.daemon, self.number)
        self.camera.put(self.number)
        self.plant.trigger(self.number)
        return self.number

    def _heard_parts(self) -> dict[str, PartVerdict]:
        heard = self.daemon.reader.parts
        self._parts.update((part.trigger_id, part) for part in heard[self._heard :])
        self._heard = len(heard)
        return self._parts


def run(case: Case, folder: Path, parts: int, advance: Callable[[], None]) -> ContractResult:
    """Run a case.

    Args:
        case: the camera, and what it has to keep.
        folder: an empty folder.
        parts: that come by while the camera is there.
        advance: called after each.
    """
    result = ContractResult(parts=parts)
    with case.make(folder) as camera:
        daemon = Daemon(folder, _HEAD + camera.table(), behaviour=WELL)
        with closing(daemon):
            daemon.ready()
            case.prepare(daemon)
            daemon.until(_after(case.settle_seconds), case.settle_seconds + 1)
            with closing(Plant(daemon)) as plant:
                showing = _Showing(case, camera, daemon, plant)
                shown = parts // 2
                for _ in range(shown):
                    showing.show()
                    advance()
                if case.unplugged:
                    shown += _take_away(showing, result)
                    advance()
                for _ in range(parts - shown):
                    showing.show()
                    advance()
            if (code := daemon.stop()) != 0:
                result.violations.append(f"the line ended with code {code}: {daemon.process.log_tail()}")
            _judge(showing, result)
    return result


def _after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def _take_away(showing: _Showing, result: ContractResult) -> int:
    """Unplug the camera for a while; the parts since the first one that passed after its return."""
    case, camera = showing.case, showing.camera
    camera.unplug()
    end = time.monotonic() + case.away_seconds
    while (left := end - time.monotonic()) > 0:
        showing.show_away()
        time.sleep(min(left, _AWAY_PITCH_SECONDS))
    camera.plug_in()
    began = time.monotonic()
    first = showing.number + 1
    while True:
        passed = showing.show_at_pitch()
        since = time.monotonic() - began
        if passed is not None:
            result.back_seconds = since
            break
        if since > 5 * case.back_seconds:
            result.violations.append(f"no part passed for {since:.1f} s after its return")
            break
        time.sleep(_AWAY_PITCH_SECONDS / 5)
    if result.back_seconds is not None and result.back_seconds > case.back_seconds:
        result.violations.append(
            f"the first part passed {result.back_seconds:.2f} s after its return, expected "
            f"{case.back_seconds:g} s at most"
        )
    # It comes back meanwhile: these parts may be refused or missed, and are not counted among the others.
    back = showing.number if passed is None else passed
    showing.away.update(range(first, back))
    result.away_parts = len(showing.away)
    return showing.number + 1 - back


def _judge(showing: _Showing, result: ContractResult) -> None:
    case, camera, daemon, away = showing.case, showing.camera, showing.daemon, showing.away
    wrong = result.violations
    heard = Counter(part.trigger_id for part in daemon.reader.parts)
    for number, answer in showing.plant.answers.items():
        if isinstance(answer, Accepted) != bool(heard[number]) or heard[number] > 1:
            wrong.append(f"part {number}: answered {answer}, and {heard[number]} verdicts came")
        elif not heard[number] and int(number) not in away:
            result.refused[getattr(answer, "reason", "no answer")] += 1
    views = {view.trigger_id: view for view in daemon.reader.verdicts if view.trigger_id}
    frames = Counter((view.frame_generation, view.frame_seq) for view in views.values() if view.frame_seq)
    wrong += [f"frame {frame} served {count} parts" for frame, count in frames.items() if count > 1]
    judged = []
    for part in daemon.reader.parts:
        number = int(part.trigger_id)
        if part.evaluation is not Evaluation.PASS:
            if number not in away:
                result.undecidable[str(part.reason)] += 1
            continue
        view = views[part.trigger_id]
        judged.append(view)
        result.passed += 1
        if number in away and case.away_seconds:
            wrong.append(f"part {number} passed while the camera was away")
        if not camera.is_of(number, view):
            wrong.append(
                f"part {number} passed by a frame that is not its own: number {view.frame_seq}, source "
                f"{view.source}, {view.device}"
            )
        elif said := case.check(camera, number, view):
            wrong.append(f"part {number}: {said}")
    _judge_counts(case, camera, daemon, result)
    result.figures = case.figures(camera, judged)
    wrong += [
        f"{name} {result.figures[name]:g}, expected {most:g} at most"
        for name, most in case.most.items()
        if result.figures.get(name, 0.0) > most
    ]
    del wrong[_SHOWN:]  # one kind of mistake is often made a thousand times


def _judge_counts(case: Case, camera: ContractCamera, daemon: Daemon, result: ContractResult) -> None:
    wrong = result.violations
    stopped = daemon.reader.event("stopped")
    counts = stopped.counts if stopped is not None else None
    if counts is None:
        wrong.append("the line ended without its counts")
        return
    result.drops = counts.drops
    if counts.captured + counts.further != counts.verdicts + counts.drops or counts.in_flight:
        wrong.append(f"the count of frames does not close: {counts}")
    if counts.triggers != counts.parts or counts.parts != len(daemon.reader.parts):
        wrong.append(f"the count of parts does not close, {len(daemon.reader.parts)} came: {counts}")
    if case.is_fired and counts.drops > counts.missed:
        wrong.append(f"{counts.drops} frames were dropped, for {counts.missed} parts that had none: {counts}")
    missing = result.parts - result.passed
    if missing > camera.undated + (1 - case.least_judged) * result.parts:
        wrong.append(f"{result.passed} of {result.parts} parts passed: {dict(result.undecidable)}")
    if not set(result.undecidable) <= case.reasons | {_TOO_LATE} or result.refused:
        wrong.append(f"undecidable {dict(result.undecidable)}, refused {dict(result.refused)}")
