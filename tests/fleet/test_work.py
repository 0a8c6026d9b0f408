"""What an agent says of its line while a newer order comes, beside a line that a test plays."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
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
    """{"id":"cells","version":1,"recipe":{"id":"cells","version":1,"sha256":"%s",
"cameras":{"top":{"bank_sha256":"%s"}}}}""".replace("\n", "")
    % ("a" * 64, "b" * 64)
)
STORE = f"""#!/bin/sh
case "$*" in
*history*) echo a record ;;
*) touch "$0.asked"; until [ -e "$0.answers" ]; do sleep 0.01; done; echo '{LISTED}' ;;
esac
"""
"""In the place of `inspectd recipe`: says what is in the store when the test has it."""


@pytest.mark.parametrize(("newer_comes", "said"), [(False, AgentState.RUNNING), (True, AgentState.WAITING)])
def test_what_is_seen_of_an_order_is_not_said_of_the_one_that_came_meanwhile(
    newer_comes: bool, said: AgentState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    store.write_text(STORE)
    store.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(store))
    people = people_with_keys(tmp_path, "anna", "otto")

    def entry(serial: int) -> bytes:
        signed = SignedOrder(canonical(an_order(serial=serial, waves=(Wave(lines=("line",)),))))
        for name, (key, _) in people.items():
            signed = sign(signed, name, key)
        return msgspec.json.encode(signed)

    settings = AgentConfig(
        line=AgentLine(plant="test", name="line", verdicts=f"ipc://{tmp_path}/verdicts.sock"),
        fleet=AgentSettings(line_file=str(tmp_path / "line1.toml")),
        signers=tuple(Signer(name=name, key=key) for name, (_, key) in people.items()),
    )
    metrics, folder = AgentMetrics(CollectorRegistry()), StateFolder(str(tmp_path))
    book = OrderBook(settings, folder, metrics, lambda: NOW_NS + 1)
    outlook, ear = Outlook(metrics, lambda: None), LineEar(settings.line, time.monotonic)
    work = OrderWork(
        settings, book=book, folder=folder, desk=LineDesk(settings.line, ear, 10), metrics=metrics,
        outlook=outlook, clock_ns=lambda: NOW_NS + 1,
    )  # fmt: skip
    asked, answers = Path(f"{store}.asked"), Path(f"{store}.answers")

    async def looked() -> AgentState:
        look = asyncio.create_task(work.once())
        while not asked.exists():
            await asyncio.sleep(0.01)
        if newer_comes:
            assert book.take(entry(8), Told(2, 2))
            outlook.now(AgentState.WAITING, "it was accepted")
        answers.touch()
        await look
        return outlook.state

    assert book.take(entry(7), Told(1, 1))
    assert book.order is not None
    book.done(book.order, 1)
    with contextlib.closing(ear), contextlib.ExitStack() as open_now:
        open_now.callback(PlayedLine(tmp_path).stop)
        assert asyncio.run(looked()) is said
