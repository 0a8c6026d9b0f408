"""Acceptance of the OPC UA gateway with a client of another code base, node-opcua; the stub scores.

    tools/install_npm_packages.sh .venv/bin/python tests/js
    PYTHONPATH=.:tests:tools python -m faults.opcua_acceptance [PARTS]

Takes about four minutes with 200 parts; prints what it found, and exits 1 where it is not as it should be.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from faults.acceptance import Checks, middle_and_tail, percentile, triggered_line
from support.daemon import Daemon
from support.javascript import JavaScriptClient
from support.opcua import LINE, ClientPki, OpcUaGateway, hello, send_junk


def identity(pki: ClientPki) -> dict[str, str]:
    """A client's certificate, as node-opcua takes it."""
    pem = pki.certificate.with_suffix(".crt.pem")
    subprocess.run(
        ["openssl", "x509", "-inform", "der", "-in", str(pki.certificate), "-out", str(pem)], check=True
    )
    return {"certificate": str(pem), "key": str(pki.key), "uri": pki.uri}


def client(gateway: OpcUaGateway, action: str, **more: Any) -> JavaScriptClient:
    """The client as a process, with the gateway's own certificate for it."""
    given = {
        "url": gateway.url, "pki": str(gateway.file.parent / "node-pki"), **identity(gateway.pki),
        "user": "anna", "password": "pw-anna", "action": action,
    }  # fmt: skip
    return JavaScriptClient("opcua_client.js", **given | more)


def jobs(checks: Checks, daemon: Daemon, gateway: OpcUaGateway, parts: int) -> None:
    said, times = [], []
    for each in client(gateway, "jobs", count=parts, pace=100).said():
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
    checks.that("jobs taken", taken, ok=taken == parts)
    checks.that("results", len(events), ok=len(events) == parts == sum("event" in each for each in said))
    same = [
        each for each in calls
        if (event := events.get(each["answer"]["job"])) is not None
        and event["event"]["part"] == each["part"]
        and event["event"]["evaluation"] == codes[on_bus[each["answer"]["job"]].evaluation]
    ]  # fmt: skip
    checks.that("part and evaluation as on the bus", len(same), ok=len(same) == parts)
    checks.that(
        "different ResultIds", len({e["event"]["result"] for e in events.values()}), ok=len(events) == parts
    )
    fields = {(e["event"]["recipe"], e["event"]["partial"], e["event"]["state"]) for e in events.values()}
    checks.that("recipe, partial, state", fields, ok=fields == {("cell", False, 1)})
    latencies = [each["ms"] for each in events.values()]
    answers = [each["ms"] for each in calls]
    print(f"      call to answer {middle_and_tail(answers)}")
    print(f"      call to event {middle_and_tail(latencies)}")
    print(f"      of that the line {middle_and_tail([part.latency_ms for part in on_bus.values()])}")
    rate = (parts - 1) / spent
    print(f"      gateway: {cpu_share:.1%} of a core at {rate:.1f} parts/s, {gateway.rss_mb():.0f} MB")


def restart(checks: Checks, gateway: OpcUaGateway) -> None:
    waiting = client(gateway, "wait", seconds=60, retry=True)
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
    missed = [*client(gateway, "jobs", count=5, pace=100).said()]  # while the other one still comes back
    first = None
    while time.monotonic() < up + 30 and first is None:
        [*client(gateway, "jobs", count=1, pace=100).said()]
        first = next((at for at in events if at > up), None)
    took = None if first is None else round(first - up, 1)
    checks.that("unattended client hears again after a kill, s", took, ok=took is not None and took < 20)
    checks.that(
        "jobs meanwhile",
        sum("event" in each for each in missed),
        ok=sum("event" in each for each in missed) == 5,
    )
    cpu = gateway.cpu_seconds()
    time.sleep(10)
    share = (gateway.cpu_seconds() - cpu) / 10
    checks.that("gateway's share of a core after it", f"{share:.1%}", ok=share < 0.10)
    waiting.process.kill()
    reader.join()


