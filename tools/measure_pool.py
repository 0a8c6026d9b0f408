"""Shows what several scoring processes do: their rate, what the death of one costs, two on a CPU beside one.

The stub scores for `rate` and `deaths`: two images every 40 ms in each process. `cores` needs a bank, and
compares one real process on all cores with one on each. With `--bank` and `--devices`, such as cuda:0, real
processes die in `deaths`, of as many frames a second as `--rate` says, `--every` so many seconds.
Prints tables in Markdown.
"""

import argparse
import math
import os
import random
import signal
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Final

from measure_overload import KINDS, STUB_BATCH, STUB_MS, able_alone, line, run, with_
from rich.console import Console
from rich.progress import Progress

from inspectd.client import LiveReader
from inspectd.wire import Evaluation, Event, Heartbeat, Reason, Verdict

PROCESSES: Final = 3
STUBS: Final = ",".join(f"cuda:{number}" for number in range(PROCESSES))
"""Names alone: the stub computes on no device."""
ABLE: Final = 1000 * STUB_BATCH / STUB_MS
OVERLOADS: Final = (2.0, 4.0)
DEATHS_DEADLINE_MS, DEATHS_LOAD = 300.0, 0.5
"""Two of three can do that much, so that nothing is refused for want of time."""
SAME_NS: Final = 50_000_000
"""An event and the verdicts of the same death are dated as close as this."""
CORES: Final = len(os.sched_getaffinity(0))


def rate(arguments: argparse.Namespace, progress: Progress) -> list[str]:
    """What one and three stubs decide of three times what one can do."""
    rows = [
        "| deadline, ms | cameras | processes | came/s | decided/s | of one | no frame | late passes |",
        "|---" * 8 + "|",
    ]
    cases = [(deadline, kind) for deadline in (100.0, 300.0, 1000.0) for kind in KINDS]
    for deadline_ms, kind in progress.track(cases, description="rate"):
        decided = []
        for devices in ("", STUBS):
            setup = with_(arguments, bank=None, devices=devices)
            row = run(setup, kind, deadline_ms, PROCESSES * ABLE, ABLE)
            decided.append(row["decided_per_second"])
            rows.append(
                f"| {deadline_ms:g} | {kind} | {PROCESSES if devices else 1} | {row['came_per_second']:.0f} "
                f"| {decided[-1]:.1f} | {decided[-1] / decided[0]:.2f} | {row['missed']} "
                f"| {row['late_passes']} |"
            )
    return rows


def deaths(arguments: argparse.Namespace, progress: Progress) -> list[str]:
    """Kills a process now and then, and audits every verdict from outside."""
    chance = random.Random(arguments.seed)
    seen: list[Verdict | Event | Heartbeat] = []
    killed: Counter[str] = Counter()
    is_real = bool(arguments.devices)
    setup = arguments if is_real else with_(arguments, bank=None, devices=STUBS)
    per_second = arguments.rate if is_real else DEATHS_LOAD * PROCESSES * ABLE
    holds = "" if is_real else f", a process holds {2 * STUB_BATCH} at most"
    with line(setup, "free", DEATHS_DEADLINE_MS, per_second) as (reader, _, main_pid):
        for _ in progress.track(range(arguments.kills), description="deaths"):
            there = sorted(scorers(main_pid).items())
            name, pid = chance.choice(there) if there else ("nobody, none was there", 0)
            if pid:
                os.kill(pid, signal.SIGKILL)
            killed[name] += 1
            read(reader, arguments.every, seen)
        read(reader, 2.0, seen)
        os.kill(main_pid, signal.SIGTERM)
        read(reader, 3.0, seen)
    verdicts = [each for each in seen if isinstance(each, Verdict)]
    lost = [each for each in seen if isinstance(each, Event) and each.event == "scoring_lost"]
    counts = [each for each in seen if isinstance(each, Heartbeat)][-1].counts
    passes = [verdict for verdict in verdicts if verdict.evaluation is Evaluation.PASS]
    why = Counter(str(v.reason) for v in verdicts if v.evaluation is Evaluation.UNDECIDABLE)
    at = Counter(  # of the death before it
        max((n for n, event in enumerate(lost) if event.utc_ns <= v.decided_utc_ns + SAME_NS), default=-1)
        for v in verdicts
        if v.reason is Reason.SCORING_LOST
    )
    back = seconds_until_scored([event.utc_ns for event in lost], verdicts)
    gaps = sum(later.seq - earlier.seq != 1 for earlier, later in pairwise(verdicts))
    alarms = sum(event.severity == "alarm" for event in lost)
    wrong = sum(not is_own(verdict) for verdict in passes)
    return f"""\
- killed {sum(killed.values())} times ({listed(killed)}); {len(lost)} events `scoring_lost`,
  {alarms} of them alarms; scored again after {", ".join(f"{each:.1f}" for each in back) or "none"} s
- {len(verdicts)} verdicts, {gaps} gaps in their numbers; of {len(passes)} passes {wrong} without an own score
  in time and within its threshold
- {sum(why.values())} undecidable ({listed(why)}); lost in one death at most
  {max(at.values(), default=0)}{holds}
- captured {counts.captured} = {counts.verdicts} verdicts + {counts.drops} drops
  + {counts.in_flight} in flight; the last verdict has number {verdicts[-1].seq}""".splitlines()


