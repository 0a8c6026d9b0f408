"""Offers a line more than scoring can do, and shows what becomes of it.

Without a bank the stub scores: two images every 40 ms. With one, the real scoring process does, and what it
can do alone is what it reaches when it is offered more and has 10 s for each part: the median of three times.
With devices, what they can do is shown beside it.
Prints tables in Markdown, or JSON. The second table is what each process took for each verdict; this program,
which sends the triggers and reads the verdicts on the same cores, is one of them.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import zmq
from measure_main_process import cpu_seconds, processes
from rich.progress import track

from inspectd.cli.daemon_process import DaemonProcess
from inspectd.client import LiveReader
from inspectd.wire import Evaluation, Heartbeat, Verdict

STUB: Final = Path(__file__).parents[1] / "tests" / "support" / "stub_daemon.py"
STUB_BATCH, STUB_MS = 2, 40
SETTLE_SECONDS: Final = 3.0
READ_EVERY_SECONDS: Final = 0.02
OWN: Final = "this program"
FLOOD, CALM = 4.0, 0.5
"""Of what scoring can do alone, to see what is left of a flood when it is over."""
KINDS: Final = ("free", "triggered", "mixed")


def settings(arguments: argparse.Namespace, folder: Path, kind: str, deadline_ms: float, rate: float) -> str:
    cameras = ""
    for number in range(2):
        is_triggered = kind == "triggered" or (kind == "mixed" and number == 1)
        # A triggered camera has a frame for each trigger, whenever it comes.
        fps, mode = (arguments.oversample * rate / 2, "triggered") if is_triggered else (rate / 2, "free")
        if kind == "triggered" and number == 1:
            continue
        fps *= 2 if kind == "triggered" else 1
        cameras += f"""
[[cameras]]
kind = "images"
name = "{mode}{number}"
recipe = "r"
folder = {json.dumps(str(arguments.images.resolve()))}
fps = {fps}
phase = {number / 2}
mode = "{mode}"
slots = 256
loop = true
preload = true
colour = {json.dumps(not arguments.grey)}
"""
    bank = str(arguments.bank.resolve()) if arguments.bank else "stub.bank"
    devices = [each for each in arguments.devices.split(",") if each]
    return f"""\
[line]
deadline_ms = {deadline_ms}
runtime_dir = "{folder}/run"
state_dir = "{folder}/state"
[[recipes]]
name = "r"
bank = {json.dumps(bank)}
any_size = true
threshold = 1e9
accept_threshold = true
{cameras}
[batching]
max_batch = {STUB_BATCH if arguments.bank is None else 8}
max_queue = 1000
[scoring]
devices = {json.dumps(devices)}
[triggers]
window_ms = {min(60, deadline_ms / 2)}
max_open = 2000
[evidence]
enabled = false
[metrics]
port = 0
"""


class Triggers:
    """Sends triggers at a rate, and takes the answers."""

    def __init__(self, endpoint: str, per_second: float) -> None:
        self._socket: Any = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(endpoint)
        self.per_second = per_second
        self.sent = 0
        self._due = time.monotonic()

    def send(self) -> float:
        """Send what is due; when the next is, by the monotonic clock."""
        while self.per_second and time.monotonic() >= self._due:
            self.sent += 1
            self._socket.send(b'{"trigger_id":"t%d"}' % self.sent)
            self._due = max(self._due + 1 / self.per_second, time.monotonic() - 0.1)
        return self._due if self.per_second else float("inf")

    def take_answers(self) -> None:
        """Take what came back."""
        while self._socket.poll(0):
            self._socket.recv()

    def close(self) -> None:
        """Disconnect."""
        self._socket.close()


def watch(reader: LiveReader, triggers: Triggers, seconds: float) -> list[Verdict]:
    """Every verdict that is decided within so many seconds."""
    verdicts: list[Verdict] = []
    read_at = time.monotonic()
    end = read_at + seconds
    while time.monotonic() < end:
        next_at = min(triggers.send(), read_at)
        time.sleep(max(0.0, next_at - time.monotonic()))
        if time.monotonic() < read_at:
            continue
        read_at = time.monotonic() + READ_EVERY_SECONDS
        triggers.take_answers()
        while (message := reader.receive(0)) is not None:
            if isinstance(message, Verdict):
                verdicts.append(message)
    return verdicts


def cpu_now(main: int) -> dict[str, float]:
    """CPU seconds so far of the line's processes and of this one."""
    found = {**processes(main), OWN: [os.getpid()]}
    return {name: sum(map(cpu_seconds, pids)) for name, pids in found.items()}


