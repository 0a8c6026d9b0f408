"""Checks what must hold, from records of what the suite did and received. Pure: records in, sentences out."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final

from faults.listener import Heard

LATE_ALLOWED_NS: Final = 100_000_000
"""Longest time after its deadline at which an undecidable verdict may arrive."""

DOUBT_ALLOWED_NS: Final = 100_000_000
"""Longest time after its stamp at which a free camera's picture may be exposed: the line's `max_age_ms`."""

Name = tuple[int, int]
"""`(epoch, seq)`: a verdict's name for ever."""

Header = Mapping[str, Any]


@dataclass
class Part:
    """One part as the suite put it before its cameras and triggered it. Times are monotonic, in ns."""

    trigger_id: str
    good: bool
    sha256: Mapping[str, AbstractSet[str]]
    """Of the pictures that each camera took of it."""
    shown_ns: int
    triggered_ns: int = 0
    sent: bool = False
    answer: Header | None = None
    answered_ns: int = 0

    @property
    def accepted(self) -> bool:
        """The daemon took the trigger."""
        return self.answer is not None and self.answer["schema"].startswith("trigger_ack/")


@dataclass(frozen=True)
class Opening:
    """One decision of the gate; `at_ns` is monotonic."""

    trigger_id: str
    opened: bool
    at_ns: int
    because: str = ""


@dataclass(frozen=True)
class Truth:
    """Fields that a valid verdict must have, and the time by which it is owed."""

    bank_sha256: str
    deadline_ns: int


@dataclass
class Evidence:
    """Everything that one run did and received."""

    truth: Truth
    parts: dict[str, Part] = field(default_factory=dict)
    openings: list[Opening] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    """Numbered messages, live from the bus."""
    committed: dict[Name, Header] = field(default_factory=dict)
    """The journal's verdicts, read beside the daemon."""
    delivered: list[Name] = field(default_factory=list)
    """Items that the client library gave its caller, in its order."""


def name_of(header: Header) -> Name:
    """A verdict's name."""
    return header["epoch"], header["seq"]


def is_part(header: Header) -> bool:
    """It is the verdict of a whole part, the one a gate acts on."""
    return str(header["schema"]).startswith("part/")


def wrong_passes(evidence: Evidence) -> list[str]:
    """Every part whose gate opened without a valid, on-time, matching pass of a part that is good."""
    said = {name_of(header): (None, header) for header in evidence.committed.values()}
    said |= {name_of(heard.header): (heard.at_ns, heard.header) for heard in evidence.heard}
    of_part: dict[str, list[tuple[int | None, Header]]] = {}
    for at_ns, header in said.values():
        if is_part(header):
            of_part.setdefault(header["trigger_id"], []).append((at_ns, header))
    views = {name: header for name, (_, header) in said.items() if not is_part(header)}
    wrong = []
    for opening in evidence.openings:
        if opening.opened:
            part, verdicts = evidence.parts.get(opening.trigger_id), of_part.get(opening.trigger_id, [])
            reason = _why_wrong(part, verdicts, views, opening, evidence.truth)
            if reason is not None:
                wrong.append(f"gate opened for {opening.trigger_id}: {reason}")
    return wrong


def _why_wrong(
    part: Part | None,
    verdicts: Sequence[tuple[int | None, Header]],
    views: Mapping[Name, Header],
    opening: Opening,
    truth: Truth,
) -> str | None:
    if part is None:
        return "there was no such part"
    if not part.good:
        waited_ms = (part.answered_ns - part.triggered_ns) / 1e6
        return (
            f"the part is bad; its trigger was answered after {waited_ms:.0f} ms, its verdicts are {verdicts}"
        )
    if not verdicts:
        return "no verdict of it was ever published"
    problems = [
        _why_late(part, at_ns, header, opening) or _why_invalid(part, header, views, truth)
        for at_ns, header in verdicts
    ]
    return None if None in problems else f"no verdict of it counts: {problems[0]}"


def _why_late(part: Part, at_ns: int | None, header: Header, opening: Opening) -> str | None:
    if header["evaluation"] != "pass":
        return f"it is {header['evaluation']}"
    if header["late"] or header["deadline_margin_ms"] < 0:
        return "it was late"
    if at_ns is not None and at_ns > opening.at_ns:
        return "it came after the gate had opened"
    if at_ns is not None and at_ns < part.triggered_ns:
        return "it was there before the part was"
    return None


