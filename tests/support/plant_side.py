"""A hand-shake under test without sockets: what the plant writes and reads, and what the line says."""

from __future__ import annotations

import struct
from typing import Any

from inspectd.gateways.handshake import Handshake, LineSeen, Order
from inspectd.gateways.parts import PlantTrigger
from inspectd.gateways.registers import FORMATS, STATUS, ControlBit, StatusBit
from inspectd.wire import Accepted, Evaluation, PartVerdict, Reason, ViewVerdict

EPOCH = 1_763_924_400_000
ENABLED = ControlBit.TRIGGER_ENABLE

_REGISTERS = {register.name: register for register in STATUS}


class PlantSide:
    """A plant, a line and a clock around one hand-shake."""

    def __init__(self, **settings: Any) -> None:
        """Nothing is alive yet, and nothing was written."""
        self.now = 100.0
        self.handshake = Handshake(
            **{
                "plant_seconds": None, "pass_hold_seconds": 2.0, "recipes": {12: "cells"},
                "first_acquisition": 70_000,
            } | settings
        )  # fmt: skip

    def alive(self, epoch: int = EPOCH) -> PlantSide:
        """The line is alive now."""
        self.handshake.line_seen(LineSeen(epoch), self.now)
        return self

    def online(self) -> PlantSide:
        """All is as it should be: the plant has written once, and triggers are enabled."""
        self.alive().control(ENABLED)
        assert self.has(StatusBit.ONLINE | StatusBit.TRIGGER_READY)
        return self

    def passes(self, seconds: float) -> PlantSide:
        """Time goes by with the line alive."""
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            self.alive()
        return self

    def write(self, first: int, *words: int) -> list[Order]:
        """The plant writes words."""
        return self.handshake.write(first, words, self.now)

    def control(self, bits: int) -> list[Order]:
        """The plant writes the word with the bits."""
        return self.write(0, bits)

    def trigger(self) -> PlantTrigger:
        """The trigger bit rises, and the line is asked."""
        (order,) = self.control(ENABLED | ControlBit.TRIGGER)
        assert isinstance(order, PlantTrigger)
        return order

    def value(self, name: str) -> Any:
        """A value of the status block."""
        _, word, kind = _REGISTERS[name]
        words = self.handshake.read(word, struct.calcsize(FORMATS[kind]) // 2, self.now)
        return struct.unpack(FORMATS[kind], struct.pack(f">{len(words)}H", *words))[0]

    def has(self, bits: int) -> bool:
        """All these bits of the status word are set."""
        return bool(self.value("status") & bits == bits)

    def accept(self, order: PlantTrigger, deadline_ms: float = 500.0) -> Accepted:
        """The line takes a trigger."""
        answer = accepted(order, deadline_ms)
        self.handshake.accepted(order, answer, self.now)
        return answer

    def judge(self, answer: Accepted, evaluation: Evaluation = Evaluation.PASS, **changes: Any) -> None:
        """The line judges the part of an acknowledgement."""
        self.handshake.saw_part(part(answer, evaluation, **changes), self.now)

    def taken(self) -> tuple[PlantTrigger, Accepted]:
        """A trigger that was acknowledged, with the bit down again."""
        order = self.trigger()
        answer = self.accept(order)
        assert self.has(StatusBit.TRIGGER_ACK)
        self.control(ENABLED)
        return order, answer

    @property
    def says_pass(self) -> bool:
        """What a plant takes for a pass."""
        key = self.value("inspection_id") & 0xFFFF ^ 0xA55A
        return self.has(StatusBit.RESULTS_VALID) and self.value("evaluation") == 1 == (
            self.value("pass_key") == key
        )


def accepted(order: PlantTrigger, deadline_ms: float = 500.0, epoch: int = EPOCH) -> Accepted:
    """The line's answer to a trigger."""
    return Accepted(order.trigger_id, epoch, order.acquisition * 1000, deadline_ms, ["top"], "cells")


def part(answer: Accepted, evaluation: Evaluation = Evaluation.PASS, **changes: Any) -> PartVerdict:
    """A part's verdict that belongs to an acknowledgement."""
    reason = {
        Evaluation.PASS: Reason.WITHIN_THRESHOLD,
        Evaluation.FAIL: Reason.ABOVE_THRESHOLD,
        Evaluation.UNDECIDABLE: Reason.FROZEN,
    }[evaluation]
    facts = {
        "plant": "demo", "line": "line1", "epoch": answer.epoch, "seq": 2, "trigger_id": answer.trigger_id,
        "part_id": None, "encoder_count": None, "evaluation": evaluation, "reason": reason,
        "triggered_utc_ns": answer.received_utc_ns, "decided_utc_ns": answer.received_utc_ns + 31_250_000,
        "latency_ms": 31.25, "deadline_ms": answer.deadline_ms, "deadline_margin_ms": 468.75, "late": False,
        "views": [ViewVerdict("top", 1, evaluation, reason)],
    }  # fmt: skip
    return PartVerdict(**facts | changes)
