"""A line goes back to an epoch before the stream's last while the stream is compared with it.

No verdict comes by both ways, whichever of the two has the stream to itself first.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any, Self

import pytest
from nats.js import api
from prometheus_client import CollectorRegistry
from support.messages import verdict

from inspectd import wire
from inspectd.client import Replayed
from inspectd.fleet.forward import comparison, session
from inspectd.fleet.forward.metrics import ForwardMetrics
from inspectd.fleet.forward.other_writer import OtherWriter, new_writer
from inspectd.fleet.names import ID_HEADER, message_id
from inspectd.fleet.servers import NotThereError, Servers
from inspectd.fleet.settings import ForwardConfig, ForwardedLine, ForwardSettings
from inspectd.fleet.together import together
from inspectd.wire.sync import Position

BEFORE, NOW, AHEAD = 1, 2, 3
"""Epochs: the line is in the second one, the stream has the others."""
LINE = ForwardedLine(plant="demo", name="line1", verdicts="ipc:///nowhere/verdicts.sock")
NEW = [verdict(seq, NOW) for seq in range(1, 21)]


class Gate:
    """A test sees that somebody has come, and lets them through."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.came, self.opened = asyncio.Event(), asyncio.Event()
        if is_open:
            self.opened.set()

    async def __call__(self) -> None:
        self.came.set()
        await self.opened.wait()


