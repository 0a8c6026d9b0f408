"""A PLC gates parts through a gateway while line, gateway and link are struck at random moments."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from faults import audit, journal, line
from faults.audit import Evidence, Opening, Truth
from faults.belt import FileView
from faults.fault import Context, Outcome, percentiles
from faults.parts import SIDE, Bank, Picture
from faults.plc import BitProgram, FailingLink, NumberProgram, PartProgram, Plc, PlcBlocks, S7Blocks
from support import s7
from support.gateway import GatewayProcess, PlcLink

from inspectd.scoring.stub import bank_sha256

_STUB: Final = Path(__file__).parents[2] / "tests" / "support" / "stub_daemon.py"
_DEADLINE_MS: Final = 250.0
_AFTERWARDS: Final = 8
"""Parts after the last strike."""
_CYCLE_SECONDS: Final = 0.005
_READY_SECONDS: Final = 10.0
"""More than a gateway of an S7 needs to see that it writes alone, also where it just lost the PLC."""
_CALM_SECONDS: Final = (0.3, 4.0)
_LONGEST_OUTAGE_SECONDS: Final = 1.2
_GATEWAY: Final = "[handshake]\nanswer_ms = 100\n"
_LINE: Final = "[triggers]\nwindow_ms = 100\n[evidence]\nenabled = false\n"
_GREY: Final = {True: 60, False: 200}
"""Of good and bad parts; the stub's score is their mean grey, and the threshold lies between."""


