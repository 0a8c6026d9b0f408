"""Acceptance of the OPC UA gateway with a client of another code base, node-opcua; the stub scores.

    npm ci --ignore-scripts --prefix tests/js
    PYTHONPATH=.:tests:tools python -m faults.opcua_acceptance [PARTS]

Takes about two minutes with 200 parts; prints what it found, and exits 1 where it is not as it should be.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from support.daemon import WELL, Daemon, camera_table, settings
from support.opcua import LINE, ClientPki, OpcUaGateway

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "tests" / "js" / "opcua_client.js"
_found_wrong: list[str] = []


def check(name: str, value: object, *, ok: bool) -> None:
    print(f"{'ok   ' if ok else 'WRONG'} {name}: {value}", flush=True)
    if not ok:
        _found_wrong.append(name)


class NodeClient:
    """The client as a process; what it says comes as values."""

    def __init__(self, gateway: OpcUaGateway, action: str, pki: ClientPki | None = None, **more: Any) -> None:
        own = pki or gateway.pki
        pem = own.certificate.with_suffix(".crt.pem")
        subprocess.run(
            ["openssl", "x509", "-inform", "der", "-in", str(own.certificate), "-out", str(pem)], check=True
        )
        given = {
            "url": gateway.url, "pki": str(gateway.file.parent / "node-pki"), "certificate": str(pem),
            "key": str(own.key), "uri": own.uri, "user": "anna", "password": "pw-anna", "action": action,
            **more,
        }  # fmt: skip
        self.process = subprocess.Popen(
            ["node", str(CLIENT), json.dumps(given)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def said(self) -> Iterator[dict[str, Any]]:
        """What it says, until it ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
        self.process.wait()


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _both(values: list[float]) -> str:
    return f"p50 {percentile(values, 0.5):.1f} ms, p99 {percentile(values, 0.99):.1f} ms"


def jobs(daemon: Daemon, gateway: OpcUaGateway, parts: int) -> None:
    said, times = [], []
    for each in NodeClient(gateway, "jobs", count=parts, pace=100).said():
        said.append(each)
        if "answer" in each:
            times.append((time.monotonic(), gateway.cpu_seconds()))
    spent = times[-1][0] - times[0][0]
    cpu_share = (times[-1][1] - times[0][1]) / spent
    calls = [each for each in said if "answer" in each]
    events = {each["event"]["job"]: each for each in said if "event" in each}
    daemon.until(lambda: len(daemon.reader.parts) >= parts, 20)
    on_bus = {part.trigger_id: part for part in daemon.reader.parts}
    codes = {"pass": 1, "fail": 2, "undecidable": 3}
    taken = sum(each["answer"]["error"] == 0 for each in calls)
    check("jobs taken", taken, ok=taken == parts)
    check("results", len(events), ok=len(events) == parts == sum("event" in each for each in said))
    same = [
        each for each in calls
        if (event := events.get(each["answer"]["job"])) is not None
        and event["event"]["part"] == each["part"]
        and event["event"]["evaluation"] == codes[on_bus[each["answer"]["job"]].evaluation]
    ]  # fmt: skip
    check("part and evaluation as on the bus", len(same), ok=len(same) == parts)
    check(
        "different ResultIds", len({e["event"]["result"] for e in events.values()}), ok=len(events) == parts
    )
    fields = {(e["event"]["recipe"], e["event"]["partial"], e["event"]["state"]) for e in events.values()}
    check("recipe, partial, state", fields, ok=fields == {("cell", False, 1)})
    latencies = [each["ms"] for each in events.values()]
    answers = [each["ms"] for each in calls]
    print(f"      call to answer {_both(answers)}")
    print(f"      call to event {_both(latencies)}")
    print(f"      of that the line {_both([part.latency_ms for part in on_bus.values()])}")
    rate = (parts - 1) / spent
    print(f"      gateway: {cpu_share:.1%} of a core at {rate:.1f} parts/s, {gateway.rss_mb():.0f} MB")


def restart(gateway: OpcUaGateway) -> None:
    waiting = NodeClient(gateway, "wait", seconds=60, retry=True)
    events: list[float] = []
    ready = threading.Event()
    last: dict[str, Any] = {}

    def read() -> None:
        for each in waiting.said():
            last.update(each)
            events.append(time.monotonic())
            ready.set()

    reader = threading.Thread(target=read)
    reader.start()
    ready.wait(20)
    gateway.kill()
    gateway.start()
    up = time.monotonic()
    missed = [*NodeClient(gateway, "jobs", count=5, pace=100).said()]  # while the other one still comes back
    first = None
    while time.monotonic() < up + 30 and first is None:
        [*NodeClient(gateway, "jobs", count=1, pace=100).said()]
        first = next((at for at in events if at > up), None)
    check("unattended client hears again after a kill, s", None if first is None else round(first - up, 1),
          ok=first is not None and first - up < 20)  # fmt: skip
    check(
        "jobs meanwhile",
        sum("event" in each for each in missed),
        ok=sum("event" in each for each in missed) == 5,
    )
    cpu = gateway.cpu_seconds()
    time.sleep(10)
    share = (gateway.cpu_seconds() - cpu) / 10
    check("gateway's share of a core after it", f"{share:.1%}", ok=share < 0.10)
    waiting.process.kill()
    reader.join()