def _why_invalid(part: Part, header: Header, views: Mapping[Name, Header], truth: Truth) -> str | None:
    """Reason why a part's verdict does not rest on a passing view of that part from each camera."""
    seen = {view["camera"]: views.get((header["epoch"], view["seq"])) for view in header["views"]}
    if seen.keys() != part.sha256.keys():
        return f"it has the views {sorted(seen)}, expected {sorted(part.sha256)}"
    for camera, view in seen.items():
        if view is None:
            return f"its view by {camera} was never published"
        if view["evaluation"] != "pass" or view["trigger_id"] != part.trigger_id:
            return f"its view by {camera} is {view['evaluation']} for {view['trigger_id']}"
        if view["bank_sha256"] != truth.bank_sha256:
            return f"another bank judged it: {view['bank_sha256']}"
        if view["frame_sha256"] not in part.sha256[camera]:
            return f"its view by {camera} was not made from a frame of that part"
    return None


def misjudged(evidence: Evidence) -> list[str]:
    """Good parts that failed: the bank separates all good from all bad ones, so that was another picture."""
    return [
        f"{heard.header['trigger_id']} is good and failed"
        for heard in evidence.heard
        if is_part(heard.header)
        and heard.header["evaluation"] == "fail"
        and (part := evidence.parts.get(heard.header["trigger_id"])) is not None
        and part.good
    ]


def wrong_frames(heard: Iterable[Heard]) -> list[str]:
    """Passes of a free-running camera for pictures of bad parts, which `parts.write_pictures` names so."""
    sources = [v.header.get("source") for v in heard if v.header["evaluation"] == "pass"]
    return [f"{source} passed" for source in sources if source is not None and source.startswith("bad-")]


def misdated(
    evidence: Evidence, camera: str, exposed_ns: Mapping[str, int], latency_ns: int, offset_ns: int
) -> list[str]:
    """Judgements by a free-running camera whose time of capture is not that of the picture judged.

    A picture that the camera is not known to have taken is looked for in its judgement: a pass when only bad
    parts were in front of it, or a fail when only good ones were, belongs to another time.

    Args:
        evidence: of the run.
        camera: its name.
        exposed_ns: when it took each picture (monotonic), by SHA-256.
        latency_ns: the longest from an exposure to its stamp that the line is configured for.
        offset_ns: from the monotonic clock to UTC.
    """
    shown = sorted((part.shown_ns, part.good) for part in evidence.parts.values())
    problems = []
    for heard in evidence.heard:
        header = heard.header
        if header.get("camera") != camera or header["evaluation"] == "undecidable":
            continue
        stamp_ns = header["captured_utc_ns"] - offset_ns
        at_ns = exposed_ns.get(header["frame_sha256"])
        earliest, latest = stamp_ns - latency_ns, stamp_ns + DOUBT_ALLOWED_NS
        if at_ns is not None and not earliest <= at_ns <= latest:
            problems.append(
                f"seq {header['seq']}: {header['evaluation']} for a picture exposed "
                f"{(stamp_ns - at_ns) / 1e6:.0f} ms before its stamp"
            )
        elif at_ns is None and _in_front(shown, earliest, latest) == {header["evaluation"] != "pass"}:
            problems.append(f"seq {header['seq']}: {header['evaluation']}, but no such part was there then")
    return problems


def _in_front(shown: Sequence[tuple[int, bool]], earliest_ns: int, latest_ns: int) -> set[bool]:
    """Whether good parts, bad ones or both were in front of the camera within a span."""
    ends = [at for at, _ in shown[1:]] + [latest_ns + 1]
    return {
        good
        for (start, good), end in zip(shown, ends, strict=True)
        if start <= latest_ns and end > earliest_ns
    }


def unanswered(evidence: Evidence, up: Iterable[tuple[int, int]]) -> list[str]:
    """Triggers without an answer while the daemon was up.

    Args:
        evidence: of the run.
        up: spans (monotonic, ns) in which the daemon lived long enough to answer.
    """
    spans = list(up)
    return [
        f"{part.trigger_id} was triggered and never answered"
        for part in evidence.parts.values()
        if part.answer is None and any(start <= part.triggered_ns < end for start, end in spans)
    ]


