"""Acceptance of the Modbus gateway with a PLC of another code base, modbus-serial; the stub scores.

    tools/install_npm_packages.sh .venv/bin/python tests/js
    PYTHONPATH=.:tests:tools python -m faults.modbus_acceptance [PARTS]

Takes about half an hour with 2,000 parts in each way and cycle; prints what it found, and exits 1 where it is
not as it should be.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from faults.acceptance import Checks, middle_and_tail, triggered_line
from support.daemon import Daemon
from support.gateway import GatewayProcess
from support.javascript import JavaScriptClient

EVALUATIONS: Final = {"pass": 1, "fail": 2, "undecidable": 3}


class Way(NamedTuple):
    """A hand-shake, by bits or by numbers, and how long the PLC waits from one cycle to the next."""

    by: str
    poll_ms: int


def parts(checks: Checks, daemon: Daemon, gateway: GatewayProcess, way: Way, count: int) -> None:
    """Parts one after the other; each result must be what the bus said of that part."""
    seen = len(daemon.reader.parts)
    plc = JavaScriptClient("modbus_plc.js", port=gateway.port, by=way.by, poll=way.poll_ms, parts=count)
    said = [*plc.said()]
    daemon.reader.read(500)
    on_bus = {part.trigger_id: part for part in daemon.reader.parts[seen:]}
    results = [each for each in said if each.get("trigger") in on_bus]
    same = [
        each for each in results
        if each["evaluation"] == EVALUATIONS[on_bus[each["trigger"]].evaluation]
        and each["key"] == (each["evaluation"] == 1)
    ]  # fmt: skip
    name = f"by {way.by}, a cycle of {way.poll_ms} ms"
    refused = sum("refused" in each for each in said)
    failed = [each for each in said if "failed" in each]
    is_whole = len(same) == len(results) == len({each["part"] for each in same}) == count and not failed
    checks.that(f"{name}: results as on the bus", f"{len(same)} of {count} {failed or ''}", ok=is_whole)
    print(f"      triggers refused, and sent again {refused}")
    latencies = [on_bus[each["trigger"]].latency_ms for each in results]
    print(f"      trigger to result {middle_and_tail([each['ms'] for each in results])}")
    print(f"      of that the line {middle_and_tail(latencies)}")


def accept(checks: Checks, folder: Path, count: int) -> None:
    """All ways, one after the other, on one line."""
    daemon = triggered_line(folder)
    gateway = None
    try:
        daemon.ready()
        gateway = GatewayProcess(folder / "gateway", daemon.runtime_dir, "[handshake]\nanswer_ms = 1000\n")
        for by in ("bits", "numbers"):
            for poll_ms in (5, 50):
                parts(checks, daemon, gateway, Way(by, poll_ms), count)
        log = gateway.log.read_text()
        checks.that("tracebacks in the gateway's log", log.count("Traceback"), ok="Traceback" not in log)
    finally:
        if gateway is not None:
            gateway.stop()
        daemon.close()


def main() -> int:
    """Run it; 1: something was wrong."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="modbus-") as name:
        accept(checks, Path(name), count)
    return 1 if checks.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
