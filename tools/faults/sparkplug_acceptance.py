"""Acceptance of the Sparkplug gateway with a host of another code base, sparkplug-payload by Cirrus Link.

    tools/install_npm_packages.sh .venv/bin/python tests/js
    PYTHONPATH=.:tests:tools python -m faults.sparkplug_acceptance [PARTS]

Takes about four minutes with 2,000 parts; prints what it found, and exits 1 where it is not as it should be.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults.acceptance import Checks, free_running_line
from support.javascript import JavaScriptClient
from support.mqtt_broker import Mosquitto
from support.sparkplug_gateway import SparkplugGateway, sparkplug_file

_OF_NODE = {"bdSeq", "Node Control/Rebirth"}
"""Metrics without an alias."""


class DecodedHost:
    """What a host has of an edge node by the other code base's decoder, and which rules were broken."""

    def __init__(self, port: int) -> None:
        self.broken: list[str] = []
        self.counts: Counter[str] = Counter()
        self.births: list[float] = []
        self.parts: list[dict[str, Any]] = []
        self.client = JavaScriptClient("sparkplug_host.js", port=port)
        self._seq: int | None = None
        self._bd_seq: int | None = None
        self._names: dict[int, str] = {}
        self._thread = threading.Thread(target=self._read, name="host", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self.client.process.kill()
        self._thread.join()
        self.client.close()

    def _read(self) -> None:
        for message in self.client.said():
            self._take(**message)

    def _need(self, what: str, *, ok: bool) -> None:
        if not ok:
            self.broken.append(what)

    def _take(
        self, kind: str, device: str | None, seq: int | None, metrics: list[dict[str, Any]], **of: Any
    ) -> None:
        self.counts[kind] += 1
        self._need(f"{kind} is retained", ok=not of["retain"])
        if kind == "NDEATH":
            (metric,) = metrics
            self._need(f"NDEATH with seq {seq}", ok=seq is None)
            self._need(f"NDEATH of {metric['value']}, not {self._bd_seq}",
                       ok=metric["name"] == "bdSeq" and metric["value"] == self._bd_seq)  # fmt: skip
            self._seq = None
            return
        if kind == "NBIRTH":
            self.births.append(time.monotonic())
            self._need(f"NBIRTH with seq {seq}", ok=seq == 0)
            self._names = {}
            values = {metric["name"]: metric["value"] for metric in metrics}
            self._bd_seq = values["bdSeq"]
            self._need("Node Control/Rebirth is not false", ok=values["Node Control/Rebirth"] is False)
        else:
            expected = None if self._seq is None else (self._seq + 1) % 256
            self._need(f"{kind}: seq {seq}, expected {expected}", ok=seq == expected)
        self._seq = seq
        if kind.endswith("BIRTH"):
            for metric in metrics:
                whole = metric["name"] and metric["type"] and metric["timed"]
                named = metric["name"] in _OF_NODE or metric["alias"] is not None
                self._need(f"{kind}: {metric}", ok=bool(whole and named))
                if metric["alias"] is not None:
                    self._names[metric["alias"]] = metric["name"]
        elif kind.endswith("DATA"):
            known = all(not m["name"] and m["alias"] in self._names and m["timed"] for m in metrics)
            self._need(f"{kind}: {metrics[:2]}", ok=known)
            if device == "parts" and known:
                historical = {metric["historical"] for metric in metrics}
                row = {self._names[metric["alias"]]: metric["value"] for metric in metrics}
                self.parts.append({**row, "historical": historical == {True}})


class SparkplugTrial:
    """A line, a broker, a gateway and a host, and what is done to them.

    Args:
        checks: takes what was found.
        folder: for their files.
        away_seconds: how long the broker is away.
    """

    def __init__(self, checks: Checks, folder: Path, away_seconds: float) -> None:
        self._checks, self._folder, self._away_seconds = checks, folder, away_seconds
        self._broker = Mosquitto(folder).start()
        self._daemon = free_running_line(folder)
        self._host: DecodedHost | None = None
        self._gateway: SparkplugGateway | None = None

    def run(self, count: int) -> None:
        """At least this many parts, with all that is done between them."""
        self._daemon.ready()
        self._start_gateway()
        self._host = host = DecodedHost(self._broker.port)
        steps: list[Callable[[], None]] = [
            self._ask_for_births, self._host_goes_and_comes, self._kill_gateway, self._restart_broker,
        ]  # fmt: skip
        for number, step in enumerate(steps, 1):
            self._until(lambda number=number: len(self._told()) >= number * count // (len(steps) + 1))
            step()
        self._until(lambda: len(self._told()) >= count)
        time.sleep(1.0)
        self._judge(host)

    def close(self) -> None:
        """End all."""
        if self._host is not None:
            self._host.close()
        if self._gateway is not None:
            self._gateway.close()
        self._daemon.close()
        self._broker.close()

    def _told(self) -> set[int]:
        assert self._host is not None
        return {part["Seq"] for part in self._host.parts}

    def _until(self, condition: Callable[[], bool], timeout_seconds: float = 300.0) -> None:
        end = time.monotonic() + timeout_seconds
        while not condition():
            assert time.monotonic() < end, (self._folder / "gateway" / "log").read_text()[-2000:]
            self._daemon.reader.read(50)

    def _start_gateway(self) -> None:
        text = sparkplug_file(self._daemon, self._broker, node='primary_host = "scada"')
        self._gateway = SparkplugGateway(self._folder / "gateway", text)

    def _ask_for_births(self) -> None:
        assert self._host is not None
        before, began = len(self._host.births), time.monotonic()
        for _ in range(100):
            self._host.client.tell("rebirth")
        while time.monotonic() < began + 3:
            self._daemon.reader.read(50)
        births = len(self._host.births) - before
        self._checks.that("births after 100 requests, within 3 s", births, ok=1 <= births <= 4)

    def _host_goes_and_comes(self) -> None:
        assert self._host is not None
        deaths = self._host.counts["NDEATH"]
        self._host.client.tell("offline")
        self._until(lambda: self._host is not None and self._host.counts["NDEATH"] > deaths, 10)
        births = len(self._host.births)
        self._daemon.reader.read(2000)
        self._checks.that("births while the primary host is away", len(self._host.births) - births,
                          ok=len(self._host.births) == births)  # fmt: skip
        self._host.client.tell("online")
        self._until(lambda: self._host is not None and len(self._host.births) > births, 10)

    def _kill_gateway(self) -> None:
        assert self._gateway is not None
        assert self._host is not None
        deaths, births = self._host.counts["NDEATH"], len(self._host.births)
        self._gateway.stop(signal.SIGKILL)
        self._until(lambda: self._host is not None and self._host.counts["NDEATH"] > deaths, 30)
        self._daemon.reader.read(2000)
        self._start_gateway()
        self._until(lambda: self._host is not None and len(self._host.births) > births, 30)

    def _restart_broker(self) -> None:
        assert self._host is not None
        births = len(self._host.births)
        self._broker.close()
        end = time.monotonic() + self._away_seconds
        while time.monotonic() < end:
            self._daemon.reader.read(50)
        self._broker.start()
        self._until(lambda: self._host is not None and len(self._host.births) > births, 60)

    def _judge(self, host: DecodedHost) -> None:
        on_bus = {verdict.seq: verdict for verdict in self._daemon.reader.verdicts}
        told = sorted(self._told())
        missing = sorted(set(range(told[0], told[-1] + 1)) - set(told))
        codes = {"pass": 1, "fail": 2, "undecidable": 3}
        other = [
            part["Seq"] for part in host.parts
            if part["Seq"] in on_bus and (part["Evaluation"], part["Reason"])
            != (codes[on_bus[part["Seq"]].evaluation], on_bus[part["Seq"]].reason)
        ]  # fmt: skip
        historical = sum(part["historical"] for part in host.parts)
        self._checks.that("parts missing", f"{len(missing)} of {len(told)}", ok=not missing)
        self._checks.that("parts unlike the bus", len(other), ok=not other)
        self._checks.that("told late, as historical", historical, ok=historical > 0)
        self._checks.that("rules broken", host.broken[:5], ok=not host.broken)
        print(f"      messages {dict(host.counts)}, told twice {len(host.parts) - len(told)}")
        log = (self._folder / "gateway" / "log").read_text()
        self._checks.that(
            "tracebacks in the gateway's log", log.count("Traceback"), ok="Traceback" not in log
        )


def accept(checks: Checks, folder: Path, count: int, away_seconds: float) -> None:
    """The whole trial."""
    trial = SparkplugTrial(checks, folder, away_seconds)
    try:
        trial.run(count)
    finally:
        trial.close()


def main() -> int:
    """Run it; 1: something was wrong."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="sparkplug-") as name:
        accept(checks, Path(name), count, away_seconds=60.0)
    return 1 if checks.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