@contextmanager
def line(
    arguments: argparse.Namespace, kind: str, deadline_ms: float, rate: float
) -> Iterator[tuple[LiveReader, Triggers, int]]:
    """A running line whose cameras, and triggers, come at a rate; and the id of its main process."""
    with tempfile.TemporaryDirectory(prefix="overload") as name:
        folder = Path(name)
        file = folder / "line.toml"
        file.write_text(settings(arguments, folder, kind, deadline_ms, rate))
        (folder / "behaviour.json").write_text(json.dumps({"latency_ms": STUB_MS}))
        command = [sys.executable, *([str(STUB)] if arguments.bank is None else ["-m", "inspectd"])]
        share = {"free": 0.0, "triggered": 1.0, "mixed": 0.5}[kind]
        with (
            DaemonProcess(file, folder / "log", command=command, own_group=True) as daemon,
            LiveReader(f"ipc://{folder}/run/verdicts.sock") as reader,
        ):
            state, end = "", time.monotonic() + 120
            while state != "running":
                if daemon.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"the line does not run: {daemon.log_tail()}")
                message = reader.receive(1.0)
                if message is not None and isinstance(message, Heartbeat):
                    state = message.state
            triggers = Triggers(f"ipc://{folder}/run/control.sock", share * rate)
            watch(reader, triggers, SETTLE_SECONDS)
            yield reader, triggers, daemon.pid
            triggers.close()


def run(
    arguments: argparse.Namespace, kind: str, deadline_ms: float, rate: float, able: float
) -> dict[str, Any]:
    """One flood."""
    with line(arguments, kind, deadline_ms, rate) as (reader, triggers, main):
        before = cpu_now(main)
        seen = watch(reader, triggers, arguments.seconds)
        cpu = {name: used - before.get(name, 0.0) for name, used in cpu_now(main).items()}
    decided = [v for v in seen if v.evaluation is not Evaluation.UNDECIDABLE]
    refused = [v for v in seen if v.reason == "overload"]
    return {
        "kind": kind,
        "deadline_ms": deadline_ms,
        "load": round(rate / able, 2) if able else None,
        "came_per_second": len(seen) / arguments.seconds,
        "decided_per_second": len(decided) / arguments.seconds,
        "of_able": len(decided) / arguments.seconds / able if able else None,
        "deadline": sum(v.reason == "deadline" for v in seen),
        "refused": len(refused),
        "left_share": median(v.deadline_margin_ms / v.deadline_ms for v in refused) if refused else None,
        "latency_ms": median(v.latency_ms for v in decided) if decided else None,
        "missed": sum(v.reason == "missed_trigger" for v in seen),
        "late_passes": sum(v.late for v in decided),
        "cpu_ms": {name: round(1000 * used / max(1, len(seen)), 3) for name, used in cpu.items()},
        "other": sorted({v.reason for v in seen if v not in decided} - {"overload", "deadline"}),
    }


def with_(arguments: argparse.Namespace, **changes: Any) -> argparse.Namespace:
    """The same arguments, with others for some of them."""
    return argparse.Namespace(**{**vars(arguments), **changes})


def able_alone(arguments: argparse.Namespace, devices: str) -> float:
    """What scoring on these devices reaches where nothing is late."""
    if arguments.bank is None:
        return 1000 * STUB_BATCH / STUB_MS
    there = with_(arguments, devices=devices)
    rate, reached = 50.0, [50.0]
    while reached[-1] > 0.9 * rate:  # until it is offered more than it can do
        rate *= 2
        reached = [float(run(there, "free", 10_000, rate, 0)["decided_per_second"])]
    reached += [float(run(there, "free", 10_000, rate, 0)["decided_per_second"]) for _ in range(2)]
    return median(reached)