class GreyParts:
    """Parts that the stub can judge: dark ones are good, bright ones bad, and no two are alike."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._noise = np.random.default_rng(seed)

    def next(self) -> Picture:
        """Another part."""
        good = self._random.random() < 0.6
        noise = self._noise.integers(-20, 20, (SIDE, SIDE, 3))
        return Picture(good, (_GREY[good] + noise).astype(np.uint8))


def run_bits(context: Context) -> Outcome:
    """By the function block of the page."""
    return run_program(context, BitProgram())


def run_numbers(context: Context) -> Outcome:
    """By the fast hand-shake."""
    return run_program(context, NumberProgram())


def run_s7(context: Context) -> Outcome:
    """By the function block of the S7 page, in the data blocks of a PLC."""
    return run_program(context, BitProgram(s7.function_block), _s7)


Connected = tuple[GatewayProcess, FailingLink, PlcBlocks]


def _modbus(folder: Path, runtime_dir: Path) -> Connected:
    gateway = GatewayProcess(folder, runtime_dir, _GATEWAY)
    link = FailingLink(gateway.port)
    return gateway, link, PlcLink(link.port)


def _s7(folder: Path, runtime_dir: Path) -> Connected:
    plc = s7.S7Plc()
    link = FailingLink(plc.port)
    return s7.S7Gateway(folder, runtime_dir, link.port, _GATEWAY), link, S7Blocks(plc)


def run_program(
    context: Context, program: PartProgram, connect: Callable[[Path, Path], Connected] = _modbus
) -> Outcome:
    """Gate parts by a PLC's program; the line, the gateway and the link are struck meanwhile."""
    outcome = Outcome()
    view = FileView(context.folder / "eye" / line.VIEW)
    (context.folder / "eye").mkdir(parents=True)
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
    gateway, link, blocks = connect(context.folder / "gateway", daemon.runtime_dir)
    plc = Plc(blocks, program, view, parts.next)
    striker = _Striker(daemon, gateway, link, context.random)
    try:
        plc.run_idle(1.0)
        plc.run_until_ready(_READY_SECONDS)
        _measure_calm(outcome, plc, gateway, daemon, count=max(8, context.count // 20))
        before = plc.openings[:]
        plc.pause_seconds = _CYCLE_SECONDS  # how much a gateway bears is known now
        striker.start()
        while outcome.injected < context.count:
            plc.inspect()
            outcome.injected += 1
            context.advance()
        striker.stop()
        daemon.wait_ready()
        plc.run_idle(1.5)
        plc.run_until_ready(_READY_SECONDS)
        for _ in range(_AFTERWARDS):
            plc.inspect()
        time.sleep(0.5)
        outcome.require(gateway.stop() == 0, "the gateway did not end in order")
        outcome.require(daemon.stop() == 0, "the line did not end in order")
        said = gateway.log.read_text()
        outcome.require("Traceback" not in said, f"the gateway's log: {said[-2000:]}")
        _judge(outcome, plc, daemon, before)
        outcome.figures["struck"] = ", ".join(f"{what} {n}" for what, n in striker.done.items())
    finally:
        striker.stop()
        plc.close()
        link.close()
        gateway.kill()
        daemon.close()
    return outcome


def _judge(outcome: Outcome, plc: Plc, daemon: line.Line, before: Sequence[Opening]) -> None:
    """Check every part; `before` are those that came while all was up, and nothing was struck yet."""
    truth = Truth(bank_sha256("part"), int(_DEADLINE_MS * 1e6))
    evidence = Evidence(
        truth, plc.parts, plc.openings, daemon.listener.numbered[:], journal.committed(daemon.state_dir)
    )
    wrong = outcome.demand(audit.wrong_passes(evidence))
    opened = sum(opening.opened for opening in plc.openings)
    good = sum(part.good for part in plc.parts.values())
    outcome.figures["wrong passes"] = f"{wrong} of {len(plc.openings)} parts"
    outcome.figures["opened"] = f"{opened} of {good} good parts"
    for name, some in (("before", before), ("afterwards", plc.openings[-_AFTERWARDS:])):
        fit = [opening for opening in some if plc.parts[opening.trigger_id].good]
        missed = sum(not opening.opened for opening in fit)
        outcome.require(missed <= len(fit) // 2, f"{missed} of {len(fit)} good parts were rejected {name}")


def _measure_calm(
    outcome: Outcome, plc: Plc, gateway: GatewayProcess, daemon: line.Line, *, count: int
) -> None:
    """What the gateway costs while nothing is struck."""
    cpu, began, reads = gateway.cpu_seconds(), time.monotonic(), plc.reads
    for _ in range(count):
        plc.inspect()
    seconds = time.monotonic() - began
    share = (gateway.cpu_seconds() - cpu) / seconds
    rate = (plc.reads - reads) / seconds
    outcome.figures["gateway"] = (
        f"{gateway.rss_mb():.0f} MB, {share:.0%} of a core at {rate:.0f} cycles/s of the PLC"
    )
    heard = [heard for heard in daemon.listener.numbered if heard.of_part]
    there, back = [], []
    for verdict in heard:
        triggered_utc_ns, read_ns = plc.results.get(
            int(verdict.header["trigger_id"].rpartition("-")[2]), (0, 0)
        )
        if read_ns:
            there.append((verdict.header["triggered_utc_ns"] - triggered_utc_ns) / 1e6)
            back.append((read_ns - verdict.at_ns) / 1e6)
    outcome.figures["from the PLC's trigger to the line"] = percentiles(there, "ms")
    outcome.figures["from the bus to the PLC"] = percentiles(back, "ms")
    outcome.figures["verdicts of the line"] = percentiles(
        [verdict.header["latency_ms"] for verdict in heard], "ms"
    )


class _Striker:
    """Strikes at random moments, in a thread of its own."""

    def __init__(
        self, daemon: line.Line, gateway: GatewayProcess, link: FailingLink, chance: random.Random
    ) -> None:
        self.done = dict.fromkeys(("line killed", "gateway killed", "link cut", "link held"), 0)
        self._daemon, self._gateway, self._link, self._chance = daemon, gateway, link, chance
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="striker", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, with everything up again."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        ways: dict[str, Callable[[], None]] = {
            "line killed": self._kill_line,
            "gateway killed": self._kill_gateway,
            "link cut": self._cut,
            "link held": self._hold,
        }
        while not self._stop.wait(self._chance.uniform(*_CALM_SECONDS)):
            what = self._chance.choice([*ways])
            ways[what]()
            self.done[what] += 1

    def _outage(self) -> None:
        time.sleep(self._chance.uniform(0, _LONGEST_OUTAGE_SECONDS))

    def _kill_line(self) -> None:
        self._daemon.kill()
        self._outage()
        self._daemon.start()

    def _kill_gateway(self) -> None:
        self._gateway.kill()
        self._outage()
        self._gateway.start()

    def _cut(self) -> None:
        self._link.refused.set()
        self._link.cut()
        self._outage()
        self._link.refused.clear()

    def _hold(self) -> None:
        self._link.held.set()
        self._outage()
        self._link.held.clear()