def refusals(gateway: OpcUaGateway, folder: Path) -> None:
    old, stranger = ClientPki(folder / "old", days=-1), ClientPki(folder / "stranger")
    gateway.certificates.trust(str(old.certificate))
    for name, status, more in (
        ("a stranger", "BadCertificateUntrusted", {"pki": stranger}),
        ("an old certificate", "BadCertificateTimeInvalid", {"pki": old}),
        ("a wrong password", "BadUserAccessDenied", {"password": "wrong"}),
    ):
        said = [*NodeClient(gateway, "login", **more).said()]
        text = said[0].get("failed", "let in") if said else "nothing"
        recorded = gateway.audited(result=status)
        check(name, f"{text[:90]!r}, recorded {recorded}", ok="failed" in (said or [{}])[0] and recorded)
    (said,) = [*NodeClient(gateway, "login", user="").said()]
    text = said.get("failed", "let in")  # the client finds that it is not offered, and does not even try
    check("anonymous", repr(text[:90]), ok="ANONYMOUS" in text)
    (said,) = [*NodeClient(gateway, "login", user="mes", password="pw-mes", recipe="cell").said()]
    recorded = gateway.audited(action="PrepareRecipe", who="mes", result="BadUserAccessDenied")
    check(
        "an operator prepares a recipe",
        said["prepared"],
        ok=said["prepared"] == "BadUserAccessDenied" and recorded,
    )
    (said,) = [*NodeClient(gateway, "login", recipe="nothing").said()]
    check("an unknown recipe", said, ok=said["error"] == -2 and said["state"] == "Ready")


def load(daemon: Daemon, gateway: OpcUaGateway) -> None:
    def p99() -> float:
        before = len(daemon.reader.parts)
        [*NodeClient(gateway, "jobs", count=100, pace=50).said()]
        daemon.reader.read(500)
        return percentile([part.latency_ms for part in daemon.reader.parts[before:]], 0.99)

    quiet = p99()
    clients = [NodeClient(gateway, "load", count=20, seconds=60, interval=1) for _ in range(5)]
    for each in clients:
        assert next(each.said()) == {"ready": True}
    sockets = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(15)]
    busy = p99()
    for each in clients:
        each.process.kill()
    for one in sockets:
        one.close()
    check("verdict p99 of the line, quiet and with 100 subscriptions and 20 connections, ms",
          f"{quiet:.1f}, {busy:.1f}", ok=busy < quiet + 50)  # fmt: skip


def main() -> int:
    parts = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory(prefix="opcua-") as name:
        folder = Path(name)
        pictures = folder / "pictures"
        pictures.mkdir()
        for number in range(20):
            noise = np.random.default_rng(number).integers(60, 190, (64, 64, 3), np.uint8)
            cv2.imwrite(str(pictures / f"{number:02}.png"), noise)
        text = settings(
            Path("stub.bank"), camera_table("top", pictures, fps=50, mode='"triggered"', slots=32),
            deadline_ms=2000, extra="[triggers]\nmax_delay_ms = 2000",
        )  # fmt: skip
        (folder / "line").mkdir()
        daemon = Daemon(folder / "line", text, behaviour=WELL)
        gateway = None
        try:
            daemon.ready()
            began = time.monotonic()
            gateway = OpcUaGateway(
                folder / "gateway",
                daemon.runtime_dir,
                "answer_ms = 2000\nmax_connections = 32\nmax_subscriptions = 128",
            )
            print(f"      gateway listens after {time.monotonic() - began:.1f} s, {gateway.rss_mb():.0f} MB")
            time.sleep(3)
            (browsed,) = [*NodeClient(gateway, "browse").said()]
            check(
                f"nodes below Objects/{LINE} without a bad status", browsed, ok=not browsed.get("bad", True)
            )
            jobs(daemon, gateway, parts)
            refusals(gateway, folder)
            restart(gateway)
            load(daemon, gateway)
            check("tracebacks in the gateway's log", gateway.log.read_text().count("Traceback"),
                  ok="Traceback" not in gateway.log.read_text())  # fmt: skip
        finally:
            if gateway is not None:
                gateway.stop()
            daemon.close()
    return 1 if _found_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
