"""What an agent says of its line while a newer order comes, beside a line that a test plays."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from support.orders import NOW_NS, an_order, people_with_keys
from support.played_line import PlayedLine

from inspectd.fleet.agent.line_side import LineDesk, LineEar
from inspectd.fleet.agent.metrics import AgentMetrics
from inspectd.fleet.agent.order import SignedOrder, Wave, canonical
from inspectd.fleet.agent.report import AgentState
from inspectd.fleet.agent.settings import AgentConfig, AgentLine, AgentSettings, Signer
from inspectd.fleet.agent.signing import sign
from inspectd.fleet.agent.state import StateFolder, Told
from inspectd.fleet.agent.work import OrderBook, OrderWork, Outlook

LISTED = (
    """{"id":"cells","version":1,"recipe":{"id":"cells","version":1,"sha256":"%s","content_sha256":"%s",
"cameras":{"top":{"bank_sha256":"%s"}}}}""".replace("\n", "")
    % ("d" * 64, "a" * 64, "b" * 64)
)
STORE = f"""#!/bin/sh
case "$*" in
*history*) echo a record ;;
*) touch "$0.asked"; until [ -e "$0.answers" ]; do sleep 0.01; done; echo '{LISTED}' ;;
esac
"""
"""In the place of `inspectd recipe`: says what is in the store when the test has it."""


class Course:
    """An agent that has carried out order 7, its line by `cells@1`, and the line's store."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "store"
        self.store.write_text(STORE)
        self.store.chmod(0o755)
        self._asked, self._answers = Path(f"{self.store}.asked"), Path(f"{self.store}.answers")
        self._people = people_with_keys(folder, "anna", "otto")
        settings = AgentConfig(
            line=AgentLine(plant="test", name="line", verdicts=f"ipc://{folder}/verdicts.sock"),
            fleet=AgentSettings(line_file=str(folder / "line1.toml")),
            signers=tuple(Signer(name=name, key=key) for name, (_, key) in self._people.items()),
        )
        metrics, state = AgentMetrics(CollectorRegistry()), StateFolder(str(folder))
        self._book = OrderBook(settings, state, metrics, lambda: NOW_NS + 1)
        self.outlook, self.ear = Outlook(metrics, lambda: None), LineEar(settings.line, time.monotonic)
        self.work = OrderWork(
            settings, book=self._book, folder=state, desk=LineDesk(settings.line, self.ear, 10),
            metrics=metrics, outlook=self.outlook, clock_ns=lambda: NOW_NS + 1,
        )  # fmt: skip
        self.accept(7)
        assert self._book.order is not None
        self._book.done(self._book.order, 1)

    def accept(self, serial: int) -> None:
        signed = SignedOrder(canonical(an_order(serial=serial, waves=(Wave(lines=("line",)),))))
        for name, (key, _) in self._people.items():
            signed = sign(signed, name, key)
        assert self._book.take(msgspec.json.encode(signed), Told(serial, serial))
        self.outlook.now(AgentState.WAITING, "it was accepted")

    async def look(self, meanwhile: Callable[[], None] = lambda: None) -> AgentState:
        """The state after a look; `meanwhile` comes between the question to the store and its answer."""
        for file in (self._asked, self._answers):
            file.unlink(missing_ok=True)
        look = asyncio.create_task(self.work.once())
        while not self._asked.exists():
            await asyncio.sleep(0.01)
        meanwhile()
        self._answers.touch()
        await look
        return self.outlook.state


@pytest.fixture
def line(tmp_path: Path) -> Iterator[PlayedLine]:
    played = PlayedLine(tmp_path)
    yield played
    played.stop()


@pytest.fixture
def course(tmp_path: Path, line: PlayedLine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Course]:
    made = Course(tmp_path)
    monkeypatch.setattr(sys, "executable", str(made.store))
    with contextlib.closing(made.ear):
        yield made


def test_what_is_seen_of_an_order_is_not_said_of_the_one_that_came_meanwhile(course: Course) -> None:
    assert asyncio.run(course.look(lambda: course.accept(8))) is AgentState.WAITING


def test_a_line_that_has_changed_is_not_said_to_run_what_it_ran_before(
    course: Course, line: PlayedLine
) -> None:
    async def looks() -> None:
        assert await course.look() is AgentState.RUNNING
        line.in_force = "glass@3"
        seen: list[AgentState] = []
        assert await course.look(lambda: seen.append(course.outlook.state)) is AgentState.HELD
        assert seen == [AgentState.WAITING]

    asyncio.run(looks())
