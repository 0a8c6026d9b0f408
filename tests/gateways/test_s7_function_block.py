"""The function block of docs/gateways/s7.md, where the gateway writes its block while the program runs."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from support.plant_side import PlantSide
from support.s7 import function_block

from inspectd.gateways.parts import PlantTrigger
from inspectd.gateways.registers import status_words
from inspectd.gateways.s7.image import status_bytes
from inspectd.wire import Evaluation


class TornParts:
    """The page's function block on a hand-shake; every image that it reads is half old and half new once.

    A part is accepted and judged some milliseconds later, sometimes when the next one is there already. Odd
    numbers are good.
    """

    def __init__(self, seed: int) -> None:
        self.side = PlantSide()
        self.block = function_block(Travel=30, Answer=25)
        self.chance = random.Random(seed)
        self.shown = bytes(80)
        self.now = 0
        self.due: list[tuple[int, Callable[[], None]]] = []
        self.acquisitions: dict[int, int] = {}
        self.judged: dict[int, int] = {}

    def cycle(self, *, eye: bool) -> Any:
        self.now += 1
        self.side.now += 0.001
        self.side.alive()
        for due in [due for due in self.due if due[0] <= self.now]:
            self.due.remove(due)
            due[1]()
        new = bytes(status_bytes(self.side.handshake.read(100, 40, self.side.now), 7))
        cut, parts = 2 * self.chance.randint(0, 40), (new, self.shown)
        first, second = parts if self.chance.random() < 0.5 else parts[::-1]
        self.shown = new
        found = self.block.cycle(
            Status=list(struct.unpack(">40H", first[:cut] + second[cut:])), Now=self.now, Eye=eye
        )
        for order in self.side.write(0, *self.block.vars.Control):
            self.acquisitions[order.number] = order.acquisition
            self.due.append((self.now + self.chance.randint(0, 10), partial(self.accept, order)))
        return found

    def accept(self, order: PlantTrigger) -> None:
        answer = self.side.accept(order)
        evaluation = Evaluation.PASS if order.acquisition % 2 else Evaluation.FAIL
        later = self.now + self.chance.randint(0, 35)
        self.judged[order.number] = later
        self.due.append((later, partial(self.side.judge, answer, evaluation)))


def test_a_status_block_that_is_half_written_opens_for_the_part_that_is_there_or_none() -> None:
    parts, opened, rejected = TornParts(5), 0, 0
    for _ in range(100):
        eye_at, number = parts.now + 3, 0
        while True:
            found = parts.cycle(eye=parts.now >= eye_at)
            number = number or (found.Number if found.Step == 1 else 0)
            if found.Open or found.Reject:
                break
        is_good = number > 0 and parts.acquisitions[number] % 2 == 1
        assert is_good or not found.Open
        if is_good and parts.judged[number] < eye_at + 26:
            opened, rejected = opened + found.Open, rejected + found.Reject
        parts.cycle(eye=False)
    assert opened > 20
    assert rejected == 0


def image(**values: int) -> list[int]:
    """A status block of a gateway that is online."""
    block = status_bytes(status_words({"status": 0x881, "heartbeat": 1, "answer": 1} | values)[:40], 7)
    return list(struct.unpack(">40H", block))


def torn(one: list[int], other: list[int]) -> Iterator[list[int]]:
    """Every image that is half the one and half the other."""
    for cut in range(41):
        yield one[:cut] + other[cut:]
        yield other[:cut] + one[cut:]


def result(number: int, *, is_pass: bool) -> dict[str, int]:
    key = number & 0xFFFF ^ 0xA55A if is_pass else 0
    return {"inspection_id": number, "evaluation": 1 if is_pass else 2, "pass_key": key}


def test_no_half_of_an_answer_is_taken_for_one() -> None:
    before = image(answered_number=16, acquisition_id=70_001)
    after = image(answered_number=17, acquisition_id=70_002)
    block = function_block()
    for half in torn(before, after):
        found = block.cycle(Status=half, Now=1, Eye=False, Step=1, Number=17)
        assert found.Step in {1, 2}
        assert (found.Step == 2) <= (found.AcquisitionHigh << 16 | found.AcquisitionLow == 70_002)


def test_no_half_of_a_result_opens_or_is_given_away() -> None:
    answered = {"answered_number": 17, "acquisition_id": 70_002}
    at_gate = {"Step": 2, "Number": 17, "AcquisitionHigh": 70_002 >> 16, "AcquisitionLow": 70_002 & 0xFFFF}
    block = function_block()
    before = image(**answered, **result(70_001, is_pass=True))
    for is_good in (False, True):
        after = image(**answered, **result(70_002, is_pass=is_good))
        for half in torn(before, after):
            found = block.cycle(
                Status=half, Now=1, Eye=False, Pass=False, Shown=0, Control=[0] * 34, **at_gate
            )
            assert found.Pass <= is_good
            assert found.Control[33] == 0
            found = block.cycle(Status=after, Now=2, Eye=False)
            assert found.Pass == is_good
