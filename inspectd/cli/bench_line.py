"""One load on the whole daemon: its settings, its process, and the verdicts on its bus."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from inspectd.bench.processes import MAIN, Usage, shares, usage_by_job
from inspectd.bench.scrape import means_ms, stage_totals
from inspectd.bench.timing import Latency
from inspectd.cli.daemon_process import DaemonProcess
from inspectd.cli.demo_line import any_port
from inspectd.client import LiveReader, Message
from inspectd.errors import InspectdError
from inspectd.wire import Counts, Evaluation, Heartbeat, Verdict

_START_SECONDS: Final = 180.0
_SETTLE_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.1
_SLOTS: Final = 16
_DEADLINE_MS: Final = 10_000
_THRESHOLD: Final = 1e9
"""Everything passes, as nearly everything does on a line; parts that fail would all be kept as evidence."""


@dataclass(frozen=True)
class Line:
    """Settings that every load shares.

    Attributes:
        folder: for settings, sockets and the log; kept short, sockets lie in it.
        bank: of all its frames.
        images: a folder its cameras replay, each image decoded once.
        cameras: their number.
        max_batch: most frames scored together.
        scoring: settings of the scoring process.
    """

    folder: Path
    bank: Path
    images: Path
    cameras: int
    max_batch: int
    scoring: Mapping[str, str | int]

    def settings(self, rate: float, metrics_port: int) -> str:
        """The settings of a line whose cameras take `rate` frames a second together, evenly in turn."""
        cameras = "".join(self._camera(number, rate) for number in range(self.cameras))
        return f"""\
[line]
plant = "bench"
deadline_ms = {_DEADLINE_MS}
runtime_dir = {json.dumps(str(self.folder / "run"))}
state_dir = {json.dumps(str(self.folder / "state"))}
[[recipes]]
name = "bench"
bank = {json.dumps(str(self.bank.resolve()))}
threshold = {_THRESHOLD}
accept_threshold = true
any_size = true
{cameras}
[batching]
max_batch = {self.max_batch}
max_queue = {_SLOTS * self.cameras}
[scoring]
{"".join(f"{name} = {json.dumps(value)}{chr(10)}" for name, value in self.scoring.items())}\
[metrics]
port = {metrics_port}
"""

    def _camera(self, number: int, rate: float) -> str:
        return f"""
[[cameras]]
name = "camera{number}"
kind = "images"
recipe = "bench"
folder = {json.dumps(str(self.images.resolve()))}
slots = {_SLOTS}
fps = {rate / self.cameras}
phase = {number / self.cameras}
loop = true
preload = true
"""


def run_load(line: Line, rate: float, seconds: float) -> dict[str, Any]:
    """Run the daemon at `rate` frames a second for so long; the results, as JSON values.

    Raises:
        InspectdError: the daemon does not start, dies, or decides nothing.
    """
    line.folder.mkdir(parents=True, exist_ok=True)
    file = line.folder / "line.toml"
    port = any_port()  # the usual one is for a line that may be started meanwhile
    file.write_text(line.settings(rate, port), encoding="utf-8")
    began = time.monotonic()
    with (
        DaemonProcess(file, line.folder / "log", own_group=True) as daemon,
        LiveReader(f"ipc://{line.folder}/run/verdicts.sock") as reader,
    ):
        listener = _Listener(daemon, reader, port)
        listener.until_first_verdict()
        first_verdict_seconds = time.monotonic() - began
        listener.listen(_SETTLE_SECONDS)
        window = listener.measure(seconds)
    return {"offered": round(rate, 2), **window, "first_verdict_seconds": round(first_verdict_seconds, 2)}


class _Listener:
    """Reads a daemon's bus."""

    def __init__(self, daemon: DaemonProcess, reader: LiveReader, metrics_port: int) -> None:
        self._daemon = daemon
        self._metrics_port = metrics_port
        self._reader = reader
        self._counts: Counts | None = None
        self._verdicts: list[Verdict] = []

    def until_first_verdict(self) -> None:
        """Return when something was inspected.

        Raises:
            InspectdError: nothing is, in three minutes, or the daemon died.
        """
        end = time.monotonic() + _START_SECONDS
        while not self._verdicts:
            self._take(_POLL_SECONDS)
            if time.monotonic() > end:
                raise self._failure(f"no verdict in {_START_SECONDS:.0f} s")

    def listen(self, seconds: float) -> float:
        """Take in what comes for so long, up to the next heartbeat; the seconds it took."""
        began = time.monotonic()
        while not isinstance(self._take(_POLL_SECONDS), Heartbeat) or time.monotonic() - began < seconds:
            pass
        return time.monotonic() - began

    def measure(self, seconds: float) -> dict[str, Any]:
        """Measure for so long, between two heartbeats, whose counts give the drops."""
        stages, before, used = stage_totals(self._metrics_port), self._counts, self._used()
        self._verdicts.clear()
        elapsed = self.listen(seconds)
        after, used_after = self._counts, self._used()
        assert before is not None
        assert after is not None, "listen() returns after a heartbeat"
        if self._verdicts and all(v.evaluation is Evaluation.UNDECIDABLE for v in self._verdicts):
            reasons = Counter(verdict.reason for verdict in self._verdicts)
            named = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
            raise self._failure(f"every verdict is undecidable: {named}")
        return {
            **_of_verdicts(self._verdicts, elapsed, after.drops - before.drops),
            "stages_ms": means_ms(stages, stage_totals(self._metrics_port)),
            "cpu_share": shares(used, used_after, elapsed),
            "main_cpu_share": shares(used, used_after, elapsed)[MAIN],
            "peak_rss_mb": {job: usage.peak_rss_mb for job, usage in used_after.items()},
        }

    def _take(self, timeout_seconds: float) -> Message | None:
        message = self._reader.receive(timeout_seconds)
        if isinstance(message, Verdict):
            self._verdicts.append(message)
        elif isinstance(message, Heartbeat):
            self._counts = message.counts
        elif message is None and self._daemon.poll() is not None:
            raise self._failure("the daemon died")
        return message

    def _used(self) -> dict[str, Usage]:
        try:
            return usage_by_job(self._daemon.pid)
        except ProcessLookupError as error:
            raise self._failure("the daemon died") from error

    def _failure(self, complaint: str) -> InspectdError:
        return InspectdError(f"{complaint}; the end of {self._daemon.log}:\n{self._daemon.log_tail()}")


def _of_verdicts(verdicts: Sequence[Verdict], seconds: float, dropped: int) -> dict[str, Any]:
    decided = [v.latency_ms for v in verdicts if v.evaluation is not Evaluation.UNDECIDABLE]
    undecidable = len(verdicts) - len(decided)
    return {
        "rate": round(len(decided) / seconds, 2),
        "seconds": round(seconds, 2),
        "verdicts": len(decided),
        "drops": dropped + undecidable,
        "drops_at_capture": dropped,
        "undecidable": undecidable,
        "latency_ms": Latency.of(decided).rounded() if decided else None,
    }