def seconds_until_scored(deaths_utc_ns: list[int], verdicts: list[Verdict]) -> list[float]:
    """From each death until the next part was judged by a score; infinite where none was any more."""
    scored = [v.decided_utc_ns for v in verdicts if v.evaluation is not Evaluation.UNDECIDABLE]
    return [
        min((at - death for at in scored if at > death), default=math.inf) / 1e9 for death in deaths_utc_ns
    ]


def read(reader: LiveReader, seconds: float, seen: list[Any]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        message = reader.receive(0.01)
        if message is not None:
            seen.append(message)


def cores(arguments: argparse.Namespace, progress: Progress) -> list[str]:
    """One process on all cores beside one on each, in turn, so that both meet the same neighbours."""
    setups = {"1, all cores": "", f"{CORES}, a core each": ",".join(["cpu"] * CORES)}
    tries = [
        (name, able_alone(arguments, devices))
        for _ in progress.track(range(arguments.repeats), description="alone")
        for name, devices in setups.items()
    ]
    able = {name: max(rate for tried, rate in tries if tried == name) for name in setups}
    offered = able["1, all cores"]
    cases = [
        (deadline_ms, load, repeat)
        for deadline_ms in (100.0, 1000.0)
        for load in (0.5, *OVERLOADS)
        for repeat in range(arguments.repeats)
    ]
    rows: dict[tuple[float, float, str], list[dict[str, Any]]] = {}
    for deadline_ms, load, _ in progress.track(cases, description="cores"):
        for name, devices in setups.items():
            row = run(with_(arguments, devices=devices), "free", deadline_ms, load * offered, offered)
            rows.setdefault((deadline_ms, load, name), []).append(row)
    alone = ", ".join(f"{name}: {rate:.1f}/s" for name, rate in able.items())
    lines = [
        f"Offered more than it can do, with 10 s for each: {alone}.",
        "",
        "| deadline, ms | offered | processes | decided/s, each time | verdict after, ms | late passes |",
        "|---" * 6 + "|",
    ]
    for (deadline_ms, load, name), runs in rows.items():
        each_time = ", ".join(f"{each['decided_per_second']:.1f}" for each in runs)
        latency_ms = median(each["latency_ms"] or math.inf for each in runs)
        lines.append(
            f"| {deadline_ms:g} | {load:g}x | {name} | {each_time} | {latency_ms:.0f} | "
            f"{sum(each['late_passes'] for each in runs)} |"
        )
    return lines


def listed(counts: Counter[Any]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items())) or "none"


def is_own(verdict: Verdict) -> bool:
    """Whether a pass is by what a pass has to be by."""
    score, threshold = verdict.score, verdict.threshold
    return score is not None and threshold is not None and score <= threshold and not verdict.late


def scorers(daemon: int) -> dict[str, int]:
    """Process id of each scoring process that runs, by name."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = (stat.parent / "cmdline").read_bytes().decode().split("\0")
            if int(stat.read_text().rpartition(")")[2].split()[1]) == daemon and "--name" in words:
                found[words[words.index("--name") + 1]] = int(stat.parent.name)
        except (FileNotFoundError, ProcessLookupError, IndexError):
            continue  # ended while we looked
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path)
    parser.add_argument("--bank", type=Path)
    parser.add_argument("--parts", default="rate,deaths")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--oversample", type=float, default=3.0, help="frames a trigger")
    parser.add_argument("--grey", action="store_true", help="frames of one channel; the images are grey")
    parser.add_argument("--devices", default="", help="of the real processes that die")
    parser.add_argument("--rate", type=float, default=100.0, help="frames a second of those")
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two deaths")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    parts = {"rate": rate, "deaths": deaths, "cores": cores}
    if "cores" in arguments.parts and arguments.bank is None:
        parser.error("cores needs --bank")
    if arguments.devices and arguments.bank is None:
        parser.error("--devices needs --bank")
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        for name in arguments.parts.split(","):
            print("\n".join([f"## {name}", "", *parts[name](arguments, progress), ""]), flush=True)


if __name__ == "__main__":
    main()