def refusals(checks: Checks, gateway: OpcUaGateway, folder: Path) -> None:
    old, stranger = ClientPki(folder / "old", days=-1), ClientPki(folder / "stranger")
    gateway.certificates.trust(str(old.certificate))
    refused = (
        ("a stranger", "BadCertificateUntrusted", identity(stranger)),
        ("an old certificate", "BadCertificateTimeInvalid", identity(old)),
        ("a wrong password", "BadUserAccessDenied", {"password": "wrong"}),
    )
    others = [{"user": ""}, {"user": "mes", "password": "pw-mes", "recipe": "cell"}, {"recipe": "nothing"}]
    logins = [*(given for _, _, given in refused), *others]
    *ends, anonymous, operator, unknown = client(gateway, "logins", logins=logins).said()
    for (name, status, _), said in zip(refused, ends, strict=True):
        text = said.get("failed", "let in")
        recorded = gateway.audited(result=status)
        checks.that(name, f"{text[:90]!r}, recorded {recorded}", ok="failed" in said and recorded)
    text = anonymous.get("failed", "let in")  # the client finds that it is not offered, and does not even try
    checks.that("anonymous", repr(text[:90]), ok="ANONYMOUS" in text)
    recorded = gateway.audited(action="PrepareRecipe", who="mes", result="BadUserAccessDenied")
    checks.that(
        "an operator prepares a recipe",
        operator["prepared"],
        ok=operator["prepared"] == "BadUserAccessDenied" and recorded,
    )
    checks.that("an unknown recipe", unknown, ok=unknown["error"] == -2 and unknown["state"] == "Ready")


def load(checks: Checks, daemon: Daemon, gateway: OpcUaGateway) -> None:
    def p99() -> float:
        before = len(daemon.reader.parts)
        [*client(gateway, "jobs", count=100, pace=50).said()]
        daemon.reader.read(500)
        return percentile([part.latency_ms for part in daemon.reader.parts[before:]], 0.99)

    quiet = p99()
    clients = [client(gateway, "load", count=20, seconds=60, interval=1) for _ in range(5)]
    for each in clients:
        assert next(each.said()) == {"ready": True}
    sockets = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(15)]
    busy = p99()
    for each in clients:
        each.close()
    for one in sockets:
        one.close()
    checks.that("verdict p99 of the line, quiet and with 100 subscriptions and 20 connections, ms",
          f"{quiet:.1f}, {busy:.1f}", ok=busy < quiet + 50)  # fmt: skip


def strangers(checks: Checks, gateway: OpcUaGateway) -> None:
    """10,000 connections with junk, 2,000 that say nothing, 200 that stay half open: they cost nothing."""
    before, cpu = gateway.rss_mb(), gateway.cpu_seconds()
    send_junk(gateway.port, 10_000)
    for _ in range(2_000):
        socket.create_connection(("127.0.0.1", gateway.port), timeout=5).close()
    half_open = []
    for _ in range(200):
        each = socket.create_connection(("127.0.0.1", gateway.port), timeout=5)
        with contextlib.suppress(OSError):
            each.sendall(hello()[:9])
        half_open.append(each)
    time.sleep(3)
    (browsed,) = [*client(gateway, "browse").said()]
    for each in half_open:
        each.close()
    grown = gateway.rss_mb() - before
    checks.that("memory after 12,200 strangers, MB more", f"{grown:.1f}", ok=grown < 30)
    checks.that("a client beside 200 half-open connections", browsed, ok=browsed.get("nodes", 0) > 0)
    print(f"      gateway's processor time for them {gateway.cpu_seconds() - cpu:.1f} s")


def accept(checks: Checks, folder: Path, parts: int, *, short: bool) -> None:
    """The whole trial; in short without what takes a minute: kill and restart, load."""
    daemon = triggered_line(folder)
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
        (browsed,) = [*client(gateway, "browse").said()]
        nodes = f"nodes below Objects/{LINE} without a bad status"
        checks.that(nodes, browsed, ok=not browsed.get("bad", True))
        jobs(checks, daemon, gateway, parts)
        refusals(checks, gateway, folder)
        if not short:
            restart(checks, gateway)
            load(checks, daemon, gateway)
            strangers(checks, gateway)
        log = gateway.log.read_text()
        checks.that("tracebacks in the gateway's log", log.count("Traceback"), ok="Traceback" not in log)
    finally:
        if gateway is not None:
            gateway.stop()
        daemon.close()


def main() -> int:
    """Run it; 1: something was wrong."""
    parts = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="opcua-") as name:
        accept(checks, Path(name), parts, short=False)
    return 1 if checks.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