def owed(evidence: Evidence) -> list[str]:
    """Accepted triggers that did not get exactly one verdict, though the daemon may have died in between."""
    said = {name_of(v.header): v.header for v in evidence.heard} | evidence.committed
    verdicts = Counter(header["trigger_id"] for header in said.values() if is_part(header))
    return [
        f"{part.trigger_id} was accepted and got {verdicts[part.trigger_id]} verdicts"
        for part in evidence.parts.values()
        if part.accepted and verdicts[part.trigger_id] != 1
    ]


def lateness_ns(evidence: Evidence) -> list[int]:
    """Time from a part's deadline to the arrival of each `undecidable`; negative when before."""
    return [
        heard.at_ns - evidence.parts[heard.header["trigger_id"]].triggered_ns - evidence.truth.deadline_ns
        for heard in _undecidable(evidence)
    ]


def undecidable(evidence: Evidence) -> list[Header]:
    """Undecidable verdicts of parts, but for those that a dead daemon owed and the next one gave."""
    return [heard.header for heard in _undecidable(evidence)]


def _undecidable(evidence: Evidence) -> list[Heard]:
    return [
        heard
        for heard in evidence.heard
        if is_part(heard.header)
        and heard.header["evaluation"] == "undecidable"
        and heard.header["reason"] != "restarted"
        and heard.header["trigger_id"] in evidence.parts
    ]


def too_late(lateness: Iterable[int], allowed_ns: int = LATE_ALLOWED_NS) -> list[str]:
    """Undecidables that came more than `allowed_ns` after the deadline."""
    return [
        f"an undecidable came {late / 1e6:.0f} ms after its deadline"
        for late in lateness
        if late > allowed_ns
    ]


def silent(arrived_ns: Iterable[int], span: tuple[int, int]) -> float:
    """The longest time without a heartbeat within a span, both ends of it included, in seconds."""
    start, end = span
    within = [at for at in arrived_ns if start <= at <= end]
    return max(after - before for before, after in itertools.pairwise([start, *within, end])) / 1e9


def out_of_order(names: Sequence[Name]) -> list[str]:
    """Whatever keeps a reader's verdicts from being every one, once, in order within and across epochs."""
    problems = []
    for before, after in itertools.pairwise(names):
        same_epoch = before[0] == after[0]
        if same_epoch and after[1] <= before[1]:
            problems.append(f"{after} came after {before}: a duplicate, or out of order")
        elif same_epoch and after[1] != before[1] + 1:
            problems.append(f"{after} came after {before}: a gap")
        elif after[0] < before[0]:
            problems.append(f"epoch {after[0]} came after {before[0]}")
        elif not same_epoch and after[1] != 1:
            problems.append(f"epoch {after[0]} began with {after[1]}")
    return problems


def duplicates(names: Iterable[Name]) -> list[str]:
    """Verdicts that were given to the caller more than once."""
    return [f"{name} was delivered {count} times" for name, count in Counter(names).items() if count > 1]


def lost(committed: Iterable[Name], delivered: Iterable[Name]) -> list[str]:
    """Verdicts in the journal that never reached the reader."""
    missing = sorted(set(committed) - set(delivered))
    return [f"{name} is in the journal and was never delivered" for name in missing]


def uncommitted(committed: Iterable[Name], delivered: Iterable[Name]) -> list[str]:
    """Verdicts that were published and are not in the journal."""
    missing = sorted(set(delivered) - set(committed))
    return [f"{name} was published and is not in the journal" for name in missing]


def conflicting(heard: Iterable[Heard], committed: Mapping[Name, Header]) -> list[str]:
    """Verdicts that were published as something else than what the journal keeps."""
    return [
        f"{name_of(v.header)} was published as {v.header['evaluation']}, the journal says "
        f"{committed[name_of(v.header)]['evaluation']}"
        for v in heard
        if name_of(v.header) in committed
        and committed[name_of(v.header)]["evaluation"] != v.header["evaluation"]
    ]


def idle(evidence: Evidence, least_opened: int) -> list[str]:
    """A run that proves nothing: too few gates opened, or no bad part was among the judged ones."""
    opened = sum(opening.opened for opening in evidence.openings)
    problems = []
    if opened < least_opened:
        problems.append(f"only {opened} gates opened, expected at least {least_opened}")
    judged = {v.header["trigger_id"] for v in evidence.heard if v.header["evaluation"] == "fail"}
    if least_opened and not any(not p.good and p.trigger_id in judged for p in evidence.parts.values()):
        problems.append("no bad part was judged")
    return problems
