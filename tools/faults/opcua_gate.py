"""A gate behind the OPC UA gateway, while line, gateway and link are struck at random moments."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from faults import line
from faults.audit import Opening, Part
from faults.belt import FileView
from faults.fault import Context, Outcome, percentiles
from faults.gateways import _AFTERWARDS, _DEADLINE_MS, _LINE, _STUB, GreyParts, _judge, _Striker
from faults.parts import Bank, Picture
from faults.plc import ANSWER_MS, TOLERANCE_MS, TRAVEL_MS, FailingLink
from support.opcua import OpcUaGateway, PlantClient, meta_of

_PAUSE_SECONDS: Final = 0.03
_CUT_OFF: Final = (Exception, asyncio.CancelledError)
"""asyncua raises its own and others where a link is cut, and cancels the calls that wait for an answer."""


class OpcUaGate:
    """Parts one after the other before a camera, each a job, and each passed or not.

    Args:
        gateway: where it logs in.
        port: of the link to it.
        view: what the camera sees.
        next_picture: another part.
    """

    def __init__(
        self, gateway: OpcUaGateway, port: int, view: FileView, next_picture: Callable[[], Picture]
    ) -> None:
        self.parts: dict[str, Part] = {}
        self.openings: list[Opening] = []
        self.passed: dict[str, tuple[bool, int]] = {}
        """By JobId: whether it passed, and when its event came (monotonic)."""
        self._gateway, self._port, self._view, self._next_picture = gateway, port, view, next_picture
        self._client: PlantClient | None = None
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda *_: None)  # what is cut off ends in odd places
        threading.Thread(target=self._loop.run_forever, name="gate", daemon=True).start()
        self._keeper = asyncio.run_coroutine_threadsafe(self._keep_connected(), self._loop)

    def inspect(self) -> None:
        """Have one part pass, from the camera to the gate."""
        time.sleep(_PAUSE_SECONDS)
        picture = self._next_picture()
        part = Part("", picture.good, {"eye": self._view.show(picture)}, time.monotonic_ns())
        part.triggered_ns = time.monotonic_ns()
        job = asyncio.run_coroutine_threadsafe(self._start_job(), self._loop).result()
        gone_ms = (time.monotonic_ns() - part.triggered_ns) / 1e6
        time.sleep(max(0, TRAVEL_MS - gone_ms) / 1000)
        at_ns = time.monotonic_ns()
        passed, _ = self.passed.get(job, (False, 0))
        opened = bool(job) and passed and (at_ns - part.triggered_ns) / 1e6 <= TRAVEL_MS + TOLERANCE_MS
        part.trigger_id = job or f"{len(self.openings)}-none"
        self.parts[part.trigger_id] = part
        self.openings.append(Opening(part.trigger_id, opened, at_ns))

    def close(self) -> None:
        """Disconnect."""
        self._keeper.cancel()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def event_notification(self, event: Any) -> None:
        """A result comes."""
        self.passed.setdefault(
            event.JobId.Id, (meta_of(event).ResultEvaluation.name == "OK", time.monotonic_ns())
        )

    async def _start_job(self) -> str:
        if self._client is None:
            return ""
        try:
            async with asyncio.timeout(ANSWER_MS / 1000):
                job, _ = await self._client.job()
        except _CUT_OFF:  # a reject
            return ""
        return job

    async def _keep_connected(self) -> None:
        while True:
            try:
                async with asyncio.timeout(10):
                    client = await self._gateway.client("mes", port=self._port)
                    subscription = await client.create_subscription(10, self)
                    await subscription.subscribe_events(client.at(), client.result_ready, queuesize=1000)
                self._client = client
                while True:
                    await asyncio.sleep(0.2)
                    async with asyncio.timeout(1):
                        await client.state()
            except _CUT_OFF:  # it logs in again
                self._client = None
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                with contextlib.suppress(Exception):
                    client.disconnect_socket()
                await asyncio.sleep(0.1)


def run(context: Context) -> Outcome:
    """See `suite`."""
    outcome = Outcome()
    (context.folder / "eye").mkdir(parents=True)
    view = FileView(context.folder / "eye" / line.VIEW)
    parts = GreyParts(context.random.randrange(10**6))
    view.show(parts.next())
    (context.folder / "behaviour.json").write_text("{}")
    camera = line.camera(
        "eye", context.folder / "eye", fps=50,
        more='mode = "triggered"\n[cameras.quality]\nfrozen_frames = 0\n',
    )  # fmt: skip
    bank = Bank(Path("stub.bank"), 130 / 255)
    text = line.settings(bank, camera, deadline_ms=_DEADLINE_MS, metrics_port=0, extra=_LINE)
    daemon = line.Line(context.folder, text, program=(str(_STUB),))
    daemon.start()
    daemon.wait_ready()
    gateway = OpcUaGateway(context.folder / "gateway", daemon.runtime_dir, "answer_ms = 100", line="line")
    link = FailingLink(gateway.port)
    gate = OpcUaGate(gateway, link.port, view, parts.next)
    striker = _Striker(daemon, gateway, link, context.random)
    try:
        _wait_for_pass(gate)
        waited = len(gate.openings)  # until the client was logged in, which takes seconds of a busy machine
        _measure_calm(outcome, gate, gateway, daemon, count=max(8, context.count // 20))
        before = gate.openings[waited:]
        striker.start()
        while outcome.injected < context.count:
            gate.inspect()
            outcome.injected += 1
            context.advance()
        striker.stop()
        daemon.wait_ready()
        _wait_for_pass(gate)
        for _ in range(_AFTERWARDS):
            gate.inspect()
        time.sleep(0.5)
        outcome.require(gateway.stop() == 0, "the gateway did not end in order")
        outcome.require(daemon.stop() == 0, "the line did not end in order")
        said = gateway.log.read_text()
        outcome.require("Traceback" not in said, f"the gateway's log: {said[-2000:]}")
        _judge(outcome, gate, daemon, before)
        outcome.figures["struck"] = ", ".join(f"{what} {n}" for what, n in striker.done.items())
    finally:
        striker.stop()
        gate.close()
        link.close()
        gateway.kill()
        daemon.close()
    return outcome


def _wait_for_pass(gate: OpcUaGate) -> None:
    """Until the client is logged in and a part has passed."""
    end = time.monotonic() + 40
    while not (gate.openings and gate.openings[-1].opened):
        assert time.monotonic() < end, "no part passes"
        gate.inspect()


def _measure_calm(
    outcome: Outcome, gate: OpcUaGate, gateway: OpcUaGateway, daemon: line.Line, *, count: int
) -> None:
    """What the gateway costs while nothing is struck."""
    cpu, began = gateway.cpu_seconds(), time.monotonic()
    for _ in range(count):
        gate.inspect()
    share = (gateway.cpu_seconds() - cpu) / (time.monotonic() - began)
    outcome.figures["gateway"] = f"{gateway.rss_mb():.0f} MB, {share:.0%} of a core"
    back = [
        (gate.passed[heard.header["trigger_id"]][1] - heard.at_ns) / 1e6
        for heard in daemon.listener.numbered
        if heard.of_part and heard.header["trigger_id"] in gate.passed
    ]
    outcome.figures["from the bus to the client"] = percentiles(back, "ms")
