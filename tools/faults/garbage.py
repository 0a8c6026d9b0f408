"""Malformed messages to every socket, through ZeroMQ and beneath it, while parts are inspected."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Final

from faults import audit, processes
from faults.fault import Context, Outcome, percentiles
from faults.kill_daemon import check_record
from faults.rig import Rig
from support.ports import free_ports

SOCKETS: Final = ("verdicts", "heatmaps", "previews", "sync", "control")
_GROWTH_BYTES: Final = 8 * 1024 * 1024
_MORE_FILES: Final = 4
_REQUESTS: Final = r"inspectd_(sync_requests|triggers)_total\{.*malformed"


def run(context: Context) -> Outcome:
    """Send `count` messages that cannot be taken; the line must go on, no larger and no worse."""
    outcome = Outcome()
    *free, metrics_port = free_ports(len(SOCKETS) + 1)
    ports = dict(zip(SOCKETS, free, strict=True))
    extra = "[publish]\n" + "".join(f'{name}_tcp = "127.0.0.1:{port}"\n' for name, port in ports.items())
    seed = context.random.randrange(10**6)
    with Rig(context.folder, context.bank, seed, extra=extra, metrics_port=metrics_port) as rig:
        began_ns = time.monotonic_ns()
        _flood(rig, ports, seed, context.count // 20, lambda: None)  # queues and caches get their size
        memory, files = processes.rss_bytes(rig.line.pid), processes.open_files(rig.line.pid)
        counted = _counted(metrics_port)
        outcome.injected, countable = _flood(rig, ports, seed + 1, context.count, context.advance)
        time.sleep(2)
        growth = processes.rss_bytes(rig.line.pid) - memory
        more_files = processes.open_files(rig.line.pid) - files
        counted = _counted(metrics_port) - counted
        evidence = rig.settle(outcome)
    check_record(outcome, evidence, rig.lost)
    outcome.demand(audit.idle(evidence, least_opened=1))
    outcome.demand(audit.unanswered(evidence, [(began_ns, evidence.openings[-1].at_ns - int(1e9))]))
    outcome.require(growth < _GROWTH_BYTES, f"the daemon grew by {growth / 2**20:.1f} MiB")
    outcome.require(more_files <= _MORE_FILES, f"{more_files} more files are open")
    outcome.require(counted >= countable, f"only {counted} of {countable} were counted")
    outcome.figures["memory grew"] = f"{growth / 2**20:.1f} MiB"
    outcome.figures["counted by the daemon"] = f"{counted:,}, at least {countable:,} expected"
    late = [ns / 1e6 for ns in audit.lateness_ns(evidence)]
    outcome.figures["undecidable after the deadline"] = percentiles(late, "ms")
    return outcome


def _flood(
    rig: Rig, ports: dict[str, int], seed: int, count: int, advance: Callable[[], None]
) -> tuple[int, int]:
    """Let a program of its own send so many; how many it sent, and how many have to be counted."""
    targets = "".join(f"{name} {rig.line.endpoint(name)} {port}\n" for name, port in ports.items())
    sent = countable = 0
    with subprocess.Popen(
        [sys.executable, "-m", "faults.flood", str(seed), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=processes.ENVIRONMENT,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(targets)
        program.stdin.close()
        for line in program.stdout:
            burst, to_count = map(int, line.split())
            sent, countable = sent + burst, countable + to_count
            for _ in range(burst):
                advance()
    return sent, countable


def _counted(port: int) -> int:
    """Requests to `sync` and `control` that the daemon could not take, by its metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    samples = re.findall(r"^(inspectd_\w+_total\{.*\}) (\S+)$", text, re.MULTILINE)
    return int(sum(float(value) for name, value in samples if re.match(_REQUESTS, name)))
