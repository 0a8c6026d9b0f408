"""Brings an order to its lines, wave after wave, and stops when a line leaves the order's band.

Everything it goes by is on the servers: what each line was told, what it reports, and whether the rollout was
stopped. So it can be killed and started again, also elsewhere. It needs no signing key: two people signed all
lines, their order and the band.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from inspectd.fleet.agent.order import (
    Band,
    FleetOrder,
    SignedOrder,
    decode_order,
)
from inspectd.fleet.agent.publisher import desire, desired, report_of, told
from inspectd.fleet.agent.report import AgentState, FleetReport
from inspectd.fleet.names import LineNames, PlantNames
from inspectd.fleet.servers import NotThereError, Servers

_MINUTE_NS: Final = 60e9
_MINUTE_SECONDS: Final = 60.0
_SERVERS: Final = 3
"""Any of them answers, and one that lags has older reports: those of a dead line can seem to be newer, but
less often than there are servers."""


class Step(StrEnum):
    """What comes next."""

    TELL = "tell"
    """Lines of a wave are to be told."""
    WAIT = "wait"
    STOP = "stop"
    DONE = "done"


class Decision(msgspec.Struct, frozen=True):
    """What comes next, with the lines it is about and a word for people."""

    step: Step
    lines: tuple[str, ...]
    text: str


class Seen(msgspec.Struct, frozen=True):
    """What is known of a line.

    Attributes:
        is_told: the order is what it was told last.
        told_other: it was told something else since, of this serial number or a higher one.
        report: the last one; None: there is none.
        silent_seconds: so long no newer one came, as far as this program saw.
        is_heard: it came since this program looks, and since the line was told: an older one may be the last
            word of a line that is dead since.
        told_number: of what it was told last, in the stream; 0: nothing.
    """

    is_told: bool
    told_other: int | None
    report: FleetReport | None
    silent_seconds: float
    is_heard: bool = True
    told_number: int = 0


class _Heard(msgspec.Struct, frozen=True):
    """What a line said last, as far as this program saw.

    Attributes:
        number: of its newest report, in the stream; 0: there is none.
        report: that report.
        at: when it was first seen, or the line told, by this program's clock.
        newer: so many came, each newer than all before, since this program looks or the line was told.
    """

    number: int
    report: FleetReport | None
    at: float
    newer: int = 0


class RolloutRecord(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="schema", tag="fleet_rollout/1"
):
    """That a rollout was stopped, or goes on after all."""

    order_sha256: str
    is_stopped: bool
    why: str


def decide(order: FleetOrder, sha256: str, seen: Mapping[str, Seen]) -> Decision:
    """What comes next by what is known of the lines.

    Args:
        order: the order.
        sha256: names it.
        seen: what is known, of each of its lines.
    """
    for line in order.lines:
        here = seen[line]
        if here.told_other is not None:
            return Decision(Step.STOP, (line,), f"{line} was told order {here.told_other} by somebody else")
        if here.is_told and (why := wrong_with(order, sha256, here)):
            return Decision(Step.STOP, (line,), f"{line}: {why}")
    for number, wave in enumerate(order.waves, 1):
        untold = tuple(line for line in wave.lines if not seen[line].is_told)
        if untold:
            return Decision(Step.TELL, untold, f"wave {number} of {len(order.waves)}: {', '.join(untold)}")
        left = [line for line in wave.lines if not _is_watched(order, sha256, wave.watch_minutes, seen[line])]
        if left:
            words = "; ".join(f"{line} {_stands(order, sha256, seen[line])}" for line in left)
            return Decision(Step.WAIT, tuple(left), f"wave {number} of {len(order.waves)}: {words}")
    return Decision(Step.DONE, tuple(order.lines), "every line runs it, and was watched")


def wrong_with(order: FleetOrder, sha256: str, seen: Seen) -> str:
    """Why a line that was told must stop the rollout; empty: nothing."""
    band, report = order.band, seen.report
    if seen.silent_seconds > band.silent_minutes * _MINUTE_SECONDS:
        return f"has said nothing for {seen.silent_seconds / _MINUTE_SECONDS:.1f} minutes"
    if report is None:
        return ""
    if report.offered_sha256 == sha256 and report.refusal:
        return f"refuses: {report.refusal}"
    if not _has_taken(order, sha256, report):
        return ""
    if report.state is AgentState.HELD:
        return report.why
    return _out_of_band(band, report) if report.state is AgentState.RUNNING else ""


def _has_taken(order: FleetOrder, sha256: str, report: FleetReport) -> bool:
    """Whether it is this very order that a line follows: another one may have the same number."""
    return report.wanted_serial == order.serial and report.offered_sha256 == sha256


def _judged(counts: Mapping[str, int]) -> int:
    """Verdicts that show something: a line that decides nothing shows nothing."""
    return counts.get("pass", 0) + counts.get("fail", 0)


def _reject_share(counts: Mapping[str, int]) -> float | None:
    """Share of what is no pass: a part that is undecidable is rejected as one that fails is."""
    count = sum(counts.values())
    return (count - counts.get("pass", 0)) / count if count else None


def _out_of_band(band: Band, report: FleetReport) -> str:
    expected = f"expected {band.min_reject_share:.2%} to {band.max_reject_share:.2%}"
    # Of many cameras one that rejects every part hardly shows in the sum, and each has to stay in the band.
    for place, counts in (("", report.verdicts), *report.verdicts_by_place.items()):
        of = f" of {place}" if place else ""
        count, share = sum(counts.values()), _reject_share(counts)
        if share is not None and count >= band.min_verdicts and share > band.max_reject_share:
            return f"rejects {share:.2%} of {count} verdicts{of}, {expected}"
        judged, fails = _judged(counts), counts.get("fail", 0)
        if judged >= band.min_verdicts and fails / judged < band.min_reject_share:
            return f"fails {fails / judged:.2%} of {judged} verdicts{of}, {expected}"
    if report.drift is not None and report.drift > band.max_drift:
        return f"has drifted to {report.drift:.2f} of a limit, expected at most {band.max_drift:.2f}"
    return ""


def _is_watched(order: FleetOrder, sha256: str, watch_minutes: float, seen: Seen) -> bool:
    report = seen.report
    return (
        report is not None
        and seen.is_heard
        and report.state is AgentState.RUNNING
        and _has_taken(order, sha256, report)
        and report.counted_since_utc_ns is not None
        and report.at_utc_ns - report.counted_since_utc_ns >= watch_minutes * _MINUTE_NS
        and not _few(order, report)
    )


def _few(order: FleetOrder, report: FleetReport) -> str:
    """The first that has made too few verdicts to say anything, with their number; empty: none.

    A camera that makes none at all, as a dead one, is not in the report: the order says which there are.
    """
    least, of_places = order.band.min_verdicts, report.verdicts_by_place
    places = dict.fromkeys((*order.recipe.bank_sha256, *of_places))
    for who, counts in (("the line", report.verdicts), *((each, of_places.get(each, {})) for each in places)):
        if _judged(counts) < least:
            return f"{who} {_judged(counts)} of {least}"
    return ""


def _stands(order: FleetOrder, sha256: str, seen: Seen) -> str:
    report = seen.report
    if report is None or not _has_taken(order, sha256, report):
        # What it said before it was told has nothing to do with this order.
        why = f" and {_is_in(report)}" if report is not None and seen.is_heard and report.why else ""
        return f"has not taken the order yet{why}"
    if not seen.is_heard:
        return "was not heard of yet"
    if report.state is not AgentState.RUNNING:
        return _is_in(report)
    minutes = (report.at_utc_ns - (report.counted_since_utc_ns or report.at_utc_ns)) / _MINUTE_NS
    share, undecidable = _reject_share(report.verdicts), report.verdicts.get("undecidable", 0)
    reject = f", rejects {share:.2%}" if share is not None else ""
    more = f", {undecidable} undecidable" if undecidable else ""
    few = f", waits for {few}" if (few := _few(order, report)) else ""
    return f"runs it since {minutes:.1f} min, {_judged(report.verdicts)} verdicts{reject}{more}{few}"


def _is_in(report: FleetReport) -> str:
    share = f" {report.progress:.0%}" if report.progress is not None else ""
    return f"is {report.state}{share}{f', {report.why}' if report.why else ''}"


class Rollout:
    """Brings one order to its lines.

    Args:
        signed: the order.
        clock: seconds on a clock that never goes back.

    Raises:
        RefusedOrderError: it is none.
    """

    def __init__(self, signed: SignedOrder, clock: Callable[[], float]) -> None:
        self.order = decode_order(signed.text)
        self.seen: dict[str, Seen] = {}
        """What is known of each line, by the last look."""
        self._signed, self._clock = signed, clock
        self._names = PlantNames(self.order.plant)
        self._heard: dict[str, _Heard] = {}

    async def stopped(self, servers: Servers) -> str | None:
        """Why it was stopped before; None: it was not.

        Raises:
            ServersError: the servers do not answer.
        """
        # Under the serial number lies what an earlier version recorded: of the last order of the plant that
        # has it, because each line has its own.
        for name in (self._signed.sha256, str(self.order.serial)):
            subject = self._names.rollout(name)
            try:
                found = await servers.asked(servers.js.get_last_msg(self._names.desired_stream, subject))
            except NotThereError:
                continue
            return self._why_stopped(found.data or b"")
        return None

    def _why_stopped(self, data: bytes) -> str | None:
        try:
            record = msgspec.json.decode(data, type=RolloutRecord)
        except ValueError:
            return "something unreadable stands in its record"
        is_ours = record.order_sha256 == self._signed.sha256
        return record.why if record.is_stopped and is_ours else None

    async def record(self, servers: Servers, *, is_stopped: bool, why: str) -> None:
        """Record that it was stopped, or that it goes on.

        Raises:
            ServersError: the servers do not take it.
        """
        record = RolloutRecord(self._signed.sha256, is_stopped, why[:1000])
        subject = self._names.rollout(self._signed.sha256)
        await servers.asked(servers.js.publish(subject, msgspec.json.encode(record)))

    async def look(self, servers: Servers) -> Decision:
        """Look at all lines, and decide; what was stopped, also by another such program, stays so.

        Raises:
            ServersError: the servers do not answer.
        """
        lines = self.order.lines
        seen = await asyncio.gather(*(self._see(servers, line) for line in lines))
        self.seen = dict(zip(lines, seen, strict=True))
        if (why := await self.stopped(servers)) is not None:
            return Decision(Step.STOP, (), why)
        return decide(self.order, self._signed.sha256, self.seen)

    async def tell(self, servers: Servers, lines: tuple[str, ...]) -> None:
        """Tell lines what they should run, up to one that was told something else since the last look.

        That stands as it is, and the next look says what it is: it may be a person's way back.

        Raises:
            ServersError: the servers do not take it.
        """
        for line in lines:
            after = self.seen[line].told_number if line in self.seen else 0
            if not await desire(servers, self._names, line, self._signed, after=after):
                return
            if (heard := self._heard.get(line)) is not None:
                self._heard[line] = msgspec.structs.replace(heard, at=self._clock(), newer=0)

    async def _see(self, servers: Servers, line: str) -> Seen:
        number, data = await desired(servers, self._names, line) or (0, None)
        is_told, told_other = told(data, self._signed, self.order.serial)
        found = await report_of(servers, LineNames(self.order.plant, line))
        heard = self._newest(line, *(found or (0, None)))
        return Seen(
            is_told, told_other, heard.report, self._clock() - heard.at, heard.newer >= _SERVERS, number
        )

    def _newest(self, line: str, number: int, report: FleetReport | None) -> _Heard:
        """What the line said last: a server that lags gives what was before, which is no sign of life."""
        heard = self._heard.get(line)
        if heard is None:
            self._heard[line] = _Heard(number, report, self._clock())
        elif number > heard.number:
            self._heard[line] = _Heard(number, report, self._clock(), heard.newer + 1)
        return self._heard[line]


def what_runs_where(order: FleetOrder, seen: Mapping[str, Seen]) -> Iterator[str]:
    """In words, line by line, and how to go back."""
    changed = []
    for line in order.lines:
        here = seen.get(line)
        report = here.report if here else None
        version = f"@{report.version}" if report is not None and report.version is not None else ""
        runs = (
            f"runs {report.recipe or 'nobody knows what'}{version}, {report.state}" if report else "is silent"
        )
        told = "was told" if here and here.is_told else "was not told"
        if here and here.is_told:
            changed.append(line)
        yield f"  {line}: {runs}; {told} order {order.serial}"
    if changed:
        yield (
            f"to go back on {', '.join(changed)}: make and sign a new order with a higher serial number that "
            "names the archive of before, and `inspectd fleet desire` it; lines that still have that version "
            "fetch nothing. Or on one line, at once: `inspectd recipe rollback`"
        )
