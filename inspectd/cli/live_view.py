"""The terminal view of a line that `watch` and `demo` share: the messages received, drawn."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from inspectd.cli.output import cell
from inspectd.client import Evaluation, Event, Heartbeat, LineTracker, Liveness, Message, Verdict
from inspectd.text import printable

RATE_WINDOW_SECONDS: Final = 5.0
_EVENTS_SHOWN: Final = 5
_BAR_CELLS: Final = 20
_COLOURS: Final = {Evaluation.PASS: "green", Evaluation.FAIL: "red", Evaluation.UNDECIDABLE: "yellow"}
_SEVERITY: Final = {"info": "dim", "warning": "yellow", "alarm": "bold red"}
_PHASE: Final = {"up": "green", "ended": "dim", "opening": "yellow", "down": "bold red"}


class CameraView:
    """State of one camera, or of one of its regions, from its messages."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.evaluations: Counter[Evaluation] = Counter()
        self.second_looks = 0
        self.last: Verdict | None = None
        self.phase = ""
        self._clock = clock
        self._arrivals: deque[float] = deque()

    def add(self, verdict: Verdict) -> None:
        """Count one verdict."""
        self.evaluations[verdict.evaluation] += 1
        self.second_looks += verdict.second_look
        self.last = verdict
        self._arrivals.append(self._clock())

    def rate(self) -> float:
        """Verdicts a second over the last seconds."""
        now = self._clock()
        while self._arrivals and now - self._arrivals[0] > RATE_WINDOW_SECONDS:
            self._arrivals.popleft()
        return len(self._arrivals) / RATE_WINDOW_SECONDS


class LineView:
    """State of one line, from its messages, drawn as a panel or printed in plain lines.

    Args:
        tracker: the reader's own account of the line, for liveness and missed verdicts.
        clock: seconds on a clock that never goes back.
    """

    def __init__(self, tracker: LineTracker, clock: Callable[[], float] = time.monotonic) -> None:
        self.cameras: dict[str, CameraView] = {}
        self.events: deque[Event] = deque(maxlen=_EVENTS_SHOWN)
        self.name = ""
        self._tracker = tracker
        self._clock = clock

    def add(self, message: Message) -> None:
        """Take in one message of this line."""
        self.name = f"{message.plant}/{message.line}"
        match message:
            case Verdict():
                if message.region is not None:
                    self.cameras.pop(message.camera, None)  # its regions have rows of their own
                self._camera(message.place).add(message)
            case Heartbeat():
                for camera, phase in message.cameras.items():
                    places = [each for each in self.cameras if each.partition("/")[0] == camera]
                    for place in places or [camera]:
                        self._camera(place).phase = phase
            case Event():
                self.events.append(message)

    def render(self) -> RenderableType:
        """The panel to show now."""
        liveness = self._tracker.liveness
        parts: list[RenderableType] = [self._headline(liveness), self._table()]
        if self.events:
            parts.append(Text("\n").join(event_text(event) for event in self.events))
        border = {Liveness.ALIVE: "green", Liveness.STALE: "bold red"}.get(liveness, "yellow")
        return Panel(Group(*parts), title=cell(self.name, "bold"), border_style=border)

    def _camera(self, name: str) -> CameraView:
        return self.cameras.setdefault(name, CameraView(self._clock))

    def _headline(self, liveness: Liveness) -> Text:
        tracker, heartbeat = self._tracker, self._tracker.heartbeat
        text = Text()
        if liveness is Liveness.STALE:
            text.append(
                f" STALE: no heartbeat for {tracker.silent_seconds:.1f} s. Treat every part as a reject. ",
                "bold white on red",
            )
            text.append("\n")
        else:
            state = heartbeat.state if heartbeat and liveness is Liveness.ALIVE else str(liveness)
            text.append(
                printable(f"{state.upper()}  "), "bold green" if state == "running" else "bold yellow"
            )
        if heartbeat:
            counts = heartbeat.counts
            text.append(
                f"captured {counts.captured} = verdicts {counts.verdicts} + drops {counts.drops} "
                f"+ in flight {counts.in_flight}"
                + (f" - {counts.further} further regions" if counts.further else "")
            )
        if tracker.missed:
            text.append(f"   this reader missed {tracker.missed} verdicts", "bold red")
        return text

    def _table(self) -> Table:
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
        table.add_column("camera", no_wrap=True)
        table.add_column("state", no_wrap=True)
        for heading in ("rate", "pass", "fail", "undecidable"):
            table.add_column(heading, justify="right", no_wrap=True)
        marked = any(camera.second_looks for camera in self.cameras.values())
        if marked:
            table.add_column("look again", justify="right", no_wrap=True)
        # The one column that gives way in a narrow terminal; the numbers come first, so the bar is cut.
        table.add_column(Text("last score / threshold", no_wrap=True, overflow="crop"))
        table.add_column("latency", justify="right", no_wrap=True)
        for name, camera in sorted(self.cameras.items()):
            last = camera.last
            table.add_row(
                cell(name),
                cell(camera.phase, _PHASE.get(camera.phase, "")),
                f"{camera.rate():.1f}/s",
                *(_count(camera.evaluations[evaluation], _COLOURS[evaluation]) for evaluation in Evaluation),
                *([_count(camera.second_looks, "yellow")] if marked else ()),
                score_bar(last) if last else "",
                f"{last.latency_ms:.0f} ms" if last else "",
            )
        return table


def score_bar(verdict: Verdict) -> Text:
    """The score as a bar from 0 to twice the threshold, which is the mark in the middle."""
    if verdict.score is None or not verdict.threshold:
        return Text(f"undecidable: {verdict.reason}", _COLOURS[verdict.evaluation])
    middle = _BAR_CELLS // 2
    filled = min(_BAR_CELLS, max(0, round(middle * verdict.score / verdict.threshold)))
    cells = "━" * filled + " " * (_BAR_CELLS - filled)
    colour = _COLOURS[verdict.evaluation]
    text = Text(f"{verdict.score:7.3f} / {verdict.threshold:.3f} ", colour, no_wrap=True, overflow="crop")
    text.append(cells[:middle], colour)
    text.append("┃", "bold")
    text.append(cells[middle:], colour)
    return text


def event_text(event: Event) -> Text:
    """One event as one line."""
    when = datetime.fromtimestamp(event.utc_ns / 1e9, UTC).astimezone()
    about = event.camera or event.process
    where = f" {about}" if about and not event.detail.startswith(about) else ""
    detail = f": {event.detail}" if event.detail else ""
    return cell(f"{when:%H:%M:%S} {event.event}{where}{detail}", _SEVERITY[event.severity])


def plain_line(message: Message) -> str | None:
    """One line of text about a verdict or an event; None for a message that needs none."""
    match message:
        case Verdict():
            score = "-" if message.score is None else f"{message.score:.3f}"
            threshold = "-" if message.threshold is None else f"{message.threshold:.3f}"
            marks = " late" if message.late else ""
            marks += " second_look" if message.second_look else ""
            return printable(
                f"{message.place} seq={message.seq} {message.evaluation} reason={message.reason} "
                f"score={score} threshold={threshold} latency_ms={message.latency_ms:.1f}{marks}"
            )
        case Event():
            return f"{message.severity}: {event_text(message).plain}"
        case _:
            return None


def _count(number: int, colour: str) -> Text:
    return Text(str(number), colour if number else "dim")