def recovery(arguments: argparse.Namespace, deadline_ms: float, able: float) -> str:
    """What becomes of the triggers after a flood, in words."""
    with line(arguments, "triggered", deadline_ms, FLOOD * able) as (reader, triggers, _):
        first = triggers.sent + 1
        triggers.per_second = CALM * able
        seen = watch(reader, triggers, arguments.seconds)
    after = {int(v.trigger_id[1:]): v for v in seen if v.trigger_id and int(v.trigger_id[1:]) >= first}
    lost = [number - first + 1 for number, v in after.items() if v.evaluation is Evaluation.UNDECIDABLE]
    which = f", the last of them trigger {max(lost)} after the flood" if lost else ""
    return (
        f"After a flood of {FLOOD:g}x, at {CALM:g}x and {deadline_ms:g} ms: {len(lost)} of {len(after)} "
        f"undecidable{which}."
    )


def table(rows: list[dict[str, Any]], able: float, of_devices: float) -> str:
    heads = "kind|deadline, ms|offered|came/s|decided/s|of what one process can do|of what devices can do"
    heads += "|by deadline|refused|deadline left then (median)|no frame|late passes"
    lines = [
        f"Scoring alone: {able:.1f} images a second by one process, {of_devices:.1f} by the devices.",
        "",
        f"|{heads}|",
        "|---" * (heads.count("|") + 1) + "|",
    ]
    for row in rows:
        left = "" if row["left_share"] is None else f"{100 * row['left_share']:.0f} %"
        of_them = row["decided_per_second"] / of_devices
        lines.append(
            f"| {row['kind']} | {row['deadline_ms']:g} | {row['load']:g}x | {row['came_per_second']:.0f} | "
            f"{row['decided_per_second']:.1f} | {100 * row['of_able']:.0f} % | "
            f"{100 * of_them:.0f} % | {row['deadline']} | {row['refused']} | {left} | "
            f"{row['missed']} | {row['late_passes']} |"
        )
    return "\n".join(lines)


def cpu_table(rows: list[dict[str, Any]]) -> str:
    """CPU of each process for each verdict, and what measuring took of all cores."""
    names = list(dict.fromkeys(name for row in rows for name in row["cpu_ms"]))
    heads = ["kind", "deadline, ms", "offered", *names, "share of all cores for measuring"]
    lines = ["CPU for each verdict, ms:", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        share = row["cpu_ms"][OWN] / 1000 * row["came_per_second"] / (os.cpu_count() or 1)
        took = " | ".join(f"{row['cpu_ms'].get(name, 0.0):.2f}" for name in names)
        lines.append(f"| {row['kind']} | {row['deadline_ms']:g} | {row['load']:g}x | {took} | {share:.1%} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path)
    parser.add_argument("--bank", type=Path)
    parser.add_argument("--devices", default="", help="of scoring, such as cpu,cpu")
    parser.add_argument("--loads", default="0.8,1,1.5,2,4,10")
    parser.add_argument("--deadlines", default="100,1000")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--oversample", type=float, default=1.25, help="frames a trigger")
    parser.add_argument("--grey", action="store_true", help="frames of one channel; the images are grey")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    able = able_alone(arguments, "")
    of_devices = able_alone(arguments, arguments.devices) if arguments.devices else able
    runs = [
        (kind, float(deadline_ms), float(load) * able)
        for kind in arguments.kinds.split(",")
        for deadline_ms in arguments.deadlines.split(",")
        for load in arguments.loads.split(",")
    ]
    rows = [run(arguments, *one, able) for one in track(runs, "flooding", disable=not sys.stderr.isatty())]
    calm = [recovery(arguments, float(deadline_ms), able) for deadline_ms in arguments.deadlines.split(",")]
    if arguments.json:
        print(json.dumps({"able": able, "of_devices": of_devices, "rows": rows, "recovery": calm}))
    else:
        print("\n".join([table(rows, able, of_devices), "", cpu_table(rows), "", *calm]))


if __name__ == "__main__":
    main()
