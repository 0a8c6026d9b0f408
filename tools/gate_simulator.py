"""A reject gate that rejects every part unless a pass for it came in time: the reader's side of the promise.

Parts pass a photo eye, which triggers the inspection, and reach the gate `--travel-ms` later. The gate opens
for a part if its trigger was accepted within `--answer-ms`, by its time at the gate the `pass` for that very
acknowledgement was heard, the line is alive, and it is no more than `--tolerance-ms` after that time; there
is no other way for it to open. `Gate` is that rule and nothing else, to copy into a PLC.

The last condition is the deadline's other side: a program that was held up (a full pipe, a busy host) would
else open for parts that are long gone, while others stand before the gate.

A trigger id alone names no part: a counter wraps or starts again, and a reader that was away is given old
verdicts. The id with the acknowledgement's `epoch` and `received_utc_ns` does; the verdict repeats them.

Why the answer has to be quick: the line dates a trigger by its arrival. One that was long on its way is given
a frame of the part that came after.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from inspectd.client import (
    Accepted,
    Evaluation,
    Liveness,
    PartVerdict,
    TriggerRequest,
    TriggerSender,
    VerdictReader,
)
from inspectd.client.clock import clock_seconds
from inspectd.text import printable

_TURN_SECONDS: Final = 0.005
_HEARD_AT_MOST: Final = 1000

Key = tuple[str, int, int]
"""Trigger id, epoch, and the trigger's arrival in nanoseconds since the Unix epoch: one part, for ever."""


@dataclass(frozen=True)
class Decision:
    """The gate's decision on one part."""

    trigger_id: str
    opened: bool
    at: float
    """Seconds, on the gate's clock."""
    because: str


class Gate:
    """Parts on their way from the photo eye to the gate, and which of them may pass.

    Args:
        travel_seconds: from the photo eye to the gate.
        answer_seconds: longest time from a trigger to its acknowledgement; together with the line's
            `window_ms` it must be shorter than a part stays before the camera.
        clock: seconds on a clock that never goes back, and goes on while this host sleeps, as the belt does.
        tolerance_seconds: longest time after a part's arrival at the gate in which the gate may still open
            for it; it must be shorter than the time to the next part.
    """

    def __init__(
        self,
        travel_seconds: float,
        answer_seconds: float,
        clock: Callable[[], float] = clock_seconds,
        *,
        tolerance_seconds: float = 0.1,
    ) -> None:
        self._travel_seconds = travel_seconds
        self._answer_seconds = answer_seconds
        self._clock = clock
        self._tolerance_seconds = tolerance_seconds
        self._arrives_at: dict[str, float] = {}
        self._accepted: dict[str, Key] = {}
        self._heard: dict[Key, PartVerdict] = {}

    def part(self, trigger_id: str) -> None:
        """A part passes the photo eye now; its trigger is sent right after."""
        self._arrives_at[trigger_id] = self._clock() + self._travel_seconds
        self._accepted.pop(trigger_id, None)

    def accepted(self, answer: Accepted) -> None:
        """The acknowledgement of a trigger came now."""
        seen_at = self._arrives_at.get(answer.trigger_id, 0.0) - self._travel_seconds
        if self._clock() <= seen_at + self._answer_seconds:
            self._accepted[answer.trigger_id] = (answer.trigger_id, answer.epoch, answer.received_utc_ns)

    def verdict(self, verdict: PartVerdict) -> None:
        """Note a verdict that may be for a part on its way; it may come before the acknowledgement.

        Of two for the same key the first one counts.
        """
        if self._clock() >= self._arrives_at.get(verdict.trigger_id, 0.0):
            return
        self._heard.setdefault((verdict.trigger_id, verdict.epoch, verdict.triggered_utc_ns), verdict)
        if len(self._heard) > _HEARD_AT_MOST:
            del self._heard[next(iter(self._heard))]

    def decide(self, *, line_is_alive: bool) -> Iterator[Decision]:
        """Open or stay closed for every part that is at the gate now.

        Yields:
            One decision after the other, each made when the caller has acted on the one before: what holds
            up the caller makes the next ones too late.
        """
        now = self._clock()
        here = [(trigger_id, at) for trigger_id, at in self._arrives_at.items() if at <= now]
        for trigger_id, arrives_at in here:
            if self._arrives_at.get(trigger_id) == arrives_at:  # else it is a new part of the same id by now
                yield self._decide(trigger_id, line_is_alive=line_is_alive)

    def _decide(self, trigger_id: str, *, line_is_alive: bool) -> Decision:
        now = self._clock()
        is_late = now - self._arrives_at.pop(trigger_id) > self._tolerance_seconds
        key = self._accepted.pop(trigger_id, None)
        verdict = self._heard.pop(key, None) if key else None
        if is_late:
            because = "too late to act"
        elif key is None:
            because = "not accepted in time"
        elif verdict is None:
            because = "no verdict in time"
        elif not line_is_alive:
            because = "the line is silent"
        elif verdict.late or verdict.evaluation is not Evaluation.PASS:
            because = f"{verdict.evaluation}, {verdict.reason}"
        else:
            return Decision(trigger_id, opened=True, at=now, because="pass")
        return Decision(trigger_id, opened=False, at=now, because=because)


def main() -> None:
    """Let parts pass the photo eye at a steady pitch, and print the gate's decision on each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("endpoint", help="such as ipc:///run/inspectd/line1/verdicts.sock")
    parser.add_argument("control", help="such as ipc:///run/inspectd/line1/control.sock")
    parser.add_argument("--travel-ms", type=float, default=600.0, help="from photo eye to gate")
    parser.add_argument(
        "--tolerance-ms", type=float, default=100.0, help="how long after its arrival the gate may still open"
    )
    parser.add_argument("--answer-ms", type=float, default=100.0, help="from trigger to acknowledgement")
    parser.add_argument("--pitch-ms", type=float, default=500.0, help="from part to part")
    parser.add_argument("--parts", type=int, default=20)
    parser.add_argument("--line", default="", help="PLANT/LINE of the triggers: any other line refuses them")
    arguments = parser.parse_args()
    gate = Gate(
        arguments.travel_ms / 1000,
        arguments.answer_ms / 1000,
        tolerance_seconds=arguments.tolerance_ms / 1000,
    )
    with VerdictReader(arguments.endpoint) as reader, TriggerSender(arguments.control) as sender:
        for number in range(1, arguments.parts + 1):
            trigger_id = f"{time.time_ns() // 1_000_000}-{number}"
            gate.part(trigger_id)
            answer = sender.send(
                TriggerRequest(trigger_id, line=arguments.line), timeout_seconds=arguments.answer_ms / 1000
            )
            if isinstance(answer, Accepted):
                gate.accepted(answer)
            else:
                print(
                    trigger_id, "not taken:", printable(answer.detail) if answer else "no answer", flush=True
                )
            watch(gate, reader, arguments.pitch_ms / 1000)
        watch(gate, reader, arguments.travel_ms / 1000)


def watch(gate: Gate, reader: VerdictReader, seconds: float) -> None:
    """Read verdicts and work the gate for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        item = reader.receive(_TURN_SECONDS)
        if isinstance(item, PartVerdict):
            gate.verdict(item)
        for decision in gate.decide(line_is_alive=reader.liveness is Liveness.ALIVE):
            print(decision.trigger_id, "OPEN" if decision.opened else "REJECT", decision.because, flush=True)


if __name__ == "__main__":
    main()
