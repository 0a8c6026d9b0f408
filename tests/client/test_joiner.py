"""The order of what a reader gives out, against a line that loses, forgets and restarts at random."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.messages import EPOCH, verdict

from inspectd.client.joiner import Joiner, LossReason, Lost
from inspectd.wire import Verdict
from inspectd.wire.sync import End, Error, ErrorReason, Position, Truncated, Verdicts


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Line:
    """What a daemon does, as far as a reader can tell: publishes, records most, replays what it recorded."""

    def __init__(self) -> None:
        self.epoch, self.seq = EPOCH, 0
        self.recorded: list[Position] = []
        self.floor = Position(0, 0)
        """Nothing at or before it is kept."""
        self.published: list[Position] = []

        self.ever_recorded: list[Position] = []
        self.live: list[Position] = []
        self.heard: dict[int, int] = {}
        """Epoch to the last number the reader heard of, live or by a heartbeat."""

    def publish(self, *, record: bool = True) -> Position:
        self.seq += 1
        here = Position(self.epoch, self.seq)
        self.published.append(here)
        if record:
            self.recorded.append(here)
            self.ever_recorded.append(here)
        return here

    def restart(self) -> None:
        self.epoch, self.seq = self.epoch + 7, 0

    def forget(self, count: int) -> None:
        if self.recorded[:count]:
            self.floor = self.recorded[:count][-1]
        self.recorded = self.recorded[count:]

    def replay(self, first: Position | None, limit: int) -> list[Any]:
        last = Position(self.epoch, self.seq)
        found = [p for p in self.recorded if (first is None or p >= first) and p <= last]
        answers: list[Any] = []
        if first is not None and first <= self.floor:
            oldest = found[0] if found else Position(last.epoch, last.seq + 1)
            answers.append((Truncated("", oldest), []))
        chunk = found[:limit]
        answers.append((Verdicts("", len(chunk)), [named(p) for p in chunk]))
        complete = len(found) <= limit
        answers.append((End("", last if complete else chunk[-1], complete, len(answers)), []))
        return answers


def named(position: Position) -> Verdict:
    return verdict(position.seq, position.epoch)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.booleans(), st.booleans()),  # recorded? heard?
        st.tuples(st.just("heartbeat")),
        st.tuples(st.just("repeat"), st.integers(0, 20)),
        st.tuples(st.just("restart")),
        st.tuples(st.just("forget"), st.integers(0, 6)),
        st.tuples(st.just("ask"), st.integers(1, 5)),
        st.tuples(st.just("answer"), st.booleans()),  # arrives?
        st.tuples(st.just("wait"), st.floats(0.1, 2)),
    ),
    max_size=120,
)


@settings(max_examples=400, deadline=None)
@given(STEPS, st.sampled_from(["now", "oldest"]), st.booleans())
def test_every_verdict_comes_once_in_order_or_is_named_as_lost(  # noqa: PLR0912 - one branch a step
    steps: list[Any], start: Any, resumes: bool
) -> None:
    line, clock = Line(), Clock()
    began = Position(EPOCH, 0) if resumes else None
    joiner = Joiner(began, start=start, clock=clock)
    answers: deque[Any] = deque()
    out: list[Any] = []

    def ask(limit: int) -> None:
        request = joiner.request()
        if request is not None:
            for answer, found in line.replay(request.first, limit):
                answers.append((msgspec.structs.replace(answer, request=request.request), found))

    for step, *how in steps:
        if step == "publish":
            here = line.publish(record=how[0])
            if how[1]:
                line.heard[here.epoch] = here.seq
                line.live.append(here)
                joiner.live(named(here))
        elif step == "heartbeat":
            line.heard[line.epoch] = line.seq
            joiner.heartbeat(line.epoch, line.seq)
        elif step == "repeat" and line.published:
            joiner.live(named(line.published[-1 - how[0] % len(line.published)]))
        elif step == "restart":
            line.restart()
        elif step == "forget" and joiner.position is not None:  # before, it has no claim to what is old
            line.forget(how[0])
        elif step == "ask":
            ask(how[0])
        elif step == "answer" and answers:
            answer, found = answers.popleft()
            if how[0]:
                joiner.answer(answer, found)
        elif step == "wait":
            clock.seconds += how[0]
        out += joiner.ready
        joiner.ready.clear()

    # In the end the line is heard and answers.
    answers.clear()
    for _ in range(200):
        joiner.heartbeat(line.epoch, line.seq)
        clock.seconds += 1.01
        ask(50)
        while answers:
            joiner.answer(*answers.popleft())
        out += joiner.ready
        joiner.ready.clear()
        if joiner.wake_at is None:
            break
    assert joiner.position == Position(line.epoch, line.seq)
    check(out, line, began)


def check(out: list[Any], line: Line, began: Position | None) -> None:
    """What came out against what was published: each verdict once, in order, or inside a loss."""
    got: list[Position] = []
    spans: list[tuple[Position, Position]] = []
    reached = began or Position(0, 0)
    for item in out:
        if isinstance(item, Lost):
            assert reached <= item.after < item.before or not got or item.after.seq == 0
            assert item.count is None or item.count > 0, "a loss of nothing"
            spans.append((item.after, item.before))
            reached = Position(item.before.epoch, item.before.seq - 1)
        else:
            here = Position(item.epoch, item.seq)
            assert here > reached, "out of order, or twice"
            got.append(here)
            reached = here
    assert {here for here in line.live if not began or here > began} <= set(got), "heard, and not given"
    heard_from = began or (min([*got, *(a for a, _ in spans)]) if got or spans else Position(2**60, 0))
    for here in line.published:
        if here > heard_from and here not in set(got):
            known = any(after < here < before for after, before in spans)
            assert known or not was_knowable(here, line), f"{here} is neither given nor lost"


def was_knowable(here: Position, line: Line) -> bool:
    """The tail of an epoch that was neither recorded nor heard of leaves no trace at all."""
    later = any(p.epoch == here.epoch and p >= here for p in line.ever_recorded)
    return later or here.epoch == line.epoch or here.seq <= line.heard.get(here.epoch, 0)


def test_a_held_verdict_is_given_though_the_journal_lacks_it() -> None:
    joiner = Joiner(Position(EPOCH, 1), clock=Clock())
    joiner.live(named(Position(EPOCH, 3)))
    joiner.live(named(Position(EPOCH, 5)))
    request = joiner.request()
    assert request is not None
    assert request.first == Position(EPOCH, 2)
    joiner.answer(Verdicts(request.request, 2), [named(Position(EPOCH, 2)), named(Position(EPOCH, 4))])
    joiner.answer(End(request.request, Position(EPOCH, 5), True, 1))
    assert [item.seq for item in joiner.ready] == [2, 3, 4, 5]


def test_a_line_that_ended_before_its_first_verdict_has_lost_none() -> None:
    joiner = Joiner(Position(EPOCH, 1), clock=Clock())
    joiner.heartbeat(EPOCH + 7, 0)
    joiner.live(named(Position(EPOCH + 14, 1)))
    request = joiner.request()
    assert request is not None
    joiner.answer(Verdicts(request.request, 1), [named(Position(EPOCH + 14, 1))])
    joiner.answer(End(request.request, Position(EPOCH + 14, 1), True, 1))
    assert list(joiner.ready) == [named(Position(EPOCH + 14, 1))]


def test_nobody_answers_and_what_is_missing_is_given_up_and_named() -> None:
    clock = Clock()
    joiner = Joiner(Position(EPOCH, 1), clock=clock, patience_seconds=3)
    joiner.live(named(Position(EPOCH, 5)))
    for _ in range(8):
        joiner.request()
        clock.seconds += 1.01
    assert list(joiner.ready) == [
        Lost(Position(EPOCH, 1), Position(EPOCH, 5), 3, LossReason.UNANSWERED),
        named(Position(EPOCH, 5)),
    ]


@pytest.mark.parametrize("patience", [0.4, 1.0, 1.5, 3.0, 10.0])
def test_patience_is_what_it_says(patience: float) -> None:
    clock = Clock()
    clock.seconds = 12_345.678
    joiner = Joiner(Position(EPOCH, 1), clock=clock, patience_seconds=patience)
    joiner.live(named(Position(EPOCH, 3)))
    began, requests = clock.seconds, 0
    while not joiner.ready:
        requests += joiner.request() is not None
        assert clock.seconds - began < patience + 0.001, "the verdict behind the lost one still waits"
        clock.seconds = joiner.wake_at or clock.seconds
    assert joiner.wake_at is None
    assert clock.seconds - began > patience - 0.001
    assert 2 <= requests <= max(2, patience)


def test_a_line_that_cannot_read_its_journal_now_is_asked_again_and_nothing_is_lost() -> None:
    clock = Clock()
    joiner = Joiner(Position(EPOCH, 1), clock=clock)
    joiner.live(named(Position(EPOCH, 3)))
    for _ in range(5):
        request = joiner.request()
        assert request is not None
        joiner.answer(Error(request.request, ErrorReason.BUSY, "the journal cannot be read now"))
        assert joiner.request() is None, "not at once"
        clock.seconds += 1.01
    request = joiner.request()
    assert request is not None
    joiner.answer(Verdicts(request.request, 1), [named(Position(EPOCH, 2))])
    joiner.answer(End(request.request, Position(EPOCH, 3), True, 1))
    assert list(joiner.ready) == [named(Position(EPOCH, 2)), named(Position(EPOCH, 3))]


def test_a_reader_that_was_stopped_itself_does_not_give_up_at_once() -> None:
    clock = Clock()
    joiner = Joiner(Position(EPOCH, 1), clock=clock, patience_seconds=3)
    joiner.live(named(Position(EPOCH, 5)))
    assert joiner.request() is not None
    clock.seconds += 60
    assert joiner.request() is not None
    assert not joiner.ready


def test_a_line_that_lost_all_it_knew_is_followed_from_where_it_began_anew() -> None:
    joiner = Joiner(Position(EPOCH, 900), clock=Clock())
    joiner.heartbeat(EPOCH - 50, 4)
    request = joiner.request()
    assert request is not None
    joiner.answer(Truncated(request.request, Position(EPOCH - 50, 1)))
    joiner.answer(Verdicts(request.request, 4), [named(Position(EPOCH - 50, n)) for n in range(1, 5)])
    joiner.answer(End(request.request, Position(EPOCH - 50, 4), True, 2))
    lost, *verdicts = joiner.ready
    assert lost == Lost(Position(EPOCH, 900), Position(EPOCH - 50, 1), None, LossReason.TRUNCATED)
    assert [v.seq for v in verdicts] == [1, 2, 3, 4]
    joiner.live(named(Position(EPOCH - 50, 5)))
    assert joiner.ready[-1].seq == 5
    assert joiner.wake_at is None


def test_what_is_held_is_bounded_and_the_rest_is_asked_for() -> None:
    joiner = Joiner(Position(EPOCH, 0), clock=Clock(), max_held=10)
    for seq in range(2, 100):
        joiner.live(named(Position(EPOCH, seq)))
    assert len(joiner._held) == 10
    request = joiner.request()
    assert request is not None
    joiner.answer(Verdicts(request.request, 1), [named(Position(EPOCH, 1))])
    joiner.answer(End(request.request, Position(EPOCH, 1), False, 1))
    again = joiner.request()
    assert again is not None
    assert again.first == Position(EPOCH, 2)


def test_what_is_ready_and_not_taken_is_bounded_and_the_rest_is_asked_for() -> None:
    joiner = Joiner(Position(EPOCH, 0), clock=Clock(), max_held=10)
    for seq in range(1, 100):
        joiner.live(named(Position(EPOCH, seq)))
    assert [verdict.seq for verdict in joiner.ready] == [*range(1, 11)]
    request = joiner.request()
    assert request is not None
    assert request.first == Position(EPOCH, 11)