class Stream:
    """The plant's servers, as far as a session asks them: each answer can be held up."""

    where = "here"
    until_lost = Servers.until_lost

    def __init__(self) -> None:
        self.js = self
        self.lost = asyncio.get_running_loop().create_future()
        self.stored: list[tuple[str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        for epoch in (BEFORE, AHEAD):
            for seq in range(1, 4):
                made = verdict(seq, epoch)
                self.stored.append((LINE.names.subject(made), {ID_HEADER: message_id(Position(epoch, seq))}))
        self.spans, self.last_of_epoch, self.acknowledgements = Gate(), Gate(), Gate()

    @property
    def new(self) -> list[int]:
        ids = [headers[ID_HEADER].removesuffix(":fix").split(":") for _, headers in self.stored]
        return sorted(int(seq) for epoch, seq in ids if int(epoch) == NOW)

    async def asked(self, answer: Awaitable[Any]) -> Any:
        return await answer

    async def publish_async(
        self, subject: str, body: bytes, headers: dict[str, str]
    ) -> asyncio.Future[api.PubAck]:
        await asyncio.sleep(0)
        self.bodies.append(body)
        self.stored.append((subject, headers))
        return asyncio.ensure_future(self._acknowledge(len(self.stored)))

    async def _acknowledge(self, sequence: int) -> api.PubAck:
        await self.acknowledgements()
        return api.PubAck(stream=LINE.names.stream, seq=sequence)

    async def stream_info(self, _: str, subjects_filter: str | None = None) -> Any:
        if subjects_filter is not None:
            await self.spans()
        subjects = Counter(subject for subject, _ in self.stored)
        return SimpleNamespace(
            state=SimpleNamespace(first_seq=1, last_seq=len(self.stored), subjects=subjects)
        )

    async def get_msg(self, _: str, seq: int, *, subject: str, **_more: bool) -> api.RawStreamMsg:
        return self._found(subject, min, seq)

    async def get_last_msg(self, _: str, subject: str) -> api.RawStreamMsg:
        if subject == LINE.names.verdicts(NOW):
            await self.last_of_epoch()
        return self._found(subject, max)

    def _found(self, subject: str, which: Any, first: int = 1) -> api.RawStreamMsg:
        begin = subject.rstrip("*>")
        places = [n for n, (kept, _) in enumerate(self.stored, 1) if kept.startswith(begin) and n >= first]
        if not places:
            raise NotThereError(subject)
        subject, headers = self.stored[which(places) - 1]
        return api.RawStreamMsg(subject=subject, seq=which(places), headers=headers)


class Meeting:
    """A session between those servers and a line that has gone back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, window: int = 200) -> None:
        self.stream, self.first = Stream(), Gate(is_open=False)
        self.given, self.all_given = iter(NEW), asyncio.Event()
        monkeypatch.setattr(session, "AsyncVerdictReader", lambda *_, **__: self)
        monkeypatch.setattr(comparison, "recorded", _recorded)
        monkeypatch.setattr(session.ForwardSession, "_check", _nothing)
        clock = asyncio.get_running_loop().time
        self.progress = session.Progress()
        self._session = session.ForwardSession(
            ForwardConfig(line=LINE, forward=ForwardSettings(window=window)),
            door=None,  # type: ignore[arg-type] # nothing connects
            metrics=ForwardMetrics(CollectorRegistry()),
            progress=self.progress,
            comparison=comparison.Comparison(LINE, LINE.names),
            other=OtherWriter(new_writer(), clock),
            clock=clock,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def receive(self, _: float) -> wire.Verdict | None:
        """As the reader of the line's verdicts."""
        await self.first()
        if (item := next(self.given, None)) is None:
            self.all_given.set()  # and sent
            await asyncio.sleep(0.01)
        self.header = b"" if item is None else _header(item)
        return item

    async def run(self, course: Awaitable[None]) -> list[int]:
        """What the stream has of the new epoch, once the comparison and the line are through."""

        async def end() -> None:
            await course
            await self.all_given.wait()
            while self.progress.compared_at is None:
                await asyncio.sleep(0.01)

        async with asyncio.timeout(10):
            await together(self._session.run(self.stream), end())  # type: ignore[arg-type]
        assert sorted(self.stream.bodies) == sorted(map(_header, NEW)), "as the line said it, by either way"
        return self.stream.new


async def _recorded(_: ForwardedLine, first: Position, last: Position) -> Any:
    for item in NEW:
        if first <= Position(item.epoch, item.seq) <= last:
            await asyncio.sleep(0)
            yield Replayed(item, _header(item))


def _header(item: wire.Verdict) -> bytes:
    """As a line publishes it that is of a later version."""
    return wire.encode(item)[:-1] + b',"said_by_a_later_version":1}'


async def _nothing(*_: object) -> None: ...


async def _all_wait() -> None:
    """Each goes as far as it can."""
    for _ in range(100):
        await asyncio.sleep(0)


def test_the_first_verdict_comes_while_the_comparison_has_the_stream(monkeypatch) -> None:
    monkeypatch.setattr(session, "_FIRST_COMPARISON_SECONDS", 0.0)

    async def meet() -> list[int]:
        meeting = Meeting(monkeypatch)
        spans = meeting.stream.spans = Gate(is_open=False)

        async def course() -> None:
            await spans.came.wait()
            meeting.first.opened.set()
            await _all_wait()
            spans.opened.set()

        return await meeting.run(course())

    assert asyncio.run(meet()) == [item.seq for item in NEW]


def test_the_comparison_begins_between_the_question_for_the_epoch_and_its_first_verdict(monkeypatch) -> None:
    monkeypatch.setattr(session, "_FIRST_COMPARISON_SECONDS", 0.1)

    async def meet() -> list[int]:
        meeting = Meeting(monkeypatch)
        asked = meeting.stream.last_of_epoch = Gate(is_open=False)
        meeting.first.opened.set()

        async def course() -> None:
            await asked.came.wait()
            await asyncio.sleep(0.2)  # the comparison waits for the stream now
            assert not meeting.stream.spans.came.is_set()
            asked.opened.set()

        return await meeting.run(course())

    assert asyncio.run(meet()) == [item.seq for item in NEW]


def test_a_repair_that_waited_for_room_is_not_sent_once_the_line_gives_it(monkeypatch) -> None:
    monkeypatch.setattr(session, "_FIRST_COMPARISON_SECONDS", 0.0)

    async def meet() -> list[int]:
        meeting = Meeting(monkeypatch, window=1)
        answers = meeting.stream.acknowledgements = Gate(is_open=False)

        async def course() -> None:
            await answers.came.wait()  # the first repair is under way
            await _all_wait()
            meeting.first.opened.set()
            await _all_wait()
            answers.opened.set()

        return await meeting.run(course())

    assert asyncio.run(meet()) == [item.seq for item in NEW]
